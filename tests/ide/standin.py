"""A model of our own on loopback: takes what an agent program sends to its model, keeps it, answers as told.

with Model(Anthropic()) as model:
    model.answer = lambda asked: Say("OK")          # or Call("Bash", {"command": "true"})
    … run the program with model.url …
    model.asked                                      # every request that was for the agent itself

It must never listen anywhere but on 127.0.0.1 nor call anybody.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol, Self


@dataclass(frozen=True)
class Say:
    """The model says this and ends its turn."""

    text: str


@dataclass(frozen=True)
class Call:
    """The model calls a tool of the program."""

    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """One request: what the program lets its model see."""

    path: str
    body: Any
    spoken: str  # everything said so far in the conversation, tool results included, instructions and tools left out
    tools: tuple[str, ...] = ()
    results: tuple[str, ...] = ()  # what tools answered, the latest last
    schemas: Mapping[str, Any] = field(default_factory=dict)  # what each tool takes

    def tool(self, ending: str) -> str:
        """The full name of the tool that ends so; the programs put their own words before it."""
        found = [name for name in self.tools if name == ending or name.endswith((f"_{ending}", f".{ending}"))]
        assert found, f"no tool {ending} among {self.tools}"
        return found[0]


Answer = Callable[[Asked], Say | Call]


@dataclass
class Use:
    """A model that wants one tool of an MCP server, finds it as the program offers it, uses it once, and is done.

    Of the tool's parameters, those that are named for an id get the id, the others the text.
    """

    tool: str
    id: str
    text: str
    used: bool = False
    looks: int = 30

    def __call__(self, asked: Asked) -> Say | Call:
        """Look for the tool, use it, be done."""
        found = [name for name in asked.tools if name.endswith(self.tool)]
        if found and not self.used:
            self.used = True
            return Call(found[0], self._arguments(asked.schemas[found[0]]))
        hidden = re.findall(rf"\bmcp__\w*{self.tool}\b", asked.spoken)
        if not found and hidden and "ToolSearch" in asked.tools:
            return Call("ToolSearch", {"query": f"select:{hidden[0]}"})
        if not found and "Bash" in asked.tools and self.looks > 0:  # Claude Code starts its servers beside the first turn
            self.looks -= 1
            return Call("Bash", {"command": "sleep 1"})
        return Say("done")

    def _arguments(self, schema: Mapping[str, Any]) -> dict[str, str]:
        wanted = schema.get("required") or list(schema.get("properties", {}))
        return {name: self.id if name == "re" or "id" in name.split("_") else self.text for name in wanted}


class Dialect(Protocol):
    """How one model API is spoken."""

    def read(self, path: str, body: Any) -> Asked | None:
        """A request of the agent itself; None for anything beside it (titles, counts, routing)."""

    def beside(self, path: str, body: Any) -> tuple[str, bytes]:
        """Content type and body of the answer to anything else."""

    def write(self, asked: Asked, answer: Say | Call, number: int) -> tuple[str, bytes]:
        """Content type and body of an answer; the number makes ids."""


def events(values: Iterator[tuple[str, Any]] | list[tuple[str, Any]]) -> bytes:
    """Server-sent events: name and value each; an empty name leaves it out."""
    parts = [(f"event: {name}\n" if name else "") + f"data: {json.dumps(value)}\n\n" for name, value in values]
    return "".join(parts).encode()


@dataclass
class Model:
    """The server; a context manager."""

    dialect: Dialect
    answer: Answer = lambda asked: Say("OK")
    asked: list[Asked] = field(default_factory=list)
    others: list[tuple[str, Any]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # what went wrong in here, for the test to see

    def __enter__(self) -> Self:
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def seen(self) -> str:
        """Everything the program's model was shown in its last request."""
        return self.asked[-1].spoken if self.asked else ""

    def respond(self, path: str, body: Any) -> tuple[str, bytes]:
        """Keep a request and give its answer."""
        with self._lock:
            asked = self.dialect.read(path, body)
            if asked is None:
                self.others.append((path, body))
                return self.dialect.beside(path, body)
            self.asked.append(asked)
            try:
                answer = self.answer(asked)
            except AssertionError as error:
                self.wrong.append(str(error))
                answer = Say("the test is wrong")
            return self.dialect.write(asked, answer, len(self.asked))


def _handler(model: Model) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            kind, answer = model.respond(self.path, json.loads(raw or b"{}"))
            self._say(kind, answer)

        def do_GET(self) -> None:
            self._say(*model.dialect.beside(self.path, None))

        def do_HEAD(self) -> None:
            self._say("application/json", b"")

        def _say(self, kind: str, answer: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    return Handler
