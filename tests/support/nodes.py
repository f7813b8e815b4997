"""Real nodes for tests: daemons as processes, enrolled by the real commands; must never leave a process behind.

with World() as world:
    a = world.found("a"); b = world.join("b", a)            # both daemons run afterwards
    a.fleet("send", "b", "hello"); a.kill(); a.start(); a.freeze()
    a.rows("SELECT …")                                       # the SQLite file itself, read by another library than ours

A node's commands and daemon run behind `prefix`, for instance ("ip", "netns", "exec", "x"): see tests/support/netns.py.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import fleet
from fleet.daemon import leash
from fleet.errors import NoDaemon
from fleet.faces.local import LINES, Answer, Client

PATIENCE = 30.0  # what anything may take on a busy machine before a test gives up
LOOK = 0.02
PORTS = 40  # of one world
HERE = Path(fleet.__file__).parent
FLEET = (sys.executable, "-I", "-m", "fleet.faces.cli")
FLEETD = (sys.executable, "-I", "-m", "fleet.faces.serve")
FLEET_SEND = (sys.executable, "-I", "-S", str(HERE / "faces" / "send.py"))
DONE = 4  # of the outbox's status: the addressee's receipt is there

T = TypeVar("T")


def until(found: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """Ask until the answer is true, and give it; fails the test with `what` when it never is."""
    deadline = time.monotonic() + patience
    while True:
        answer = found()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {patience:g} s: {what}"
        time.sleep(LOOK)


@dataclass(frozen=True)
class Done:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """Its JSON."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The error it printed as JSON."""
        return json.loads(self.out)["error"]


class Node:
    """One member: its FLEET_HOME, its daemon, the ways to speak to it."""

    def __init__(self, name: str, home: Path, prefix: Sequence[str] = (), bind: str = "", **environ: str) -> None:
        self.name = name
        self.home = home
        self.prefix = tuple(prefix)
        self.bind = bind
        self.log_file = home.parent / f"{name}.log"  # beside the home: a full home must not silence it
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("FLEET_", "XDG_"))}
        self.environ = {**kept, "HOME": str(home.parent), "FLEET_HOME": str(home), "FLEET_API": "off", **environ}
        self.program: Sequence[str] = FLEETD  # what its daemon is started with
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    # ── its commands ─────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, *command: str, stdin: bytes = b"", patience: float = 90.0) -> Done:
        """Run any program as this node's user, where this node is."""
        done = subprocess.run([*self.prefix, *command], env=self.environ, input=stdin, capture_output=True, timeout=patience)
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def fleet(self, *words: str, stdin: bytes = b"") -> Done:
        """Run `fleet`."""
        return self.run(*FLEET, *words, stdin=stdin)

    def ok(self, *words: str, stdin: bytes = b"") -> Any:
        """Run `fleet … --json`, which must succeed, and give its value."""
        done = self.fleet(*words, "--json", stdin=stdin)
        assert done.code == 0, f"fleet {' '.join(words)} on {self.name}: {done}"
        return done.value

    def fleet_send(self, *words: str, stdin: bytes = b"") -> Done:
        """Run `fleet_send`."""
        return self.run(*FLEET_SEND, *words, stdin=stdin)

    # ── its daemon ───────────────────────────────────────────────────────────────────────────────────────────────────

    def spawn(self) -> None:
        """Start the daemon and do not wait for it; the kernel ends it when this process ends."""
        tether = [sys.executable, "-I", "-S", str(leash.__file__), str(os.getpid())]
        bind = ["--bind", self.bind] if self.bind else []
        place = [shutil.which(self.prefix[0]) or "", *self.prefix[1:]] if self.prefix else []
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log_file.open("ab") as out:
            self.process = subprocess.Popen(
                [*tether, *place, *self.program, *bind], env=self.environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True, cwd="/",
            )  # fmt: skip
        self.starts += 1

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        self.spawn()
        self.await_up()

    def await_up(self) -> None:
        assert self.process is not None
        process = self.process

        def up() -> bool:
            assert process.poll() is None, f"{self.name} ended at once with {process.returncode}: {self.log[-2000:]}"
            return self.alive()

        until(up, f"{self.name} is up; it said {self.log[-2000:]}")

    @property
    def log(self) -> str:
        """Everything its daemons ever said."""
        return self.log_file.read_text("utf-8", "replace") if self.log_file.exists() else ""

    def alive(self) -> bool:
        """Whether its daemon answers."""
        try:
            return self.ask("here")["node"] != ""
        except NoDaemon:
            return False

    @property
    def running(self) -> bool:
        """Whether its daemon's process is there."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> None:
        """Send the daemon a signal, if it runs."""
        if self.process is not None and self.running:
            self.process.send_signal(number)

    def kill(self) -> None:
        """End the daemon as a power cut would end the process."""
        self.signal(signal.SIGKILL)
        self.wait()

    def terminate(self) -> int:
        """Ask the daemon to end as service managers do; gives its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait until the daemon has ended; gives its exit code."""
        if self.process is None:
            return 0
        return self.process.wait(PATIENCE)

    def broker_pid(self) -> int | None:
        """The process of the nats-server this daemon keeps."""
        if self.process is None:
            return None
        for task in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                for child in map(int, task.read_text().split()):
                    with contextlib.suppress(OSError):
                        if b"nats-server" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[0]:
                            return child
        return None

    # ── its local API ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def socket(self) -> str:
        return f"{self.home}/run/fleet.sock"

    def post(self, target: str, body: bytes, kind: str = "application/json", patience: float = PATIENCE) -> Answer:
        """POST to the local API. Raises NoDaemon, also when the daemon went away before it answered."""
        client = Client(self.socket, patience)
        try:
            return client.ask("POST", target, body, kind)
        finally:
            client.close()

    def ask(self, verb: str, **words: Any) -> Any:
        """Ask a verb; an error is an AssertionError."""
        answer = self.post(f"/verb/{verb}", json.dumps(words).encode())
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    def submit(self, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Submit messages in one request; gives the answers. Raises NoDaemon."""
        answer = self.post("/message", b"".join(json.dumps(m).encode() + b"\n" for m in messages), LINES)
        assert answer.status == 200, answer.body
        return [json.loads(line) for line in answer.body.splitlines()]

    def send(self, peer: str, *bodies: str, **more: Any) -> list[str]:
        """Submit texts, which must be accepted; gives their ids."""
        answers = self.submit([{"to": peer, "body": body, **more} for body in bodies])
        assert all(answer.get("state") == "accepted" for answer in answers), answers
        return [answer["id"] for answer in answers]

    def link(self, peer: str, channel: str) -> str:
        """The state of one link as `fleet status` shows it."""
        return str(self.ask("peer_show", peer=peer)["channels"][channel]["state"])

    # ── its store ────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def database(self) -> Path:
        return self.home / "fleet.db"

    def rows(self, sql: str, *bindings: Any) -> list[tuple[Any, ...]]:
        """Read the store, whether a daemon runs or not."""
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10)) as store:
            return store.execute(sql, bindings).fetchall()

    def arrived(self) -> dict[str, str]:
        """Everything in the inbox: id → body."""
        return {id: json.loads(b"{" + content)["body"] for id, content in self.rows("SELECT id, content FROM inbox")}

    def open_rows(self) -> int:
        """How many messages of the outbox are not final."""
        return int(self.rows("SELECT count(*) FROM outbox WHERE status < ?", DONE)[0][0])

    def status_of(self, id: str) -> int:
        """The outbox status of a message."""
        return int(self.rows("SELECT status FROM outbox WHERE id = ?", id)[0][0])

    def road_of(self, id: str) -> str:
        """By which road the copy in this inbox came."""
        return str(self.rows("SELECT road FROM inbox WHERE id = ?", id)[0][0])


