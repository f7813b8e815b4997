"""The load of `fleet bench`: submitters on the local API, each with bytes made beforehand; must cost next to nothing.

Latency is taken at the caller: from the first byte of a request to the last of its answer.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

from fleet.errors import FleetError

LINES, ONE = b"application/x-ndjson", b"application/json"
STILL = 30.0  # seconds without any progress after which a bench gives up
SINGLES = 300  # messages sent one at a time
LOOK = 0.02  # seconds between two looks at what still waits, or
LOOKING = 10  # …so many times what a look took: looking must not be what is measured


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked for."""

    peer: str
    messages: int
    size: int  # bytes of each body
    concurrency: int
    batch: int  # messages a request


@dataclass(slots=True)
class Course:
    """One run under way: what is left to submit, and how long each request took (seconds)."""

    load: Load
    left: int
    took: list[float] = field(default_factory=list)

    def next_request(self) -> tuple[bytes, int]:
        """Give the next request and the number of its messages; nothing when all are submitted."""
        n = min(self.load.batch, self.left)
        self.left -= n
        return (request_of(self.load, n), n) if n else (b"", 0)


_made: dict[tuple[Load, int], bytes] = {}


def request_of(load: Load, n: int) -> bytes:
    """Write a request with n messages, once."""
    found = _made.get((load, n))
    if found is None:
        line = json.dumps({"to": load.peer, "type": "message", "body": "x" * load.size}).encode()
        found = _made[load, n] = write(b"/message", b"\n".join([line] * n), LINES if load.batch > 1 else ONE)
    return found


def write(target: bytes, body: bytes, kind: bytes) -> bytes:
    """Write a POST."""
    return b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        target, kind, len(body), body,
    )  # fmt: skip


class Submitter(asyncio.Protocol):
    """One connection: sends a request, reads its answer, sends the next."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._transport: asyncio.Transport | None = None
        self._answer = bytearray()
        self._wanted = self._began = 0.0
        self._n = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport  # type: ignore[assignment]
        self._send()

    def _send(self) -> None:
        request, self._n = self._course.next_request()
        assert self._transport is not None
        if not request:
            self._end(None)
            return
        self._answer.clear()
        self._wanted = 0
        self._began = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take the answer in; a whole one lets the next request go."""
        answer = self._answer
        answer += data
        if not self._wanted:
            end = answer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._wanted = end + 4 + length_of(answer[:end])
        if len(answer) < self._wanted:
            return
        self._course.took.append(time.perf_counter() - self._began)
        if answer.count(b'"state":"accepted"') != self._n:
            self._end(FleetError(f"not accepted: {reason_of(bytes(answer))}"))
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more will come."""
        self._end(FleetError("the daemon went away"))

    def _end(self, error: FleetError | None) -> None:
        if not self.ended.done():
            if error is None:
                self.ended.set_result(None)
            else:
                self.ended.set_exception(error)
        if self._transport is not None:
            self._transport.close()


def length_of(head: bytes | bytearray) -> int:
    """Read Content-Length."""
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0])


def reason_of(answer: bytes) -> str:
    """Find the first sentence of an error in an answer."""
    _, _, rest = answer.partition(b'"message":"')
    return rest.partition(b'"')[0].decode("utf-8", "replace") or "no reason was given"


class Line:
    """One connection that asks one thing at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take an open connection; use Line.open()."""
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, path: str) -> Line:
        """Connect to a local API."""
        return cls(*await asyncio.open_unix_connection(path))

    async def ask(self, request: bytes) -> bytes:
        """Send a request and give the body of its answer."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        return await self._reader.readexactly(length_of(head))

    async def waiting(self, peer: str) -> tuple[int, int]:
        """Ask how many messages to a peer are not finished (a thousand stand for more), and how many were settled."""
        stats: dict[str, Any] = json.loads(await self.ask(b"GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        return int(stats["waiting"].get(peer, 0)), int(stats.get("counters", {}).get("settled", 0))

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def submit(path: str, load: Load) -> Course:
    """Submit everything, `concurrency` requests at a time. Raises FleetError when one is not accepted."""
    course = Course(load, load.messages)
    request_of(load, load.batch)
    loop = asyncio.get_running_loop()
    made = await asyncio.gather(
        *(loop.create_unix_connection(lambda: Submitter(course), path) for _ in range(load.concurrency))
    )
    await asyncio.gather(*(submitter.ended for _, submitter in made))
    return course


async def drained(line: Line, peer: str) -> None:
    """Wait until every message to a peer is receipted. Raises FleetError when nothing moves any more."""
    loop = asyncio.get_running_loop()
    before, since = (-1, -1), loop.time()
    while True:
        asked = loop.time()
        left, settled = await line.waiting(peer)
        if not left:
            return
        if (left, settled) != before:
            before, since = (left, settled), loop.time()
        if loop.time() - since > STILL:
            raise FleetError(f"{left} messages wait and none was received for {STILL:.0f} s", hint="fleet outbox")
        await asyncio.sleep(max(LOOK, LOOKING * (loop.time() - asked)))


async def one_by_one(line: Line, load: Load, n: int) -> list[float]:
    """Send one message at a time and wait for its receipt; gives how long each took, seconds."""
    body = json.dumps({"to": load.peer, "type": "message", "body": "x" * load.size}).encode()
    request = write(b"/message?wait=received&timeout=10", body, ONE)
    took = []
    for _ in range(n):
        began = time.perf_counter()
        answer = json.loads(await line.ask(request))
        took.append(time.perf_counter() - began)
        if answer.get("state") not in ("received", "shown", "done"):
            raise FleetError(f"not received: {answer.get('reason') or answer.get('error') or answer.get('state')}")
    return took
