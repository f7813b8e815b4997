"""The mailboxes of the NATS road on a real nats-server: custody while the peer is away, and brokers without any."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from channels import _jetstream, _keeper
from channels.nats import Nats
from fleet.core import subjects
from fleet.core.channel import Answer, Deliver
from fleet.core.outcome import Outcome, Word
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.errors import Unreachable
from tests.channels.contract import LONG, Collector, KeepingRoad, parcel, signed
from tests.channels.test_nats import NatsWorld, made
from tests.support.hosts import NatsServer

ROOM = 64 * 1024 * 1024


def storage(directory: Path, **more: Any) -> dict[str, Any]:
    return {
        "jetstream": {"store_dir": str(directory / "mailboxes"), "max_file_store": ROOM, "sync_interval": "always"},
        **more,
    }


class BoxWorld(NatsWorld):
    async def start(self) -> None:
        self.server = NatsServer(self.directory, **storage(self.directory))
        await self.server.start()
        self.here, self.there = made(self.server.url, "here"), made(self.server.url, "there")
        for channel in (self.here, self.there):
            await channel.open()
        self.peer = Peer(id="there")
        assert await self.here._boxes.make("there")

    async def raw_stream(self) -> dict[str, Any]:
        """What the server says of the mailbox."""
        client = await self.raw()
        answer = await client.request(f"$JS.API.STREAM.INFO.{subjects.stream('f', 'there')}", b"", timeout=LONG)
        await client.close()
        return dict(json.loads(answer.data))

    async def until_empty(self) -> None:
        async with asyncio.timeout(LONG):
            while (await self.raw_stream())["state"]["messages"]:
                await asyncio.sleep(0.02)


class TestContract(KeepingRoad):
    World = BoxWorld


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_keeper, "RECONNECT_WAIT", 0.05)
    monkeypatch.setattr(_jetstream, "RECHECK_FIRST", 0.05)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[BoxWorld]:
    world = BoxWorld(tmp_path)
    await world.start()
    yield world
    await world.here.close()
    await world.there.close()
    await world.stop()


@contextlib.asynccontextmanager
async def draining(channel: Nats, deliver: Deliver) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.ensure_future(channel.drain(deliver))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# --- custody --------------------------------------------------------------------------------------------------------------


async def test_a_peer_that_hangs_gets_it_into_its_mailbox_within_the_time(world: BoxWorld) -> None:
    began = asyncio.Event()

    async def hang(data: bytes) -> Answer:
        began.set()
        await asyncio.Event().wait()
        return signed(data)

    async with hearing(world.there, hang):
        async with asyncio.timeout(LONG):
            while not began.is_set():
                outcome = await world.send(b"x", 0.5)
    assert outcome == Outcome.taken("nats")
    assert (await world.raw_stream())["state"]["messages"] >= 1


@contextlib.asynccontextmanager
async def hearing(channel: Nats, deliver: Deliver) -> AsyncIterator[None]:
    task = asyncio.ensure_future(channel.listen(deliver))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_custody_outlives_a_broker_that_is_killed(world: BoxWorld) -> None:
    bodies = [b"%d" % n for n in range(20)]
    for body in bodies:
        assert (await world.send(body)).word is Word.TAKEN
    world.server.kill()
    await world.server.start()
    collector = Collector()
    async with draining(world.there, collector):
        assert await collector.wait_for(20) == bodies
        await world.until_empty()
    assert len(collector.came) == 20


async def test_what_was_handed_over_is_acknowledged_and_gone_after_a_restart(world: BoxWorld) -> None:
    await world.send(b"x")
    collector = Collector()
    async with draining(world.there, collector):
        await collector.wait_for(1)
        await world.until_empty()
    async with draining(world.there, collector):
        await world.send(b"y")
        assert await collector.wait_for(2) == [b"x", b"y"]


async def test_the_same_parcel_put_twice_lies_there_once(world: BoxWorld) -> None:
    twice = parcel(b"x")
    for _ in range(2):
        assert (await world.here.send(world.peer, twice, LONG)).word is Word.TAKEN
    assert (await world.raw_stream())["state"]["messages"] == 1


async def test_a_full_mailbox_says_so_and_one_place_freed_is_one_parcel_more(
    world: BoxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.here._boxes, "_size", 3_000_000)
    assert await world.here._boxes.make("there")
    put: list[Parcel] = []
    with pytest.raises(Unreachable, match="mailbox is full") as caught:
        for _ in range(10):
            put.append(parcel(os.urandom(900_000)))
            await world.here.send(world.peer, put[-1], LONG)
    assert caught.value.unsent and len(put) == 4
    await world.here.forget(world.peer, [put[0].pid])
    assert (await world.here.send(world.peer, put[-1], LONG)).word is Word.TAKEN


async def test_a_parcel_leaves_the_mailbox_at_its_expiry(world: BoxWorld) -> None:
    await world.here.send(world.peer, replace(parcel(b"x"), exp=0), LONG)
    await world.until_empty()


async def test_forgetting_leaves_nothing_behind_even_when_it_was_read_already(world: BoxWorld) -> None:
    read, lying = parcel(b"read"), parcel(b"lying")
    await world.here.send(world.peer, read, LONG)
    collector = Collector()
    async with draining(world.there, collector):
        await collector.wait_for(1)
        await world.until_empty()
    await world.here.send(world.peer, lying, LONG)
    await world.here.forget(world.peer, [read.pid, lying.pid])
    await world.until_empty()
    assert (await world.raw_stream())["state"]["last_seq"] == 3, "one tomb for the parcel that lay there, none for the other"


async def test_someone_who_reads_nothing_gets_it_offered_again(world: BoxWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_jetstream.READER, "ack_wait", 200_000_000)
    again = made(world.server.url, "other")
    await again.open()
    assert await again._boxes.make("other")
    await world.here.send(Peer(id="other"), parcel(b"x"), LONG)
    raw = await world.raw()
    heard = await raw.subscribe("_INBOX.raw")
    await raw.publish(subjects.fetch("f", "other"), b'{"batch":1}', reply="_INBOX.raw")
    assert (await heard.next_msg(timeout=LONG)).data == b"x"  # …and never acknowledged
    collector = Collector()
    async with draining(again, collector):
        assert await collector.wait_for(1) == [b"x"]
    await raw.close()
    await again.close()


# --- brokers without mailboxes --------------------------------------------------------------------------------------------


async def test_without_jetstream_the_road_says_what_it_always_said(tmp_path: Path) -> None:
    async with NatsServer(tmp_path) as server:
        here = made(server.url, "here")
        await here.open()
        with pytest.raises(Unreachable, match=r"^the peer is not connected to the broker$") as caught:
            await here.send(Peer(id="there"), parcel(b"x"), LONG)
        assert caught.value.unsent
        await here.close()


async def test_a_mailbox_that_comes_later_is_found(tmp_path: Path) -> None:
    plain = NatsServer(tmp_path)
    await plain.start()
    there = made(plain.url, "there")
    await there.open()
    collector = Collector()
    async with draining(there, collector):
        plain.kill()
        rich = NatsServer(tmp_path, **storage(tmp_path))
        rich.port = plain.port
        await rich.start()
        here = made(rich.url, "here")
        await here.open()
        async with asyncio.timeout(LONG):
            while True:
                with contextlib.suppress(Unreachable):
                    assert (await here.send(Peer(id="there"), parcel(b"x"), LONG)).word is Word.TAKEN
                    break
                await asyncio.sleep(0.02)
        assert await collector.wait_for(1) == [b"x"]
        await here.close()
    await there.close()
    rich.kill()


async def test_a_stream_of_others_under_our_subjects_is_no_mailbox(world: BoxWorld) -> None:
    raw: Client = await world.raw()
    config = {"name": "OTHERS", "subjects": ["fleet.f.absent.>"], "storage": "memory"}
    answer = await raw.request("$JS.API.STREAM.CREATE.OTHERS", json.dumps(config).encode(), timeout=LONG)
    assert "error" not in json.loads(answer.data)
    with pytest.raises(Unreachable, match="no mailbox takes it"):
        await world.here._boxes.put("absent", parcel(b"x"), LONG)
    await raw.close()
