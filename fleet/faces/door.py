"""The local door: sockets of our own, who may come in, deadlines, answers in order; knows no verb.

Why not an ASGI server: the Unix socket must be 0600 with its caller's user checked, every request needs a deadline from
its first byte, and the submit path carries tens of thousands of lines a second beside everything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from fleet.core import policy
from fleet.errors import FleetError, UsageError
from fleet.faces.local import PATH_LIMIT
from fleet.faces.reader import Front, Reader, Reply, Request, refusal

PIPELINE = 32  # requests of one connection waiting for their turn before nothing more is read
IDLE = 75.0  # seconds a connection may stay open between requests
LINGER = 1.0  # seconds to go on listening after a refusal, so that the other side sees the answer, not a reset
STATUS = {
    200: "OK", 202: "Accepted", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 408: "Request Timeout", 409: "Conflict", 413: "Content Too Large",
    415: "Unsupported Media Type", 431: "Request Header Fields Too Large", 500: "Internal Server Error",
    503: "Service Unavailable",
}  # fmt: skip

Handler = Callable[[Request], Awaitable[Reply]]


@dataclass(eq=False)
class Door:
    """One listening side and everybody who is in."""

    front: Front
    handler: Handler
    connections: int = policy.CONNECTIONS
    users: frozenset[int] | None = None  # the users admitted to a Unix socket; None = a TCP door
    guests: set[Conversation] = field(default_factory=set)
    turned_away: int = 0
    listener: asyncio.Server | None = None

    async def open(self, sock: socket.socket) -> None:
        """Serve a bound socket."""
        loop = asyncio.get_running_loop()
        if sock.family == socket.AF_UNIX:
            self.listener = await loop.create_unix_server(lambda: Conversation(self), sock=sock, backlog=256)
        else:
            self.listener = await loop.create_server(lambda: Conversation(self), sock=sock, backlog=256)

    async def close(self, grace: float = 2.0) -> None:
        """Take nobody in any more, let work under way finish for `grace` seconds, then hang up."""
        if self.listener is not None:
            self.listener.close()
        working = [guest.task for guest in self.guests if guest.task is not None and not guest.waits]
        if working:
            await asyncio.wait(working, timeout=grace)
        for guest in list(self.guests):
            guest.hang_up()

    def admits(self, transport: asyncio.BaseTransport) -> bool:
        """Whether the user at the other end is one of ours."""
        return self.users is None or peer_user(transport.get_extra_info("socket")) in self.users


def peer_user(sock: socket.socket) -> int | None:
    """Ask the kernel which user is at the other end of a Unix socket; None when it does not say."""
    try:
        if sys.platform == "darwin":
            credentials = sock.getsockopt(0, 0x001, 76)  # SOL_LOCAL, LOCAL_PEERCRED: struct xucred
            return int(struct.unpack_from("=II", credentials)[1])
        return int(struct.unpack("=iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])
    except OSError:
        return None


def bind_unix(path: Path) -> socket.socket:
    """Bind the Unix socket at `path`, 0600 from its first moment; whoever calls holds the node's lock file."""
    if len(os.fsencode(path)) > PATH_LIMIT:
        raise UsageError(
            f"{path} is longer than the {PATH_LIMIT} bytes a Unix socket may have",
            hint="set FLEET_HOME to a shorter directory",
        )
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()  # left by a daemon that was killed
    before = os.umask(0o177)
    try:
        sock.bind(os.fspath(path))
    finally:
        os.umask(before)
    sock.setblocking(False)
    return sock


def bind_tcp(host: str, port: int) -> socket.socket:
    """Bind a TCP port of this machine. Raises UsageError for another address, OSError when it is taken."""
    if host not in ("127.0.0.1", "::1", "localhost"):
        raise UsageError(f"the local API listens on this machine only, not on {host}", hint="fleet config show api")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def is_taken(error: OSError) -> bool:
    """Whether a port could not be bound because somebody has it."""
    return error.errno in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL)


