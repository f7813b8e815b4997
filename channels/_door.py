"""The parcel door of channels/http.py: an HTTP/1.1 server with two paths; never reads what it carries, trusts nobody.

Every request has one absolute deadline, from its first byte to the last byte of its answer. When the house is full, the
newcomer takes the place of whoever has been there longest without being served; only when everybody is being served is
it told to come later. So a flood costs the others a new connection, never their turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import ipaddress
import math
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from channels._message import END, FRAME_LIMIT, GONE, HEAD_LIMIT, body_length, read_head
from fleet.core import policy
from fleet.core.channel import Answer, AnswerKind, Deliver
from fleet.errors import Faulty, Malformed

JOIN_LIMIT = 32 * 1024  # a request to join holds keys and a name
KEEP_IDLE = 60.0  # a connection that carried a parcel of ours may rest for so long
BACKLOG = 128  # connections the kernel keeps for us while we are busy
ACCEPT_PAUSE = 0.1  # after the kernel refused to give us one
PORTS_TRIED = 64  # from the default one on

Join = Callable[[bytes, str], Awaitable[bytes | None]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What strangers may take of us."""

    connections: int = policy.CONNECTIONS
    per_address: int = policy.CONNECTIONS_PER_ADDRESS
    deadline: float = policy.REQUEST_DEADLINE
    idle: float = KEEP_IDLE


class Stage(Enum):
    """Where a visitor stands."""

    NEW = -1  # nothing has been read or written yet
    WAITING = 0  # connected or between two requests
    READING = 1
    SERVED = 2  # never sent away


@dataclass(eq=False, slots=True)
class _Visitor:
    conn: socket.socket
    source: str
    group: bytes
    stage: Stage = Stage.NEW
    known: bool = False  # it brought something that was accepted
    reader: asyncio.StreamReader = field(init=False)
    writer: asyncio.StreamWriter = field(init=False)


def _group(source: str) -> bytes:
    """Name the one behind an address: an IPv4 address, or the /64 an IPv6 host may choose from."""
    try:
        address = ipaddress.ip_address(source.partition("%")[0])
    except ValueError:
        return source.encode()
    mapped = address.ipv4_mapped if address.version == 6 else None
    return (mapped or address).packed[:8]


def _render(status: bytes, data: bytes = b"", extra: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n%b\r\n%b" % (
        status, len(data), extra, data,
    )  # fmt: skip


REFUSED = _render(b"400 Bad Request", extra=b"Connection: close\r\n")
NOT_FOUND = _render(b"404 Not Found", extra=b"Connection: close\r\n")


def _busy(seconds: float, extra: bytes = b"") -> bytes:
    return _render(b"503 Service Unavailable", extra=b"Retry-After: %d\r\n%b" % (max(1, math.ceil(seconds)), extra))


FULL = _busy(policy.BUSY_RETRY, b"Connection: close\r\n")


def _response(answer: Answer) -> bytes:
    if answer.kind is AnswerKind.SIGNED:
        return _render(b"200 OK", answer.data)
    if answer.kind is AnswerKind.CUSTODY:
        return _render(b"202 Accepted")
    return _busy(answer.retry_after) if answer.kind is AnswerKind.BUSY else REFUSED


