"""The HTTP road over real sockets: the door against strangers, the lines against liars, addresses against misuse."""

import asyncio
import contextlib
import datetime
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from channels import _lines
from channels import http as road
from channels.http import Http
from fleet.core import policy
from fleet.core.channel import Answer, AnswerKind
from fleet.core.outcome import Outcome
from fleet.core.peer import Peer
from fleet.errors import Barred, Faulty, RoadError, SettingsError, Unreachable
from tests.channels.contract import (
    LONG,
    SOON,
    Collector,
    ReplyingRoad,
    World,
    answering,
    bugs_collected,
    listening,
    parcel,
    signed,
)
from tests.support.hosts import taken_port

DEADLINE = 0.15  # what a slow client gets in these tests
ECHO = signed(b"yes")
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def made(**settings: Any) -> Http:
    return road.build({"bind": "127.0.0.1:0", **settings}, {})


def at(channel: Http, **more: str) -> Peer:
    host, port = channel.bound or ("", 0)
    return Peer(id="there", addresses={"http": {"url": f"http://{host}:{port}", **more}})


def peer_at(url: str, **more: Any) -> Peer:
    return Peer(id="there", addresses={"http": {"url": url}}, **more)


class HttpWorld(World):
    here: Http
    there: Http

    async def start(self, **settings: Any) -> None:
        self.here, self.there = made(), made(**settings)
        await self.here.open()
        await self.there.open()
        self.peer = at(self.there)
        with taken_port() as port:
            self._free = port

    def absent(self) -> Peer:
        return peer_at(f"http://127.0.0.1:{self._free}")

    async def dial(self, source: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self.there.bound or ("", 0)
        return await asyncio.open_connection(host, port, local_addr=(source, 0))

    async def raw(self, data: bytes, source: str = "127.0.0.1") -> bytes:
        """Send bytes and read until the door hangs up."""
        reader, writer = await self.dial(source)
        writer.write(data)
        try:
            async with asyncio.timeout(LONG):
                return await reader.read()
        finally:
            writer.transport.abort()


class TestContract(ReplyingRoad):
    World = HttpWorld


@contextlib.asynccontextmanager
async def a_world(directory: Path, **settings: Any) -> AsyncIterator[HttpWorld]:
    world = HttpWorld(directory)
    await world.start(**settings)
    try:
        yield world
    finally:
        await world.here.close()
        await world.there.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HttpWorld]:
    async with a_world(tmp_path) as world:
        yield world


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[HttpWorld]:
    """A world whose door is small and impatient."""
    async with a_world(tmp_path, deadline=DEADLINE, connections=6, per_address=3) as world:
        yield world


def post(data: bytes, path: bytes = b"/parcel", extra: bytes = b"Connection: close\r\n") -> bytes:
    return b"POST %b HTTP/1.1\r\nContent-Length: %d\r\n%b\r\n%b" % (path, len(data), extra, data)


