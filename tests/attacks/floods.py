"""Floods against a real node: crowds of connections, junk by NATS and by HTTP, a reader that stays; knows no verdict.

with Crowd(door_of(a), 500) as crowd: crowd.trickle(); crowd.left()
with Junk(a, by_nats(b, a, 20_000)) as junk: honest(b, a, 5)
"""

import asyncio
import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Self

import nats

from fleet.core import subjects
from fleet.store.keys import KeyRing
from tests.support.nodes import DONE, Node, until

SIZE = 300  # bytes of a junk parcel
TICK = 0.02  # seconds between two bursts of junk
STEP = 250  # connections of a crowd between two looks for room in the backlog
START = b"POST /parcel HTTP/1.1\r\nX"

Flood = Callable[["Junk"], Coroutine[Any, Any, None]]


def door_of(node: Node) -> tuple[str, int]:
    """Where a node takes parcels."""
    host, _, port = node.bind.rpartition(":")
    return host, int(port)


def descriptors(node: Node) -> int:
    """Count what the daemon has open."""
    assert node.process is not None
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))


def memory(node: Node, row: str = "VmRSS") -> float:
    """Measure the daemon's resident memory, MB; `row` VmHWM = the most it ever was."""
    assert node.process is not None
    with open(f"/proc/{node.process.pid}/status", encoding="ascii") as status:
        (line,) = (line for line in status if line.startswith(row))
    return int(line.split()[1]) * 1024 / 1e6


def honest(sender: Node, to: Node, count: int, patience: float = 60.0) -> list[float]:
    """Send messages one after the other; gives the seconds until each one's receipt was back, sorted."""
    took = []
    for number in range(count):
        began = time.perf_counter()
        (id,) = sender.send(to.name, f"honest {number}")
        until(lambda id=id: sender.status_of(id) == DONE, "an honest message arrives", patience)  # type: ignore[misc]
        took.append(time.perf_counter() - began)
    return sorted(took)


class Crowd:
    """Connections to one door, each few from another loopback address; they say nothing until told to."""

    def __init__(self, door: tuple[str, int], count: int, block: int = 2) -> None:
        self._socks = []
        for number in range(count):
            sock = socket.socket()
            sock.setblocking(False)
            sock.bind((f"127.{block}.{number // 250}.{number % 250 + 1}", 0))
            sock.connect_ex(door)
            self._socks.append(sock)
            if number % STEP == STEP - 1:
                time.sleep(TICK)

    def say(self, words: bytes) -> None:
        """Send the same from everyone who is still connected."""
        for sock in self._socks:
            with contextlib.suppress(OSError):
                sock.send(words)

    def left(self) -> int:
        """Count those the other side has not hung up on."""
        self._socks = [sock for sock in self._socks if _open(sock)]
        return len(self._socks)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for sock in self._socks:
            sock.close()


def _open(sock: socket.socket) -> bool:
    try:
        while sock.recv(4096):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    sock.close()
    return False


class Junk(threading.Thread):
    """A flood in a thread of its own until the block ends; `sent` says how many went out."""

    def __init__(self, flood: Flood) -> None:
        super().__init__(daemon=True, name="junk")
        self._flood = flood
        self._error: BaseException | None = None
        self.ended = threading.Event()
        self.sent = 0

    def run(self) -> None:
        try:
            asyncio.run(self._flood(self))
        except Exception as error:
            self._error = error

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.ended.set()
        self.join(60)
        assert not self.is_alive(), "the flood hangs"
        if self._error is not None:
            raise self._error


def by_nats(member: Node, to: Node, rate: int) -> Flood:
    """Make junk that a member lays on another's subject, so many a second at most; each asks for an answer."""

    async def flood(junk: Junk) -> None:
        ring = KeyRing.load(member.home / "keys")
        url = f"nats://127.0.0.1:{to.environ['FLEET_NATS_PORT']}"
        client = await nats.connect(url, nkeys_seed_str=ring.nats_seed.reveal().decode(), allow_reconnect=False)
        subject, inbox = subjects.door(ring.fleet, to.name), subjects.answers(member.name) + "junk"
        began = time.perf_counter()
        while not junk.ended.is_set():
            due = min(int((time.perf_counter() - began) * rate) - junk.sent, rate)
            for _ in range(due):
                await client.publish(subject, os.urandom(SIZE), reply=inbox)
            junk.sent += due
            await client.flush(30)
            await asyncio.sleep(TICK)
        await client.close()

    return flood


def by_http(to: Node, lines: int = 32) -> Flood:
    """Make junk at the parcel door as fast as one core brings it, from `lines` addresses, each by a new handshake."""
    blind = ssl.create_default_context()
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    request = b"POST /parcel HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % SIZE

    async def line(number: int, junk: Junk) -> None:
        while not junk.ended.is_set():
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(10):
                    source = (f"127.9.0.{number + 1}", 0)
                    reader, writer = await asyncio.open_connection(*door_of(to), local_addr=source, ssl=blind)
                    writer.write(request + os.urandom(SIZE))
                    junk.sent += bool(await reader.read(64))
                    writer.transport.abort()

    async def flood(junk: Junk) -> None:
        await asyncio.gather(*(line(number, junk) for number in range(lines)))

    return flood
