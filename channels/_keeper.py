"""Keeps one connection to a NATS broker alive for channels/nats.py; never buffers, never lets the library reconnect.

On any doubt the client is thrown away and a new one made: the library's own reconnect buffers what is published
meanwhile, and it can hang in wait_closed() behind a full send buffer. Pings are ours too, because the library's own
flush() leaves a broken client behind when it times out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.errors import Error as NatsError

from channels._nkeys import Key, public_nkey, sign
from fleet.core.sealing import Secret
from fleet.errors import Faulty, RoadError, Unreachable

CONNECT_TIMEOUT = 2.0  # for TCP, greeting and login together; a LAN or tailnet needs 2 to 50 ms
FIRST_TRY = 1.0  # how long the first try may hold up the start; it goes on in the background
RECONNECT_WAIT = 0.5  # times U(0.5, 1.5), so that a fleet does not come back in step
PING_INTERVAL = 2.0  # with PONG_TIMEOUT a silent broker is given up after 2 to 4 s
PONG_TIMEOUT = 2.0
CLOSE_TIMEOUT = 1.0
OLDER_KEY_LIFE = 15.0  # seconds with a broker that knows only the nkey before ours; then ours is tried again
STRANGE = (AttributeError, TypeError, LookupError, ValueError, RuntimeError)  # what the library makes of a wrong greeting
SOCKET_OPTIONS = {  # unacknowledged bytes end the connection after 5 s, an idle dead one after 9 s
    "TCP_NODELAY": 1,
    "TCP_USER_TIMEOUT": 5_000,
    "TCP_KEEPIDLE": 5,
    "TCP_KEEPINTVL": 2,
    "TCP_KEEPCNT": 2,
}

logging.getLogger("nats").setLevel(logging.CRITICAL)  # it logs exceptions with whatever bytes they hold


class Connection(Client):
    """The library's client, deaf to headers: one of odd length would end its read loop without a word."""

    async def _process_headers(self, headers: Any) -> dict[str, str] | None:
        return {"Status": "503"} if headers and headers.startswith(b"NATS/1.0 503") else None


class Keeper:
    """The one owner of the connection; `ready` subscribes on each new one, `failed` hears why the last one ended."""

    def __init__(self, urls: Sequence[str], name: str, nkey: Secret | None, older: Secret | None = None) -> None:
        """Take the brokers in order, our name, our nkey and the one before, for a broker that knows no other."""
        self.urls = tuple(urls)
        self._added = asyncio.Event()
        self._learned: tuple[str, ...] = ()
        self.client: Connection | None = None
        self.ready: Callable[[Connection], Awaitable[None]]
        self.began: Callable[[], None] = lambda: None
        self.failed: Callable[[], None]
        self.forbidden: Callable[[str], None]
        self.mark = ""
        self._name = name
        keys: list[Key | None] = [(seed, public_nkey(seed)) for seed in (nkey, older) if seed is not None]
        self._keys = keys or [None]
        self.entered: Callable[[], None] = lambda: None  # a broker let our nkey in
        self._why: tuple[type[RoadError], str] = (Unreachable, "not connected to the broker yet")
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._lost: asyncio.Future[Exception] | None = None  # of the connection that stands

    def start(self) -> asyncio.Task[None]:
        """Start the task that keeps the connection, or give the one that runs. Raises the bug that ended the last."""
        if self._task is not None and self._task.done():
            self.bury()
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name="nats keeper")
        return self._task

    def also(self, url: str) -> None:
        """Try another address after those known."""
        self.urls = (*self.urls, url)
        self._added.set()

    def learn(self, urls: Sequence[str]) -> None:
        """Try these after those known, and no more what was learned before; a connection that stands is left alone."""
        kept = [url for url in self.urls if url not in self._learned]
        self._learned = tuple(url for url in urls if url not in kept)
        self.urls = (*kept, *self._learned)
        if self.urls:
            self._added.set()
        else:
            self._added.clear()

    def no_longer(self, url: str) -> None:
        """Forget an address that also() added; a connection that stands is left to end by itself."""
        self.urls = tuple(known for known in self.urls if known != url)
        if not self.urls:
            self._added.clear()

    def anew(self) -> None:
        """Throw the connection away and make a new one."""
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(Unreachable("connected anew"))

    def bury(self) -> None:
        """Forget a task that ended; only a bug ends it by itself, and that is raised here, once."""
        task, self._task = self._task, None
        if task is not None and not task.cancelled():
            task.result()

    async def first_try(self) -> None:
        """Wait until the first connection stands or failed, but not long."""
        if self.urls:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_TRY):
                    await self._tried.wait()

    async def stop(self) -> None:
        """End the task and with it the connection."""
        self._why = (Unreachable, "this road is closed")
        if self._task is not None:
            await cancel({self._task})

    def why(self) -> RoadError:
        """Say why there is no connection."""
        kind, reason = self._why
        return kind(reason) if kind is Faulty else Unreachable(reason, unsent=True)

    async def _keep(self) -> None:
        while True:
            if not self.urls:
                await self._added.wait()
            for url in self.urls:
                if await self._enter(url):
                    break
            self._tried.set()
            await asyncio.sleep(RECONNECT_WAIT * random.uniform(0.5, 1.5))

    async def _enter(self, url: str) -> bool:
        """Live with one broker, under the nkey before ours when it refuses ours; False when it lets neither in."""
        for number, key in enumerate(self._keys):
            if await self._live(url, key, older=number > 0):
                return True
            if self._why[0] is not Faulty:
                break
        return False

    async def _live(self, url: str, key: Key | None, *, older: bool = False) -> bool:
        """Hold one connection for as long as it is good; False when it never came to be."""
        client = Connection()
        lost = self._lost = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._connect(client, url, key, lost)
            if not older:
                self.entered()
            async with asyncio.timeout(OLDER_KEY_LIFE if older else None):
                await _watch(client, lost)
        except (NatsError, OSError, ValueError, RoadError) as error:  # TimeoutError is an OSError
            kind = Faulty if isinstance(error, Faulty) or _is_login(error) else Unreachable
            self._why = (kind, f"broker {_place(url)}: {say(error)}")
        finally:
            lived = self.client is client
            self.client = None
            self.failed()
            await _discard(client)
        return lived

    async def _connect(self, client: Connection, url: str, key: Key | None, lost: asyncio.Future[Exception]) -> None:
        async def trouble(error: Exception) -> None:
            if self.client is not client:
                raise Faulty(say(error)) if _is_login(error) else Unreachable(say(error))
            if "permissions violation" in str(error):
                self.forbidden(str(error))
            elif not lost.done():
                lost.set_result(error)

        async def gone() -> None:
            if not lost.done():
                lost.set_result(client.last_error or ConnectionResetError("closed"))

        client._public_nkey = key[1] if key else None  # the library knows no other way that leaves the seed with us
        try:
            await client.connect(
                [url],
                name=self._name,
                error_cb=trouble,
                disconnected_cb=gone,
                signature_cb=partial(sign, key[0]) if key is not None else None,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                ping_interval=86_400,
                pending_size=0,
            )
        except STRANGE:
            raise Unreachable("what answers there does not speak NATS") from None
        _tune(client)
        await self.ready(client)
        self.client = client
        self._tried.set()
        self.began()