def status(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def body(response: bytes) -> bytes:
    return response.partition(b"\r\n\r\n")[2]


# --- the door -------------------------------------------------------------------------------------------------------------


async def test_the_status_says_what_became_of_the_parcel(world: HttpWorld) -> None:
    for answer, expected, data in (
        (signed(b"receipt"), 200, b"receipt"),
        (Answer(AnswerKind.CUSTODY), 202, b""),
        (Answer(AnswerKind.BUSY, retry_after=2.5), 503, b""),
        (Answer(AnswerKind.NONE), 400, b""),
    ):
        async with listening(world, answering(answer)):
            response = await world.raw(post(b"x"))
        assert (status(response), body(response)) == (expected, data)
        assert (b"Retry-After: 3\r\n" in response) == (expected == 503)


async def test_reconnecting_hangs_up_the_lines_that_rest_and_dials_anew(world: HttpWorld) -> None:
    async with listening(world, answering(ECHO)):
        assert await world.send(b"x", LONG) == Outcome.replied(b"yes")
        (pool,) = world.here._lines._pools.values()
        (rested,) = pool.idle
        await world.here.reconnect()
        assert not rested.is_open() and world.here._lines._pools == {}
        assert await world.send(b"x", LONG) == Outcome.replied(b"yes")


async def test_reconnecting_opens_a_door_that_never_opened() -> None:
    door = made()
    assert door.bound is None
    await door.reconnect()
    assert door.bound is not None
    await door.close()


async def test_until_somebody_listens_the_door_is_busy(world: HttpWorld) -> None:
    response = await world.raw(post(b"x"))
    assert status(response) == 503 and b"Retry-After: 1\r\n" in response


@pytest.mark.parametrize(
    "request_line",
    [b"GET /parcel", b"PUT /parcel", b"POST /", b"POST /parcel/", b"POST /parcel?x=1", b"POST //parcel", b"POST /join",
     b"POST http://127.0.0.1/parcel", b"GET /health", b"OPTIONS *", b"CONNECT example.org:443"],
)  # fmt: skip
async def test_there_is_no_other_door(world: HttpWorld, request_line: bytes) -> None:
    collector = Collector()
    async with listening(world, collector):
        response = await world.raw(request_line + b" HTTP/1.1\r\nContent-Length: 1\r\n\r\nx")
    assert (status(response), body(response), collector.came) == (404, b"", [])


async def test_join_answers_only_while_an_invite_is_open(world: HttpWorld) -> None:
    asked: list[tuple[bytes, str]] = []

    async def join(frame: bytes, source: str) -> bytes | None:
        asked.append((frame, source))
        return b"welcome" if frame == b"secret" else None

    url = f"http://127.0.0.1:{(world.there.bound or ('', 0))[1]}"
    with pytest.raises(Faulty, match="404"):
        await world.here.knock(url, "", b"secret", LONG)
    world.there.join = join
    assert await world.here.knock(url, "", b"secret", LONG) == b"welcome"
    with pytest.raises(Unreachable, match="400"):
        await world.here.knock(url, "", b"guess", LONG)
    assert body(await world.raw(post(b"guess", b"/join"), "127.0.0.9")) == b""
    assert asked == [(b"secret", "127.0.0.1"), (b"guess", "127.0.0.1"), (b"guess", "127.0.0.9")]
    assert status(await world.raw(post(bytes(33 * 1024), b"/join"))) == 400
    world.there.join = None
    assert world.there.join is None
    with pytest.raises(Faulty, match="404"):
        await world.here.knock(url, "", b"secret", LONG)


MALFORMED = [
    b"POST /parcel HTTP/1.1\r\n\r\n",
    b"POST /parcel HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /parcel HTTP/1.1\r\nContent-Length: +1\r\n\r\nx",
    b"POST /parcel HTTP/1.1\r\nContent-Length: 1e3\r\n\r\nx",
    b"POST /parcel HTTP/1.1\r\nContent-Length: 0x1\r\n\r\nx",
    b"POST /parcel HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\nx",
    b"POST /parcel HTTP/1.1\r\nContent-Length: \xb2\r\n\r\nx",
    b"POST /parcel HTTP/1.1\r\nContent-Length: 2147483648\r\n\r\nx",
    b"POST /parcel HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\nx",
    b"POST /parcel HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    b"POST /parcel HTTP/1.1\r\nContent-Length : 1\r\n\r\nx",
    b"POST /parcel HTTP/1.1\r\n Content-Length: 1\r\n\r\nx",
    b"POST /parcel HTTP/1.1\r\nno colon\r\nContent-Length: 1\r\n\r\nx",
    b"POST /parcel HTTP/1.1\r\n: empty\r\nContent-Length: 1\r\n\r\nx",
    b"POST /parcel HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    b"POST /parcel HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\nx",
    b"POST /parcel HTTP/1.1\r\nX: " + b"y" * 9_000 + b"\r\nContent-Length: 1\r\n\r\nx",
    b"POST /parcel HTTP/1.1\r\n" + b"X: y\r\n" * 2_000 + b"Content-Length: 1\r\n\r\nx",
    b"A" * 20_000,
]


@pytest.mark.parametrize("data", MALFORMED, ids=range(len(MALFORMED)))
async def test_what_is_malformed_gets_400_and_nothing_more(world: HttpWorld, data: bytes) -> None:
    collector = Collector()
    async with listening(world, collector):
        response = await world.raw(data)
        assert (status(response), body(response)) == (400, b"")
        assert (await world.send(b"honest")).data == b"honest"
    assert collector.came == [b"honest"]


@pytest.mark.parametrize("data", [b"\r\n\r\n", b"POST /parcel\r\n\r\n", b"POST /parcel HTTP/1.0\r\n\r\n", b"\0\r\n\r\n"])
async def test_what_is_no_request_of_ours_finds_nothing(world: HttpWorld, data: bytes) -> None:
    assert status(await world.raw(data)) in (400, 404)


@pytest.mark.parametrize("excess", [1, 1 << 20])
async def test_an_oversized_body_is_refused_before_it_is_read(world: HttpWorld, excess: int) -> None:
    length = policy.PARCEL_LIMIT + 1024 + excess
    collector = Collector()
    async with listening(world, collector):
        head = b"POST /parcel HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % length
        reader, writer = await world.dial()
        writer.write(head)
        assert status(await reader.readuntil(b"\r\n\r\n")) == 400
        writer.close()
        assert status(await world.raw(head + bytes(length))) == 400
    assert collector.came == []


async def test_every_cut_of_a_request_leaves_the_door_standing(world: HttpWorld) -> None:
    whole = post(b"parcel")
    collector = Collector()
    async with listening(world, collector):
        for end in range(len(whole)):
            reader, writer = await world.dial()
            writer.write(whole[:end])
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
        assert status(await world.raw(whole)) == 200
    assert collector.came == [b"parcel"]


@pytest.mark.parametrize("sent", [b"", b"POST", post(bytes(100))[:-50]])
async def test_a_slow_client_is_cut_at_the_deadline(strict: HttpWorld, sent: bytes) -> None:
    async with listening(strict, answering(ECHO)):
        reader, writer = await strict.dial()
        writer.write(sent)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), LONG) == b""
        writer.close()