class World:
    """A directory and the nodes in it; everything is gone after the `with` block."""

    def __init__(self, parent: Path | None = None) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="fleet-nodes-", dir=parent))  # short: a socket's path is limited
        self.nodes: dict[str, Node] = {}
        self._ports = random.randrange(10_000, 32_000, PORTS)  # a block of our own below what the kernel gives to callers

    def node(self, name: str, home: Path | None = None, **more: Any) -> Node:
        """A node that is not made yet; on loopback it gets ports that no other test's node will take in its absence."""
        if not more.get("prefix") and "bind" not in more:
            more["bind"] = f"127.0.0.1:{self._ports + PORTS // 2 + len(self.nodes)}"
            more.setdefault("FLEET_NATS_PORT", str(self._ports))
        self.nodes[name] = Node(name, home or self.home / name, **more)
        return self.nodes[name]

    def found(self, name: str, *, nats: bool = True, **more: Any) -> Node:
        """Make the first member, its daemon and its broker."""
        node = self.node(name, **more)
        node.ok("init", "--node", name)
        if not nats:
            node.ok("config", "set", "nats.serve", "false")
        node.start()
        return node

    def join(self, name: str, inviter: Node, *, address: str = "", **more: Any) -> Node:
        """Make another member by an invitation, its daemon too."""
        node = self.node(name, **more)
        node.ok("join", self.invite(inviter, address), "--node", name)
        node.start()
        return node

    @staticmethod
    def invite(inviter: Node, address: str = "") -> str:
        """A fresh link."""
        return str(inviter.ok("invite", *(["--address", address] if address else []))["link"])

    def pair(self, **more: Any) -> tuple[Node, Node]:
        """Two members a and b that know each other; a runs the broker."""
        a = self.found("a", **more)
        return a, self.join("b", a)

    def drained(self, patience: float = 120.0) -> None:
        """Wait until no outbox holds anything open."""
        nodes = [node for node in self.nodes.values() if node.database.exists()]
        until(lambda: not any(node.open_rows() for node in nodes), self._waiting(nodes), patience)

    @staticmethod
    def _waiting(nodes: list[Node]) -> str:
        return "every outbox is drained: " + ", ".join(f"{node.name} {node.log[-300:]}" for node in nodes)

    def close(self) -> None:
        """End every daemon and remove everything."""
        for node in self.nodes.values():
            node.signal(signal.SIGCONT)
            node.signal(signal.SIGKILL)
        for node in self.nodes.values():
            node.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def worlds() -> Iterator[World]:
    """The body of a fixture."""
    with World() as world:
        yield world