async def cancel(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel tasks until they ended; the library's wait_for() loses a cancellation now and then before Python 3.12."""
    pending = found = list(tasks)
    while pending:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=1.5 * CLOSE_TIMEOUT)
        pending = [task for task in pending if not task.done()]
    await asyncio.gather(*found, return_exceptions=True)  # so that nobody asks who heard of a failure


def say(error: Exception) -> str:
    """Say what went wrong in printable words; a broker's text is a stranger's text."""
    if isinstance(error, RoadError):
        return error.message
    if isinstance(error, TimeoutError):
        return f"no connection within {CONNECT_TIMEOUT:g} s"
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error).removeprefix("nats: ")
    return "".join(c for c in words if c.isprintable())[:200] or type(error).__name__


def _is_login(error: Exception) -> bool:
    words = str(error).lower()
    return isinstance(error, NatsError) and ("authorization" in words or "authentication" in words)


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 4222}"  # never the user and password an operator may have put there


def _wire(client: Connection) -> Any:
    """Find the asyncio transport below the client; the library gives no public way to it."""
    return getattr(getattr(client._transport, "_io_writer", None), "transport", None)


def _tune(client: Connection) -> None:
    sock = wire.get_extra_info("socket") if (wire := _wire(client)) else None
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in SOCKET_OPTIONS.items():
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


async def _watch(client: Connection, lost: asyncio.Future[Exception]) -> None:
    """Ping until the connection is lost or silent, then raise what happened."""
    while True:
        await asyncio.wait({lost}, timeout=PING_INTERVAL)
        if lost.done():
            raise lost.result()
        if not client.is_connected or not await _answers(client, lost):
            raise lost.result() if lost.done() else Unreachable("the broker went silent")


async def _answers(client: Connection, lost: asyncio.Future[Exception]) -> bool:
    """Ping the broker once; a slow link that still moves bytes is given more time."""
    probe = asyncio.create_task(client.rtt(timeout=3600))
    waited: set[asyncio.Future[Any]] = {probe, lost}
    try:
        while True:
            before = _moved(client)
            await asyncio.wait(waited, timeout=PONG_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            if probe.done() or lost.done():
                return probe.done() and probe.exception() is None and client.is_connected
            if not any(now > then for now, then in zip(_moved(client), before, strict=True)):
                return False
    finally:
        probe.cancel()


def _moved(client: Connection) -> tuple[int, int]:
    """Count what came in and what the kernel took from us."""
    wire = _wire(client)
    unsent = client.pending_data_size + (wire.get_write_buffer_size() if wire else 0)
    return client.stats["in_bytes"], client.stats["out_bytes"] - unsent


async def _discard(client: Connection) -> None:
    """Abort the socket first, so that nothing the library does afterwards can wait for it."""
    wire = _wire(client)
    if wire is None:
        return
    connected = client.is_connected
    wire.abort()
    if connected:
        client._pending_data_size = 0  # else close() would write it to a socket that is gone, which uvloop refuses
        with contextlib.suppress(NatsError, OSError, RuntimeError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await client.close()
