"""The NATS road against a real nats-server: what the broker may do to it, and what a member or a liar may try."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import nats
import nkeys
import pytest
from nats.aio.client import Client

from channels import _keeper, _requests
from channels import nats as road
from channels._keeper import Keeper, public_nkey
from channels.nats import Nats
from fleet.core import policy
from fleet.core.channel import Answer
from fleet.core.outcome import Outcome
from fleet.core.peer import Peer
from fleet.core.sealing import Secret
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
from tests.support.hosts import NatsServer

AT_ONCE = 3.0  # far below LONG: whoever needs longer waited for a timeout
ECHO = signed(b"yes")


def made(url: str | list[str], node: str, **more: Any) -> Nats:
    return road.build({"url": url, "node": node, "fleet": "f", "nkey": None, **more}, {})


class NatsWorld(World):
    here: Nats
    there: Nats

    async def start(self) -> None:
        self.server = NatsServer(self.directory)
        await self.server.start()
        self.here, self.there = made(self.server.url, "here"), made(self.server.url, "there")
        await self.here.open()
        await self.there.open()
        self.peer = Peer(id="there")

    def nobody(self) -> Peer:
        return Peer(id="there.in.>")

    def absent(self) -> Peer:
        return Peer(id="absent")

    async def stop(self) -> None:
        self.server.kill()

    async def when_back(self) -> Outcome:
        """Send until the road carries again."""
        async with asyncio.timeout(LONG):
            while True:
                with contextlib.suppress(Unreachable):
                    return await self.send(b"again", 1.0)
                await asyncio.sleep(0.01)

    async def reason(self, part: str) -> RoadError:
        """Send until the road gives a reason that holds `part`."""
        async with asyncio.timeout(LONG):
            while True:
                try:
                    await self.send(b"x", SOON)
                except RoadError as error:
                    if part in error.message:
                        return error
                await asyncio.sleep(0.01)

    async def raw(self) -> Client:
        return await nats.connect(self.server.url, allow_reconnect=False)


class TestContract(ReplyingRoad):
    World = NatsWorld


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[NatsWorld]:
    world = NatsWorld(tmp_path)
    await world.start()
    yield world
    await world.here.close()
    await world.there.close()
    await world.stop()


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_keeper, "RECONNECT_WAIT", 0.05)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PING_INTERVAL", "PONG_TIMEOUT", "FIRST_TRY", "CONNECT_TIMEOUT"):
        monkeypatch.setattr(_keeper, name, 0.1)


@contextlib.asynccontextmanager
async def opened(*channels: Nats) -> AsyncIterator[None]:
    for channel in channels:
        await channel.open()
    try:
        yield
    finally:
        for channel in channels:
            await channel.close()


# --- a broker that is not there -------------------------------------------------------------------------------------------


async def test_no_responders_is_said_at_once(world: NatsWorld) -> None:
    async with asyncio.timeout(AT_ONCE):
        with pytest.raises(Unreachable, match="not connected to the broker"):
            await world.send(b"x", LONG)


async def test_a_killed_broker_fails_what_is_in_flight_at_once_and_the_road_comes_back(world: NatsWorld) -> None:
    began = asyncio.Event()

    async def hang_once(data: bytes) -> Answer:
        if data == b"held":
            began.set()
            await asyncio.Event().wait()
        return ECHO

    async with listening(world, hang_once):
        held = asyncio.ensure_future(world.send(b"held", LONG))
        await began.wait()
        world.server.kill()
        async with asyncio.timeout(AT_ONCE):
            with pytest.raises(Unreachable, match="broker 127"):
                await held
            with pytest.raises(Unreachable, match="broker 127"):
                await world.send(b"x", LONG)
        await world.server.start()
        assert await world.when_back() == Outcome.replied(b"yes")


async def test_reconnecting_makes_another_connection_that_carries(world: NatsWorld) -> None:
    async with listening(world, answering(ECHO)):
        assert await world.when_back() == Outcome.replied(b"yes")
        before = world.here._keeper.client
        await world.here.reconnect()
        async with asyncio.timeout(AT_ONCE):
            while world.here._keeper.client in (None, before):
                await asyncio.sleep(0.01)
        assert await world.when_back() == Outcome.replied(b"yes")


async def test_nothing_is_buffered_for_a_broker_that_is_away(world: NatsWorld) -> None:
    collector = Collector()
    async with listening(world, collector):
        world.server.kill()
        await world.reason("broker 127.0.0.1")
        for n in range(20):
            with pytest.raises(Unreachable):
                await world.send(b"lost %d" % n)
        await world.server.start()
        await world.when_back()
        assert set(await collector.wait_for(1)) <= {b"again", b"x"}


async def test_opening_does_not_need_a_broker(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    await server.start()
    server.kill()
    channel = made(server.url, "here")
    async with opened(channel):
        with pytest.raises(Unreachable, match=f"broker 127.0.0.1:{server.port}: Connect"):
            await channel.send(Peer(id="there"), parcel(b"x"), LONG)
        await server.start()
        world = NatsWorld(tmp_path)
        world.here, world.peer = channel, Peer(id="there")
        await world.reason("the peer is not connected to the broker")
    server.kill()


@pytest.mark.usefixtures("impatient")
async def test_a_black_hole_is_noticed_and_left(world: NatsWorld) -> None:
    async with listening(world, answering(ECHO)):
        world.server.pause()
        held = asyncio.ensure_future(world.send(b"held", LONG))
        async with asyncio.timeout(AT_ONCE):
            with pytest.raises(Unreachable, match="went silent"):
                await held
        await world.reason("no connection within")
        world.server.resume()
        assert (await world.when_back()).data == b"yes"


@pytest.mark.usefixtures("impatient")
async def test_a_black_hole_with_a_full_send_buffer_is_left_as_well(world: NatsWorld) -> None:
    async with listening(world, answering(ECHO)):
        world.server.pause()
        large = bytes(policy.PARCEL_LIMIT)
        held = [asyncio.ensure_future(world.send(large, LONG)) for _ in range(24)]
        async with asyncio.timeout(AT_ONCE):
            assert all(isinstance(error, Unreachable) for error in await asyncio.gather(*held, return_exceptions=True))
        world.server.resume()
        assert (await world.when_back()).data == b"yes"


async def test_a_broker_that_does_not_keep_up_is_said_so(world: NatsWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_requests, "BACKLOG", -1)
    with pytest.raises(Unreachable, match="keep up") as caught:
        await world.send(b"x")
    assert caught.value.retry_after == policy.BUSY_RETRY


async def test_a_slow_broker_that_still_moves_bytes_is_kept(world: NatsWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    progress = iter(range(10_000))
    monkeypatch.setattr(_keeper, "PING_INTERVAL", 0.01)
    monkeypatch.setattr(_keeper, "PONG_TIMEOUT", 0.05)
    monkeypatch.setattr(_keeper, "_moved", lambda client: (next(progress), 0))
    async with listening(world, answering(ECHO)):
        client = world.here._keeper.client
        world.server.pause()
        held = asyncio.ensure_future(world.send(b"x", LONG))
        await asyncio.wait({held}, timeout=SOON)
        assert not held.done()
        world.server.resume()
        assert (await held).data == b"yes"
        assert world.here._keeper.client is client


async def test_the_next_broker_of_the_list_is_taken(world: NatsWorld, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    async with NatsServer(other) as dead:
        pass
    both = [dead.url, world.server.url]
    channel = made(both, "third")
    async with opened(channel), listening(world, answering(ECHO)):
        assert (await channel.send(world.peer, parcel(b"x"), LONG)).data == b"yes"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "words",
    [b"", b"\0\xff\xfe\r\n", b"INFO\r\n", b"INFO {\r\n", b"INFO []\r\n", b"-ERR 'no'\r\n", b"INFO " + b"x" * 100_000],
)
async def test_something_else_behind_the_address_is_only_unreachable(words: bytes, tmp_path: Path) -> None:
    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(lie, "127.0.0.1", 0)
    channel = made(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", "here")
    async with opened(channel):
        for _ in range(3):
            with pytest.raises(Unreachable):
                await channel.send(Peer(id="there"), parcel(b"x"), LONG)
        assert channel._keeper._task is not None and not channel._keeper._task.done()
    server.close()


@pytest.mark.usefixtures("impatient")
async def test_closing_does_not_wait_for_a_broker_that_hangs(world: NatsWorld) -> None:
    world.server.pause()
    held = [asyncio.ensure_future(world.send(bytes(policy.PARCEL_LIMIT), LONG)) for _ in range(8)]
    await asyncio.sleep(0)
    async with asyncio.timeout(AT_ONCE):
        await world.here.close()
        await asyncio.gather(*held, return_exceptions=True)
    world.server.resume()


@pytest.mark.usefixtures("impatient")
async def test_closing_ends_even_when_the_library_swallows_the_cancellation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect(self: Client, servers: list[str], **options: Any) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    monkeypatch.setattr(_keeper, "CONNECT_TIMEOUT", LONG)
    monkeypatch.setattr(_keeper, "CLOSE_TIMEOUT", 0.05)
    monkeypatch.setattr(_keeper.Connection, "connect", connect)
    channel = made("nats://127.0.0.1:1", "here")
    await channel.open()
    async with asyncio.timeout(AT_ONCE):
        await channel.close()


# --- who may use the broker -----------------------------------------------------------------------------------------------


def user(seed: Secret, publish: Iterable[str] = (">",)) -> dict[str, Any]:
    return {"nkey": public_nkey(seed), "permissions": {"publish": {"allow": list(publish)}}}


async def test_a_key_the_broker_does_not_know_is_a_fault_and_stays_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    known, unknown = Secret(os.urandom(32)), Secret(os.urandom(32))
    async with NatsServer(tmp_path, authorization={"users": [user(known)]}) as server:
        channel = made(server.url.replace("//", "//ana:hunter2@"), "here", nkey=unknown)
        async with opened(channel):
            with pytest.raises(Faulty, match="Authorization Violation") as caught:
                await channel.send(Peer(id="there"), parcel(b"x"), LONG)
    said = f"{caught.value!r} {vars(channel)} {vars(channel._keeper)} {caplog.text}"
    assert "hunter2" not in str(caught.value) + caplog.text
    assert unknown.reveal().hex() not in said and repr(unknown.reveal()) not in said


@pytest.mark.parametrize("as_text", [False, True])
async def test_a_known_key_enters_raw_or_as_text(as_text: bool, tmp_path: Path) -> None:
    seed = Secret(os.urandom(32))
    given = Secret(nkeys.encode_seed(seed.reveal(), nkeys.PREFIX_BYTE_USER)) if as_text else seed
    async with NatsServer(tmp_path, authorization={"users": [user(seed)]}) as server:
        channel = made(server.url, "here", nkey=given)
        async with opened(channel):
            with pytest.raises(Unreachable, match="the peer is not connected"):
                await channel.send(Peer(id="there"), parcel(b"x"), LONG)


async def test_what_we_may_not_publish_is_a_fault_at_once(tmp_path: Path) -> None:
    seed = Secret(os.urandom(32))
    async with NatsServer(tmp_path, authorization={"users": [user(seed, ["fleet.f.friend.in"])]}) as server:
        channel = made(server.url, "here", nkey=seed)
        async with opened(channel), asyncio.timeout(AT_ONCE):
            with pytest.raises(Faulty, match="does not let us publish"):
                await channel.send(Peer(id="there"), parcel(b"x"), LONG)
            with pytest.raises(Unreachable, match="the peer is not connected"):
                await channel.send(Peer(id="friend"), parcel(b"x"), LONG)


def test_a_key_that_is_none_is_a_mistake_of_the_settings() -> None:
    with pytest.raises(SettingsError) as caught:
        made("nats://127.0.0.1:4222", "here", nkey=Secret(b"SUXXhunter2"))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["127.0.0.1:4222", "http://a:1", "ws://a:1", "nats://", "file:///etc/passwd"])
def test_an_address_that_is_none_is_a_mistake_of_the_settings(url: str) -> None:
    with pytest.raises(SettingsError):
        made(["nats://127.0.0.1", url], "here")


async def test_without_a_broker_in_the_settings_every_parcel_is_barred() -> None:
    channel = made("", "here")
    async with opened(channel):
        with pytest.raises(Barred, match="no NATS broker"):
            await channel.send(Peer(id="there"), parcel(b"x"), LONG)


async def test_a_broker_that_takes_less_bars_what_is_larger(tmp_path: Path) -> None:
    async with NatsServer(tmp_path, max_payload=1024) as server:
        channel = made(server.url, "here")
        async with opened(channel):
            with pytest.raises(Barred, match="this broker takes 1024"):
                await channel.send(Peer(id="there"), parcel(bytes(1025)), LONG)


# --- what a member or a liar may try --------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [b"", b"\0", b"NATS/1.0", b"\xff" * 40, b"NATS/1.0 abc\r\n\r\n", b"NATS/1.0\r\nx"])
async def test_no_header_ends_the_reading(world: NatsWorld, header: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
    async with listening(world, answering(ECHO)):
        client = world.there._keeper.client
        writer.write(b'CONNECT {"headers":true,"no_responders":true,"verbose":false}\r\n')
        writer.write(b"HPUB fleet.f.there.in _INBOX.x %d %d\r\n%b\r\nPING\r\n" % (len(header), len(header), header))
        await reader.readuntil(b"PONG\r\n")
        assert (await world.send(b"x")).data == b"yes"
        assert world.there._keeper.client is client
    writer.close()


@pytest.mark.parametrize("reply", ["fleet.f.here.in", "_INBOX", "$JS.API.STREAM.DELETE.x", ""])
async def test_an_answer_goes_to_an_inbox_and_nowhere_else(world: NatsWorld, reply: str) -> None:
    raw, collector = await world.raw(), Collector()
    async with listening(world, collector):
        reached = await raw.subscribe(">")
        await raw.publish("fleet.f.there.in", b"question", reply=reply)
        await raw.flush()  # the first one overtakes what was published before
        await raw.flush()
        await world.send(b"x")
        await raw.flush()
    heard = {message.subject for message in _waiting(reached)}
    assert b"question" not in collector.came
    assert reply not in heard - {"fleet.f.here.in"}
    await raw.close()


def _waiting(subscription: Any) -> list[Any]:
    queue = subscription._pending_queue
    return [queue.get_nowait() for _ in range(queue.qsize())]


async def test_an_answer_nobody_waits_for_changes_nothing(world: NatsWorld) -> None:
    raw = await world.raw()
    async with listening(world, answering(ECHO)):
        await raw.publish(world.here._requests._inbox + "0" * 16, b"forged")
        await raw.flush()  # the first one overtakes what was published before
        await raw.flush()
        assert (await world.send(b"x")).data == b"yes"
    await raw.close()


@pytest.mark.parametrize("words", [b"busy ", b"busy nan", b"busy -1", b"busy 1e99", b"busy inf", b"busy \xff"])
async def test_a_busy_that_makes_no_sense_is_the_usual_pause(world: NatsWorld, words: bytes) -> None:
    async with listening(world, answering(signed(words))):
        with pytest.raises(Unreachable) as caught:
            await world.send(b"x")
    assert caught.value.retry_after == policy.BUSY_RETRY


@pytest.mark.parametrize(("limit", "value"), [("INGRESS_QUEUE", 2), ("INGRESS_BYTES", 2)])
async def test_beyond_the_queue_the_answer_is_busy(
    world: NatsWorld, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    hold, came = asyncio.Event(), Collector()

    async def deliver(data: bytes) -> Answer:
        await came(data)
        await hold.wait()
        return ECHO

    async with listening(world, deliver):
        monkeypatch.setattr(policy if hasattr(policy, limit) else road, limit, value)
        held = [asyncio.ensure_future(world.send(name)) for name in (b"a", b"b")]
        await came.wait_for(2)
        with pytest.raises(Unreachable, match="busy") as caught:
            await world.send(b"c")
        assert caught.value.retry_after == policy.BUSY_RETRY
        hold.set()
        assert [outcome.data for outcome in await asyncio.gather(*held)] == [b"yes", b"yes"]
        assert (await world.send(b"d")).data == b"yes"


async def test_a_bug_behind_the_road_is_reported_once(world: NatsWorld) -> None:
    async def broken(data: bytes) -> Answer:
        raise ZeroDivisionError

    with bugs_collected() as bugs:
        async with listening(world, broken):
            with pytest.raises(Unreachable):
                await world.send(b"x", SOON)
    assert [type(bug) for bug in bugs] == [ZeroDivisionError]


async def test_a_bug_of_the_keeper_ends_listening_and_the_next_one_mends_it(
    world: NatsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "_enter", _broken)
        world.server.kill()
        for channel in (world.here, world.there):
            with pytest.raises(ZeroDivisionError):
                await asyncio.wait_for(channel.listen(answering(ECHO)), LONG)
    await world.server.start()
    await world.here.open()  # the sender listens to nothing in this world
    async with listening(world, answering(ECHO)):
        assert (await world.when_back()).data == b"yes"


async def _broken(self: Keeper, url: str) -> bool:
    raise ZeroDivisionError


async def test_when_nobody_listens_any_more_the_broker_says_so(world: NatsWorld) -> None:
    async with listening(world, answering(ECHO)):
        await world.send(b"x")
    async with asyncio.timeout(AT_ONCE):
        await world.reason("the peer is not connected to the broker")


async def test_the_socket_is_set_up_for_death_to_be_noticed(world: NatsWorld) -> None:
    client = world.here._keeper.client
    assert client is not None
    sock = _keeper._wire(client).get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5_000


async def test_large_parcels_four_at_a_time(world: NatsWorld) -> None:
    data = os.urandom(policy.BATCH_BYTES)
    async with listening(world, Collector(lambda data: signed(data[:100]))):
        for _ in range(5):
            outcomes = await asyncio.gather(*(world.send(data) for _ in range(4)))
            assert [outcome.data for outcome in outcomes] == [data[:100]] * 4