async def test_a_trickle_does_not_move_the_deadline(strict: HttpWorld) -> None:
    async with listening(strict, answering(ECHO)):
        reader, writer = await strict.dial()
        gone = asyncio.ensure_future(reader.read())
        for byte in post(bytes(10_000)):
            writer.write(bytes([byte]))
            await asyncio.wait({gone}, timeout=DEADLINE / 20)
            if gone.done():
                break
        with contextlib.suppress(ConnectionError):
            assert await gone == b""
        writer.transport.abort()


async def test_an_answer_nobody_reads_is_given_up(strict: HttpWorld) -> None:
    async with listening(strict, answering(signed(bytes(16 << 20)))):
        reader, writer = await strict.dial("127.0.1.1")
        writer.transport.pause_reading()
        writer.write(post(b"x"))
        while not strict.there._door._visitors:
            await asyncio.sleep(0)
        async with asyncio.timeout(LONG):
            while any(visitor.source == "127.0.1.1" for visitor in strict.there._door._visitors):
                await asyncio.sleep(0.01)
        writer.transport.abort()
        del reader


async def test_the_known_may_rest_longer_than_strangers(tmp_path: Path) -> None:
    async with a_world(tmp_path, deadline=DEADLINE) as world, listening(world, answering(ECHO)):
        reader, writer = await world.dial()
        for _ in range(2):
            writer.write(post(b"x", extra=b""))
            assert (await reader.readuntil(b"yes")).endswith(b"yes")
            await asyncio.sleep(1.5 * DEADLINE)  # the deadline of a stranger passes
        writer.close()


async def test_a_full_house_sends_the_idle_away_for_the_newcomer(strict: HttpWorld) -> None:
    async with listening(strict, answering(ECHO)):
        idle = [await strict.dial(f"127.0.1.{n}") for n in range(20)]
        assert len(strict.there._door._visitors) <= 6
        assert body(await strict.raw(post(b"x"), "127.0.2.1")) == b"yes"
        assert await idle[0][0].read() == b""
        for _, writer in idle:
            writer.transport.abort()


async def test_one_address_takes_only_its_own_places(strict: HttpWorld) -> None:
    hold, came = asyncio.Event(), Collector()

    async def deliver(data: bytes) -> Answer:
        await came(data)
        await hold.wait()
        return ECHO

    async with listening(strict, deliver):
        other = asyncio.ensure_future(strict.raw(post(b"other"), "127.0.1.1"))
        held = [asyncio.ensure_future(strict.raw(post(b"%d" % n), "127.0.1.2")) for n in range(3)]
        await came.wait_for(4)
        refused = await strict.raw(post(b"one too many"), "127.0.1.2")
        assert status(refused) == 503 and b"Retry-After: 1\r\n" in refused
        hold.set()
        assert [body(response) for response in await asyncio.gather(other, *held)] == [b"yes"] * 4