class Door:
    """The listening side; `deliver` and `join` are set and taken away by others while it is open."""

    def __init__(self, limits: Limits, tls: ssl.SSLContext | None = None) -> None:
        self.deliver: Deliver | None = None
        self.join: Join | None = None
        self.bound: tuple[str, int] | None = None
        self._limits = limits
        self._tls = tls
        self._socket: socket.socket | None = None
        self._usher: asyncio.Task[None] | None = None
        self._visitors: dict[_Visitor, asyncio.Task[None]] = {}

    async def open(self, host: str, ports: Iterable[int]) -> None:
        """Listen on the first of `ports` that is free. Raises Faulty when none is."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        reason = "no port to try"
        for port in ports:
            try:
                self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG)
            except OSError as error:
                reason = f"cannot listen on {host}:{port}: {error.strerror}"
                if error.errno != errno.EADDRINUSE:
                    break
            else:
                self._socket.setblocking(False)
                self.bound = self._socket.getsockname()[:2]
                self._usher = asyncio.create_task(self._welcome(self._socket), name="parcel door")
                return
        raise Faulty(reason)

    async def close(self) -> None:
        """Close the door and end every conversation."""
        tasks = [*self._visitors.values(), *([self._usher] if self._usher is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()

    # --- who may come in ----------------------------------------------------------------------------------------------

    async def _welcome(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                conn, (source, *_) = await loop.sock_accept(listener)
            except OSError:  # no descriptor left, or gone before it was seen
                await asyncio.sleep(ACCEPT_PAUSE)
                continue
            self._arrive(_Visitor(conn, source, _group(source)))
            await asyncio.sleep(0)  # a flood of newcomers must not starve those inside

    def _arrive(self, visitor: _Visitor) -> None:
        if self._make_room(visitor.group):
            self._visitors[visitor] = task = asyncio.create_task(self._serve(visitor))
            task.add_done_callback(functools.partial(_farewell, visitor))
            return
        with visitor.conn, contextlib.suppress(OSError):
            if self._tls is None:
                visitor.conn.send(FULL)

    def _make_room(self, group: bytes) -> bool:
        same = [visitor for visitor in self._visitors if visitor.group == group]
        if len(same) >= self._limits.per_address:
            return self._send_away(same)
        return len(self._visitors) < self._limits.connections or self._send_away(list(self._visitors))

    def _send_away(self, among: Sequence[_Visitor]) -> bool:
        """Cut off one who can be spared, the longest there first, the known in the middle of a request last."""
        spare = [visitor for visitor in among if visitor.stage is not Stage.SERVED]
        if not spare:
            return False
        victim = min(spare, key=lambda visitor: visitor.known and visitor.stage is Stage.READING)
        self._visitors.pop(victim).cancel()
        return True

    # --- one visitor --------------------------------------------------------------------------------------------------

    async def _serve(self, visitor: _Visitor) -> None:
        visitor.stage = Stage.WAITING
        writer: asyncio.StreamWriter | None = None
        try:
            visitor.reader, writer = await self._streams(visitor.conn)
            visitor.writer = writer
            while await self._request(visitor):
                visitor.stage = Stage.WAITING
                if (task := self._visitors.pop(visitor, None)) is not None:
                    self._visitors[visitor] = task  # they stand in the order of their last request
        except GONE:
            pass
        finally:
            self._visitors.pop(visitor, None)
            if writer is not None:
                writer.transport.abort()

    async def _streams(self, conn: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Make the two ends of a conversation; the handshake of TLS is part of the visit and of its deadline."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=HEAD_LIMIT)
        protocol = asyncio.StreamReaderProtocol(reader)
        patience = self._limits.deadline if self._tls is not None else None
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, conn, ssl=self._tls, ssl_handshake_timeout=patience
        )
        transport.set_write_buffer_limits(0)  # drain() then waits until the kernel has everything
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _request(self, visitor: _Visitor) -> bool:
        """Serve one request; True when another may follow on this connection."""
        async with asyncio.timeout(self._limits.idle if visitor.known else self._limits.deadline):
            first = await visitor.reader.readexactly(1)
        visitor.stage = Stage.READING
        async with asyncio.timeout(self._limits.deadline):
            try:
                if first in b"\r\n":
                    raise Malformed("an empty line")
                words, fields = read_head(first + await visitor.reader.readuntil(END))
                response = await self._answer(visitor, words, fields)
            except (Malformed, asyncio.LimitOverrunError):
                response = REFUSED
            closing = response in (REFUSED, NOT_FOUND)
            visitor.writer.write(response)
            await visitor.writer.drain()
            if closing:
                await _linger(visitor)
        return not closing and fields.get(b"connection", b"").lower() != b"close"

    async def _answer(self, visitor: _Visitor, words: list[bytes], fields: dict[bytes, bytes]) -> bytes:
        if words == [b"POST", b"/parcel", b"HTTP/1.1"]:
            data = await visitor.reader.readexactly(body_length(fields, FRAME_LIMIT))
            if self.deliver is None:
                return _busy(policy.BUSY_RETRY)
            visitor.stage = Stage.SERVED
            answer = await self.deliver(data)
            visitor.known = visitor.known or answer.kind in (AnswerKind.SIGNED, AnswerKind.CUSTODY)
            return _response(answer)
        if words == [b"POST", b"/join", b"HTTP/1.1"] and self.join is not None:
            data = await visitor.reader.readexactly(body_length(fields, JOIN_LIMIT))
            visitor.stage = Stage.SERVED
            welcome = await self.join(data, visitor.source) if self.join is not None else None
            return REFUSED if welcome is None else _render(b"200 OK", welcome)
        return NOT_FOUND


async def _linger(visitor: _Visitor) -> None:
    """Swallow what was already on its way, so that the refusal is read before the connection breaks."""
    visitor.stage = Stage.WAITING
    if visitor.writer.can_write_eof():
        visitor.writer.write_eof()
    while await visitor.reader.read(1 << 16):
        pass


def _farewell(visitor: _Visitor, task: asyncio.Task[None]) -> None:
    """Show a bug behind the door; it ended one conversation and nothing else."""
    if visitor.stage is Stage.NEW:  # sent away before its task began
        visitor.conn.close()
    if not task.cancelled() and (error := task.exception()) is not None:
        words = {"message": "http: a parcel could not be received", "exception": error}
        asyncio.get_running_loop().call_exception_handler(words)
