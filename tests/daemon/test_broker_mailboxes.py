"""The mailboxes of the embedded broker: who may put, read and delete, as the real server enforces it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from channels import _keeper
from channels import nats as road
from channels.nats import Nats
from fleet.core import subjects
from fleet.core.outcome import Word
from fleet.core.peer import Peer
from fleet.daemon.broker import Broker
from fleet.errors import Unreachable
from tests.channels.contract import LONG, Collector, parcel
from tests.daemon.test_broker import KEYS, SEEDS, complaints, enter, free_place

ALL = list(KEYS.items())
ROOM = 64 * 1024 * 1024


def channel(broker: Broker, node: str) -> Nats:
    return road.build({"url": broker.url, "node": node, "fleet": "f", "nkey": SEEDS[node]}, {})


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    broker = Broker("f", replace(free_place(tmp_path), house="ana", store=ROOM), ALL)
    await broker.open()
    await broker.ready()
    yield broker
    await broker.close()


@pytest.fixture
async def house(broker: Broker) -> AsyncIterator[Nats]:
    """The road of the node that runs the broker."""
    house = channel(broker, "ana")
    await house.open()
    house.care_for(KEYS, ROOM)
    async with asyncio.timeout(LONG):
        while not await house._boxes.make_all():
            await asyncio.sleep(0.01)
    yield house
    await house.close()


async def test_custody_outlives_the_broker_and_its_name_stays(broker: Broker, house: Nats, tmp_path: Path) -> None:
    assert (await house.send(Peer(id="ben"), parcel(b"x"), LONG)).word is Word.TAKEN
    said = json.loads((tmp_path / "nats" / "broker.conf").read_text())
    assert said["jetstream"]["sync_interval"] == "always" and said["jetstream"]["max_file_store"] == ROOM
    await broker.close()
    again = Broker("f", replace(free_place(tmp_path), house="ana", store=ROOM), ALL)
    await again.open()
    await again.ready()
    assert json.loads((tmp_path / "nats" / "broker.conf").read_text())["server_name"] == said["server_name"]
    ben, collector = channel(again, "ben"), Collector()
    await ben.open()
    drain = asyncio.ensure_future(ben.drain(collector))
    assert await collector.wait_for(1) == [b"x"]
    drain.cancel()
    await ben.close()
    await again.close()


FORBIDDEN = [
    subjects.fetch("f", "ben"),
    subjects.box("f", "ben", "ana", "0" * 32),
    "$JS.API.STREAM.CREATE.fleet_f_eve", "$JS.API.STREAM.UPDATE.fleet_f_eve", "$JS.API.STREAM.DELETE.fleet_f_ben",
    "$JS.API.STREAM.PURGE.fleet_f_ben", "$JS.API.STREAM.MSG.GET.fleet_f_ben", "$JS.API.STREAM.MSG.DELETE.fleet_f_ben",
    "$JS.API.DIRECT.GET.fleet_f_ben", "$JS.API.STREAM.INFO.fleet_f_ben", "$JS.API.STREAM.NAMES", "$JS.API.INFO",
    "$JS.API.CONSUMER.CREATE.fleet_f_ben.mine", "$JS.API.CONSUMER.CREATE.fleet_f_eve.in",
    "$JS.API.CONSUMER.DELETE.fleet_f_ben.in", "$JS.ACK.fleet_f_ben.in.1.1.1.1.0", "$JS.ACK.a.b.fleet_f_ben.in.1.1.1.1.0",
]  # fmt: skip


@pytest.mark.parametrize("subject", FORBIDDEN)
async def test_a_member_touches_no_mailbox_but_its_own(broker: Broker, house: Nats, subject: str) -> None:
    await house.send(Peer(id="ben"), parcel(b"x"), LONG)
    said, hear = complaints()
    eve = await enter(broker, "eve", error_cb=hear)
    heard = await eve.subscribe("_INBOX.eve.x")
    await eve.publish(subject, b'{"batch":1}', reply="_INBOX.eve.x")
    for _ in range(2):
        await eve.flush()
    assert heard.pending_msgs == 0 and any("permissions violation" in line for line in said)
    await eve.close()
    assert await _read_all(broker, "ben") == [b"x"]


async def test_a_member_lays_into_every_mailbox_under_its_own_name(broker: Broker, house: Nats) -> None:
    eve = channel(broker, "eve")
    await eve.open()
    for to in ("ana", "ben"):
        assert (await eve.send(Peer(id=to), parcel(to.encode()), LONG)).word is Word.TAKEN
    await eve.close()
    assert await _read_all(broker, "ben") == [b"ben"]


async def test_as_many_members_as_there_are_share_the_store(broker: Broker, house: Nats) -> None:
    crowd = [*KEYS, *(f"n{number}" for number in range(29))]
    house.care_for(crowd, ROOM)
    assert await house._boxes.make_all()
    answer = await house.send(Peer(id="n28"), parcel(b"x"), LONG)
    assert answer.word is Word.TAKEN and house._boxes._size == ROOM // (len(crowd) + 1)


async def _read_all(broker: Broker, node: str) -> list[bytes]:
    client: Client = await enter(broker, node)
    heard = await client.subscribe(f"_INBOX.{node}.all")
    await client.publish(subjects.fetch("f", node), b'{"batch":9,"no_wait":true}', reply=f"_INBOX.{node}.all")
    found: list[bytes] = []
    while True:
        message: Any = await heard.next_msg(timeout=LONG)
        if not message.reply:
            await client.close()
            return found
        found.append(message.data)


# --- nkeys for nkeys ------------------------------------------------------------------------------------------------------


async def test_who_rotates_before_the_broker_knows_it_stays_connected_and_moves_to_the_new_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_keeper, "OLDER_KEY_LIFE", 0.2)
    monkeypatch.setattr(_keeper, "RECONNECT_WAIT", 0.02)
    before = [("ana", KEYS["ana"]), ("ben", KEYS["ben"])]
    broker = Broker("f", free_place(tmp_path), before)
    await broker.open()
    await broker.ready()
    entered = asyncio.Event()
    settings = {"url": broker.url, "node": "ben", "fleet": "f", "nkey": SEEDS["eve"], "older_nkey": SEEDS["ben"]}
    ben, ana = road.build(settings, {}), channel(broker, "ana")
    ben.on_entered(entered.set)
    for each in (ben, ana):
        await each.open()
    collector = Collector()
    listening = asyncio.ensure_future(ben.listen(collector))
    await _until_answered(ana, b"with the old key")
    assert not entered.is_set()
    await broker.set_users([*before, ("ben", KEYS["eve"])])
    async with asyncio.timeout(LONG):
        await entered.wait()
    await broker.set_users([before[0], ("ben", KEYS["eve"])])
    await _until_answered(ana, b"with the new key")
    listening.cancel()
    await ben.close()
    await ana.close()
    await broker.close()


async def _until_answered(ana: Nats, data: bytes) -> None:
    async with asyncio.timeout(LONG):
        while True:
            with contextlib.suppress(Unreachable):
                assert (await ana.send(Peer(id="ben"), parcel(data), LONG)).word is Word.REPLIED
                return
            await asyncio.sleep(0.02)