async def test_when_everybody_is_served_the_newcomer_comes_later(strict: HttpWorld) -> None:
    hold, came = asyncio.Event(), Collector()

    async def deliver(data: bytes) -> Answer:
        await came(data)
        await hold.wait()
        return ECHO

    async with listening(strict, deliver):
        held = [asyncio.ensure_future(strict.raw(post(b"x"), f"127.0.1.{n}")) for n in range(6)]
        await came.wait_for(6)
        assert status(await strict.raw(post(b"x"), "127.0.2.1")) == 503
        hold.set()
        assert {body(response) for response in await asyncio.gather(*held)} == {b"yes"}


async def test_honest_mail_passes_through_a_flood(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, listening(world, answering(ECHO)):
        slow = [await world.dial(f"127.0.3.{n}") for n in range(100)]
        for _, writer in slow:
            writer.write(b"POST /parcel HTTP/1.1\r\nX")
        idle = [await world.dial(f"127.0.{4 + n // 250}.{n % 250}") for n in range(500)]
        assert len(world.there._door._visitors) <= policy.CONNECTIONS
        for _ in range(20):
            assert (await world.send(b"honest")).data == b"yes"
        for _, writer in [*slow, *idle]:
            writer.transport.abort()


async def test_a_bug_behind_the_door_ends_one_conversation(world: HttpWorld) -> None:
    async def broken(data: bytes) -> Answer:
        raise ZeroDivisionError

    with bugs_collected() as bugs:
        async with listening(world, broken):
            with pytest.raises(Unreachable, match="ended before the answer"):
                await world.send(b"x", LONG)
    assert {type(bug) for bug in bugs} == {ZeroDivisionError}  # twice when the line had rested before


async def test_the_door_takes_the_next_free_port_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    with taken_port() as port:
        monkeypatch.setattr(road, "DEFAULT_BIND", ("127.0.0.1", port))
        channel = road.build({}, {})
        await channel.open()
        assert channel.bound and channel.bound[0] == "127.0.0.1" and channel.bound[1] > port
        await channel.close()
        told = road.build({"bind": f"127.0.0.1:{port}"}, {})
        with pytest.raises(Faulty, match=f"cannot listen on 127.0.0.1:{port}"):
            await told.open()
        await told.close()
    elsewhere = road.build({"bind": "192.0.2.1:8856"}, {})
    with pytest.raises(Faulty, match="cannot listen"):
        await elsewhere.open()


@pytest.mark.parametrize("bind", ["127.0.0.1", ":", ":80", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "a:²"])
def test_a_bind_that_is_none_is_a_mistake_of_the_settings(bind: str) -> None:
    with pytest.raises(SettingsError):
        made(bind=bind)


async def test_the_door_speaks_ipv6(tmp_path: Path) -> None:
    async with a_world(tmp_path, bind="[::1]:0") as world:
        peer = peer_at(f"http://[::1]:{(world.there.bound or ('', 0))[1]}")
        async with world_listening(world.there, ECHO):
            assert (await world.here.send(peer, parcel(b"x"), LONG)).data == b"yes"


@contextlib.asynccontextmanager
async def world_listening(channel: Http, answer: Answer) -> AsyncIterator[None]:
    task = asyncio.ensure_future(channel.listen(answering(answer)))
    await asyncio.sleep(0)
    yield
    task.cancel()


# --- the lines ------------------------------------------------------------------------------------------------------------


class Liar:
    """A server that says what a test wants; counts who came."""

    def __init__(self, talk: Talk) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self._talk = talk

    async def __aenter__(self) -> "Liar":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.peer = peer_at(f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}")
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(OSError, EOFError):
            await self._talk(reader, writer)
        writer.transport.abort()

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        self.requests.append(await reader.readexactly(length))
        return head


def saying(words: bytes, *, hold: bool = False) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(words)
        await writer.drain()
        if hold:
            await reader.read()

    return talk


@pytest.fixture
async def here() -> AsyncIterator[Http]:
    channel = made()
    await channel.open()
    yield channel
    await channel.close()


LIES: list[tuple[bytes, type[RoadError], str]] = [
    (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", Unreachable, "302"),
    (b"HTTP/1.1 307 x\r\nLocation: http://169.254.169.254/\r\n\r\n", Unreachable, "307"),
    (b"HTTP/1.1 200 OK\r\n\r\nno length", Unreachable, "no length"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", Unreachable, "no length"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", Unreachable, "no length"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n", Unreachable, "over the limit"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", Unreachable, "over the limit"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", Unreachable, "ended before the answer"),
    (b"HTTP/1.1 200 OK\r\nbroken line\r\n\r\n", Unreachable, "not what a door says"),
    (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Unreachable, "no status line"),
    (b"\r\n\r\n", Unreachable, "no status line"),
    (b"HTTP/9 200 OK\r\n\r\n", Unreachable, "no status line"),
    (b"HTTP/1.1 \xb2\xb2 x\r\n\r\n", Unreachable, "no status line"),
    (b"", Unreachable, "ended before the answer"),
    (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 9_000, Unreachable, "head has no end"),
    (b"y" * 100_000, Unreachable, "head has no end"),
    (b"HTTP/1.1 500 x\r\nContent-Length: 9999999999\r\n\r\n", Unreachable, "500"),
    (b"HTTP/1.1 404 Not Found\r\n\r\n<html>", Faulty, "something else answers there: 404"),
    (b"HTTP/1.1 403 x\r\n\r\n", Faulty, "403"),
    (b"HTTP/1.1 99999999999 x\r\n\r\n", Unreachable, "999"),
]


@pytest.mark.parametrize(("words", "kind", "reason"), LIES, ids=range(len(LIES)))
async def test_a_lying_server_is_evidence_and_no_more(here: Http, words: bytes, kind: type[RoadError], reason: str) -> None:
    async with Liar(saying(words)) as liar:
        with pytest.raises(kind, match=reason):
            await here.send(liar.peer, parcel(b"x"), LONG)
        assert liar.connections == 1


async def test_a_server_that_never_ends_its_answer_costs_the_timeout(here: Http) -> None:
    async with Liar(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", hold=True)) as liar:
        with pytest.raises(Unreachable, match="no answer within"):
            await here.send(liar.peer, parcel(b"x"), SOON)


@pytest.mark.parametrize(
    ("header", "expected"),
    [(b"", 1.0), (b"Retry-After: 7\r\n", 7.0), (b"Retry-After: 99999999\r\n", 60.0), (b"Retry-After: -1\r\n", 1.0),
     (b"Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n", 1.0), (b"Retry-After: \xb2\r\n", 1.0)],
)  # fmt: skip
async def test_busy_without_sense_is_the_usual_pause(here: Http, header: bytes, expected: float) -> None:
    async with Liar(saying(b"HTTP/1.1 503 x\r\n" + header + b"Content-Length: 0\r\n\r\n")) as liar:
        with pytest.raises(Unreachable) as caught:
            await here.send(liar.peer, parcel(b"x"), LONG)
    assert caught.value.retry_after == expected


async def test_a_line_is_used_again(here: Http) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await liar.request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with Liar(talk) as liar:
        for _ in range(10):
            assert await here.send(liar.peer, parcel(b"x"), LONG) == Outcome.replied(b"ok")
        assert (liar.connections, len(liar.requests)) == (1, 10)
        await asyncio.gather(*(here.send(liar.peer, parcel(b"x"), LONG) for _ in range(30)))
        assert liar.connections <= _lines.LINES


async def test_a_line_that_was_hung_up_while_it_rested_is_no_failure(here: Http) -> None:
    async def one_each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await liar.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.readexactly(1)  # and then it goes, though the next request is on its way

    async with Liar(one_each) as liar:
        for n in range(4):
            assert (await here.send(liar.peer, parcel(b"%d" % n), LONG)).data == b"ok"
        assert liar.requests == [b"0", b"1", b"2", b"3"]


async def test_a_restarted_door_is_found_again(world: HttpWorld) -> None:
    async with listening(world, answering(ECHO)):
        await asyncio.gather(*(world.send(b"x") for _ in range(5)))
        host, port = world.there.bound or ("", 0)
        await world.there.close()
    with pytest.raises(Unreachable):
        await world.send(b"x")
    again = made(bind=f"{host}:{port}")
    await again.open()
    async with world_listening(again, ECHO):
        assert (await world.send(b"x")).data == b"yes"
    await again.close()


async def test_a_resting_line_is_hung_up_and_its_pool_forgotten(world: HttpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lines, "LINE_IDLE", 0.01)
    async with listening(world, answering(ECHO)):
        await world.send(b"x")
        async with asyncio.timeout(LONG):
            while world.here._lines._pools:
                await asyncio.sleep(0.005)


async def test_the_environment_brings_no_proxy(world: HttpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with listening(world, answering(ECHO)):
        assert (await world.send(b"x")).data == b"yes"


# --- addresses ------------------------------------------------------------------------------------------------------------

NO_URLS = [
    "", "x", "127.0.0.1:8856", "ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1:70/", "unix:///run/x.sock",
    "http://", "http:///parcel", "http://[::1", "http://127.0.0.1:99999", "http://127.0.0.1:x", "http://user:pw@10.0.0.1",
    "http://10.0.0.1/?a=b", "http://10.0.0.1/#x", "http://10.0.0.1/a b", "http://10.0.0.1/\r\nHost: x", "http://ümlaut",
    "http://10.0.0.1/\0", "javascript:alert(1)", "http://10.0.0.1/ä",
]  # fmt: skip
FORBIDDEN = [
    "169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "0.0.0.0", "[::]", "224.0.0.1", "[ff02::1]",
    "255.255.255.255", "240.0.0.1", "[::ffff:0.0.0.0]", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376",
]  # fmt: skip
HOME = ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.255.255.254"]


@pytest.fixture
def no_connects(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where the road connected to; nothing is really dialled."""
    places: list[str] = []

    async def connect(target: _lines.Target, place: str) -> Any:
        places.append(place)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(_lines, "_connect", connect)
    return places


@pytest.mark.parametrize("url", NO_URLS)
async def test_what_is_no_address_is_barred(here: Http, no_connects: list[str], url: str) -> None:
    with pytest.raises(Barred):
        await here.send(peer_at(url), parcel(b"x"), LONG)
    assert no_connects == []


@pytest.mark.parametrize("host", FORBIDDEN)
async def test_nothing_leads_to_the_segment_or_the_cloud(here: Http, no_connects: list[str], host: str) -> None:
    with pytest.raises((Barred, Unreachable)):
        await here.send(peer_at(f"http://{host}:80"), parcel(b"x"), LONG)
    assert no_connects == []


@pytest.mark.parametrize("host", HOME)
async def test_a_strangers_address_leads_home_only_from_home(no_connects: list[str], host: str) -> None:
    abroad = made(bind="10.1.2.3:8856")  # never opened: only its bind matters
    with pytest.raises((Barred, Unreachable)):
        await abroad.send(peer_at(f"http://{host}:8856"), parcel(b"x"), LONG)
    assert no_connects == []
    abroad.own_word = lambda peer, url: peer == "there"
    with pytest.raises(Unreachable):
        await abroad.send(peer_at(f"http://{host}:8856"), parcel(b"x"), LONG)
    assert no_connects


async def test_no_address_leads_to_our_own_local_api(no_connects: list[str]) -> None:
    home = made(own_ports=[8855])
    with pytest.raises(Barred):
        await home.send(peer_at("http://127.0.0.1:8855"), parcel(b"x"), LONG)
    assert no_connects == []


async def test_a_name_is_resolved_once_and_only_that_is_dialled(
    here: Http, no_connects: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([["192.0.2.7"], ["169.254.169.254", "192.0.2.8"], ["127.0.0.1"]])

    async def resolve(host: str, port: int, **more: Any) -> list[Any]:
        return [(2, 1, 6, "", (place, port)) for place in next(answers)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    for _ in range(2):
        with pytest.raises(Unreachable):
            await here.send(peer_at("http://rebound.example:8856"), parcel(b"x"), LONG)
    assert no_connects == ["192.0.2.7", "192.0.2.8"]


async def test_the_second_address_of_a_name_is_tried(world: HttpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(host: str, port: int, **more: Any) -> list[Any]:
        return [(2, 1, 6, "", (place, port)) for place in ("127.0.0.99", "127.0.0.1")]

    async with listening(world, answering(ECHO)):
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        peer = peer_at(f"http://two.example:{(world.there.bound or ('', 0))[1]}")
        assert (await world.here.send(peer, parcel(b"x"), LONG)).data == b"yes"


async def test_a_path_before_the_door_is_kept(here: Http) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await liar.request(reader))
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

    heads: list[bytes] = []
    async with Liar(talk) as liar:
        url = str(liar.peer.address("http")["url"])
        await here.send(peer_at(url + "/fleet/"), parcel(b"x"), LONG)
    assert heads[0].startswith(b"POST /fleet/parcel HTTP/1.1\r\n")


# --- TLS ------------------------------------------------------------------------------------------------------------------


def certificate(directory: Path, name: str) -> tuple[str, ssl.SSLContext]:
    """A self-signed certificate as PEM, and the context of a door that shows it."""
    key = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    pem = builder.sign(key, None).public_bytes(serialization.Encoding.PEM)
    path = directory / f"{name}.pem"
    path.write_bytes(
        pem + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return pem.decode(), context


async def test_a_pinned_door_is_the_only_one_that_gets_mail(tmp_path: Path) -> None:
    pem, context = certificate(tmp_path, "there")
    other, _ = certificate(tmp_path, "other")
    pin = x509.load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA256()).hex()
    collector = Collector()
    async with a_world(tmp_path, tls=context) as world:
        task = asyncio.ensure_future(world.there.listen(collector))
        url = f"https://127.0.0.1:{(world.there.bound or ('', 0))[1]}"
        pinned = Peer(id="there", addresses={"http": {"url": url, "pin": pin.upper()}})
        for peer in (pinned, peer_at(url, tls=pem)):
            assert (await world.here.send(peer, parcel(b"good"), LONG)).data == b"good"
        wrong = Peer(id="there", addresses={"http": {"url": url, "pin": "0" * 64}})
        for peer in (wrong, peer_at(url, tls=other), peer_at(url)):
            with pytest.raises(Faulty) as caught:
                await world.here.send(peer, parcel(b"bad"), LONG)
            assert caught.value.security
        with pytest.raises(Barred):
            await world.here.send(peer_at(url, tls="not a certificate"), parcel(b"bad"), LONG)
        with pytest.raises(Unreachable):
            await world.here.send(peer_at(url.replace("https", "http")), parcel(b"bad"), LONG)
        task.cancel()
    assert collector.came == [b"good", b"good"]


async def test_a_handshake_that_never_ends_is_a_visit_like_any_other(tmp_path: Path) -> None:
    pem, context = certificate(tmp_path, "there")
    async with a_world(tmp_path, tls=context, connections=6, deadline=DEADLINE) as world:
        async with world_listening(world.there, ECHO):
            silent = [await world.dial(f"127.0.1.{n}") for n in range(40)]
            assert len(world.there._door._visitors) <= 6
            peer = peer_at(f"https://127.0.0.1:{(world.there.bound or ('', 0))[1]}", tls=pem)
            assert (await world.here.send(peer, parcel(b"x"), LONG)).data == b"yes"
            for reader, writer in silent:
                with contextlib.suppress(ConnectionError):
                    assert await asyncio.wait_for(reader.read(), LONG) == b""
                writer.transport.abort()


@pytest.mark.parametrize("size", [1, 100_000, policy.PARCEL_LIMIT])
async def test_many_handshakes_at_once_all_end_well(tmp_path: Path, size: int) -> None:
    pem, context = certificate(tmp_path, "there")
    async with a_world(tmp_path, tls=context) as world, world_listening(world.there, ECHO):
        peer = peer_at(f"https://127.0.0.1:{(world.there.bound or ('', 0))[1]}", tls=pem)
        for _ in range(5):
            outcomes = await asyncio.gather(*(world.here.send(peer, parcel(bytes(size)), LONG) for _ in range(7)))
            assert {outcome.data for outcome in outcomes} == {b"yes"}
            world.here._lines.close()
            world.here._lines._closed = False


async def test_a_door_without_tls_gets_nothing_over_https(strict: HttpWorld) -> None:
    async with listening(strict, answering(ECHO)):
        url = f"https://127.0.0.1:{(strict.there.bound or ('', 0))[1]}"
        peer = Peer(id="there", addresses={"http": {"url": url, "pin": "0" * 64}})
        with pytest.raises(Unreachable):
            await strict.here.send(peer, parcel(b"x"), LONG)


async def test_large_parcels_go_both_ways(world: HttpWorld) -> None:
    data = os.urandom(policy.PARCEL_LIMIT)
    async with listening(world, Collector()):
        outcomes = await asyncio.gather(*(world.send(data) for _ in range(4)))
    assert all(outcome.data == data for outcome in outcomes)