class Conversation(asyncio.Protocol):
    """One connection: reads requests, keeps their deadline, answers them in order."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = Reader(door.front, private=door.users is not None)
        self._line: deque[Request | Reply] = deque()
        self._now: Request | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._paused = self._deaf = False
        self.task: asyncio.Task[None] | None = None
        self.streaming = False

    @property
    def waits(self) -> bool:
        """Whether nothing would be lost by hanging up."""
        return self.streaming or (self._now is not None and self._now.patient)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the caller: a stranger gets no answer, one too many gets 503."""
        self._transport = transport  # type: ignore[assignment]
        if not self._door.admits(transport):
            self._door.turned_away += 1
            self._deaf = True
            self._transport.abort()  # type: ignore[union-attr]
        elif len(self._door.guests) >= self._door.connections:
            self._door.turned_away += 1
            self._say_no(refusal(503, "busy", "too many connections", retry_after=policy.BUSY_RETRY))
        else:
            self._door.guests.add(self)
            self._after(IDLE, self.hang_up)

    def data_received(self, data: bytes) -> None:
        """Read on; whatever is complete gets into the line of the one task that answers."""
        if self._deaf:
            return
        was_open = self._reader.open
        found = self._reader.feed(data)
        self._line.extend(found)
        if self._reader.open and (found or not was_open):
            self._after(policy.REQUEST_DEADLINE, self._too_slow)
        elif not self._reader.open and self._timer is not None:
            self._timer.cancel()
        if self._line and self.task is None:
            self.task = self._loop.create_task(self._work())
        if len(self._line) > PIPELINE and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Keep our half open while something is still to be answered."""
        return self.task is not None and not self.waits

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the caller; work that was begun is finished, a handler that merely waits is cancelled."""
        self._deaf = True
        self._door.guests.discard(self)
        self._writable.set()
        if self._timer is not None:
            self._timer.cancel()
        if self.task is not None and self.waits:
            self.task.cancel()

    def pause_writing(self) -> None:
        """Hold a stream back: its reader is slow."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let it go on."""
        self._writable.set()

    def hang_up(self) -> None:
        """Close now."""
        if self.task is not None and self.waits:
            self.task.cancel()
        if self._transport is not None:
            self._transport.close()

    def _after(self, delay: float, act: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay, act)

    def _too_slow(self) -> None:
        self._say_no(refusal(408, "timeout", f"a request must be complete within {policy.REQUEST_DEADLINE:.0f} s"))

    def _say_no(self, reply: Reply) -> None:
        """Answer with a refusal and go on listening for a moment without hearing."""
        self._deaf = True
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(_head(reply, close=True) + reply.body)
        if transport.can_write_eof():
            transport.write_eof()
        self._after(LINGER, transport.close)

    async def _work(self) -> None:
        """Answer everything in the line, one after the other."""
        while self._line and self._transport is not None:
            item = self._line.popleft()
            if isinstance(item, Reply):
                self._say_no(item)
                break
            await self._answer(item, self._transport)
        self.task = self._now = None
        if not self._deaf and not self._reader.open:
            self._after(IDLE, self.hang_up)

    async def _answer(self, request: Request, transport: asyncio.Transport) -> None:
        self._now = request
        whole = False
        try:
            reply = await self._door.handler(request)
            if reply.stream is not None:
                await self._stream(reply, transport)
            else:
                transport.write(_head(reply, close=request.last) + reply.body)
                whole = not request.last
        finally:
            if not whole:  # a stream, the last request, or a bug: the loop reports it, the caller sees the end
                self._line.clear()
                transport.close()
        if self._paused and len(self._line) <= PIPELINE // 2:
            self._paused = False
            transport.resume_reading()
        await self._writable.wait()

    async def _stream(self, reply: Reply, transport: asyncio.Transport) -> None:
        assert reply.stream is not None
        self.streaming = True
        transport.write(_head(reply, close=True, length=False))
        with contextlib.suppress(FleetError):  # it ends; the caller asks again and is told why
            async for chunk in reply.stream:
                transport.write(chunk)
                await self._writable.wait()


def _head(reply: Reply, *, close: bool = False, length: bool = True) -> bytes:
    rows = [f"HTTP/1.1 {reply.status} {STATUS.get(reply.status, 'Error')}", f"Content-Type: {reply.kind}"]
    if length:
        rows.append(f"Content-Length: {len(reply.body)}")
    rows.extend(f"{name}: {value}" for name, value in reply.headers)
    if close:
        rows.append("Connection: close")
    return ("\r\n".join(rows) + "\r\n\r\n").encode("latin-1")
