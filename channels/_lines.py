"""The calling side of channels/http.py: connections to parcel doors, kept for reuse; never a proxy, never a redirect.

A name is resolved once and only what was resolved and permitted is connected to (attack 14). With a pin the certificate
is compared byte for byte before anything is sent.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import hmac
import ipaddress
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from channels._message import END, GONE, HEAD_LIMIT, body_length, read_head
from fleet.core import policy
from fleet.errors import Barred, Faulty, Malformed, Unreachable

CONNECT_TIMEOUT = 2.0  # for one address of a name; the next is tried afterwards
LINES = policy.CONNECTIONS_PER_ADDRESS - 1  # to one door: mail takes 6, pings find one more, a neighbour the last
LINE_IDLE = 30.0  # half of what the door allows, so that we hang up first
RESPONSE_LIMIT = 1 << 20

Response = tuple[int, dict[bytes, bytes], bytes]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes; `pin` is the SHA-256 of the only certificate accepted there ("" = the system's roots)."""

    tls: bool
    host: str
    port: int
    path: str
    pin: str
    anywhere: bool  # the operator gave the address: it may lead to this machine or network segment


@functools.lru_cache(1024)
def target(url: str, pin: str, certificate: str, end: str, anywhere: bool) -> Target:
    """Read a peer's address. Raises Barred for one that no request may be made of."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise Barred("the http address is not a URL", address=True) from None
    tls = parts.scheme == "https"
    if not (tls or parts.scheme == "http") or not host or "@" in parts.netloc or parts.query or parts.fragment:
        raise Barred("the http address must look like http://HOST:PORT or https://HOST:PORT", address=True)
    path = parts.path.rstrip("/") + end
    if not all("!" <= letter <= "~" for letter in host + path):
        raise Barred("the http address holds characters that no address holds", address=True)
    if tls and certificate and not pin:
        pin = _fingerprint(certificate)
    return Target(tls, host, port or (443 if tls else 80), path, pin.replace(":", "").lower() if tls else "", anywhere)


def _fingerprint(certificate: str) -> str:
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()
    except ValueError:
        raise Barred("the peer's TLS certificate is not one") from None


@dataclass(eq=False, slots=True)
class _Request:
    data: bytes
    begun: bool = False  # bytes of it went out: the door may have it


@dataclass(eq=False, slots=True)
class _Line:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used: bool = False
    timer: asyncio.TimerHandle | None = None

    def is_open(self) -> bool:
        return not self.reader.at_eof() and not self.writer.is_closing()

    def hang_up(self) -> None:
        self.pick_up()
        self.writer.transport.abort()

    def pick_up(self) -> None:
        if self.timer is not None:
            self.timer.cancel()

    async def talk(self, request: _Request) -> Response:
        """Send a request and read its response; the body only of a 200."""
        request.begun = True
        self.writer.write(request.data)
        await self.writer.drain()
        words, fields = read_head(await self.reader.readuntil(END))
        if len(words) < 2 or words[0] not in (b"HTTP/1.1", b"HTTP/1.0") or not words[1].isdigit():
            raise Malformed("no status line")
        if words[1] == b"200":
            return 200, fields, await self.reader.readexactly(body_length(fields, RESPONSE_LIMIT))
        if fields.get(b"content-length") != b"0":
            fields[b"connection"] = b"close"
        return int(words[1][:3]), fields, b""


@dataclass(eq=False, slots=True)
class _Pool:
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LINES))
    idle: list[_Line] = field(default_factory=list)
    users: int = 0

    def take(self) -> _Line | None:
        while self.idle:
            line = self.idle.pop()
            if line.is_open():
                line.pick_up()
                return line
            line.hang_up()
        return None


class Lines:
    """Every connection of one node to the doors of others; `permitted` judges each address a name resolves to."""

    def __init__(self, permitted: Callable[[str, int], bool]) -> None:
        self._permitted = permitted
        self._pools: dict[Target, _Pool] = {}
        self._speaking: set[_Line] = set()
        self._closed = False

    async def post(self, target: Target, body: bytes, timeout: float) -> Response:
        """Make one request within `timeout` seconds. Raises Unreachable, Barred or Faulty."""
        if self._closed:
            raise Unreachable("this road is closed")
        pool = self._pools.setdefault(target, _Pool())
        pool.users += 1
        request = _request(target, body)
        try:
            async with asyncio.timeout(timeout), pool.slots:
                return await self._exchange(target, pool, request)
        except TimeoutError:
            raise Unreachable(f"no answer within {timeout:g} s", unsent=not request.begun) from None
        except Malformed as error:
            raise Unreachable(f"the answer is not what a door says: {error.message}") from None
        except GONE as error:
            raise Unreachable(_say(error), unsent=not request.begun) from None
        finally:
            pool.users -= 1
            self._sweep(target, pool)

    def renew(self) -> None:
        """Hang up every line that rests: the next request dials."""
        for target, pool in list(self._pools.items()):
            for line in pool.idle:
                line.hang_up()
            pool.idle.clear()
            self._sweep(target, pool)

    def close(self) -> None:
        """Hang up everywhere; whoever still waits for an answer is told."""
        self._closed = True
        for line in [*self._speaking, *(line for pool in self._pools.values() for line in pool.idle)]:
            line.hang_up()
        self._pools.clear()

    async def _exchange(self, target: Target, pool: _Pool, request: _Request) -> Response:
        while True:
            line = pool.take() or await self._dial(target)
            whole = False
            self._speaking.add(line)
            try:
                response = await line.talk(request)
                whole = response[1].get(b"connection", b"").lower() != b"close"
                return response
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                broken_off = isinstance(error, asyncio.IncompleteReadError) and error.partial
                if broken_off or not line.used or self._closed:
                    raise
                # The door hung up while the line rested. The bytes are the same, so another line is tried.
            finally:
                self._speaking.discard(line)
                if whole and not self._closed:
                    self._rest(target, pool, line)
                else:
                    line.hang_up()

    def _rest(self, target: Target, pool: _Pool, line: _Line) -> None:
        def enough() -> None:
            pool.idle.remove(line)
            line.hang_up()
            self._sweep(target, pool)

        line.used = True
        line.timer = asyncio.get_running_loop().call_later(LINE_IDLE, enough)
        pool.idle.append(line)

    def _sweep(self, target: Target, pool: _Pool) -> None:
        if not pool.users and not pool.idle:
            self._pools.pop(target, None)

    async def _dial(self, target: Target) -> _Line:
        found = await asyncio.get_running_loop().getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        places = dict.fromkeys(str(info[4][0]) for info in found)
        *others, last = [place for place in places if target.anywhere or self._permitted(place, target.port)] or [""]
        if not last:
            raise Barred("the address leads where no mail may go")
        for place in others:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    return await _connect(target, place)
            except OSError:
                continue
        return await _connect(target, last)


async def _connect(target: Target, place: str) -> _Line:
    context = _context(bool(target.pin)) if target.tls else None
    name = target.host if context else None
    try:
        reader, writer = await asyncio.open_connection(
            place, target.port, limit=HEAD_LIMIT, ssl=context, server_hostname=name
        )
    except ssl.SSLCertVerificationError:
        raise Faulty("the door's certificate is not trusted", security=True) from None
    if target.pin:
        shown = hashlib.sha256(writer.get_extra_info("ssl_object").getpeercert(True)).hexdigest()
        if not hmac.compare_digest(shown.encode(), target.pin.encode()):
            writer.transport.abort()
            raise Faulty("the door shows another certificate than the pinned one", security=True)
    return _Line(reader, writer)


@functools.lru_cache(2)
def _context(pinned: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if pinned:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def is_open_ground(place: str, port: int, home: bool, own_ports: frozenset[int]) -> bool:
    """Say whether a stranger's address may lead there; to this machine only when our own door is `home`."""
    address = ipaddress.ip_address(place.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback:
        return home and port not in own_ports
    return not (address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved)


def _request(target: Target, body: bytes) -> _Request:
    host = f"[{target.host}]" if ":" in target.host else target.host
    head = f"POST {target.path} HTTP/1.1\r\nHost: {host}:{target.port}\r\nContent-Type: application/octet-stream\r\n"
    return _Request(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def _say(error: BaseException) -> str:
    if isinstance(error, asyncio.LimitOverrunError):
        return "an answer whose head has no end"
    if isinstance(error, EOFError):
        return "the connection ended before the answer"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
