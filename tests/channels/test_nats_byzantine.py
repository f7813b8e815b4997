"""A broker that lies (attack 23): whoever rules it may drop, repeat, reorder, swap, forge and forget, and gains nothing."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from fleet.core import subjects
from tests.channels.pair import Pair
from tests.channels.test_nats_custody import BODIES, config, lying, until_lying
from tests.channels.test_nats_mailbox import storage
from tests.support.hosts import NatsServer

IMPATIENT = '[channel.nats]\npatience = "1s"\n'
CANARY = "canary-4711"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with NatsServer(tmp_path, **storage(tmp_path)) as server:
        yield server


@pytest.fixture
async def ruler(server: NatsServer) -> AsyncIterator[Client]:
    """One who may do everything on the broker."""
    client = await nats.connect(server.url)
    yield client
    await client.close()


@pytest.fixture
async def pair(server: NatsServer, tmp_path: Path) -> AsyncIterator[Pair]:
    """Two nodes that have mailboxes; b is away."""
    async with Pair(tmp_path / "pair", "nats", config(server) + IMPATIENT) as pair:
        await pair.start()
        for name in "ab":
            await until_lying(pair, server, name, 0)
        await pair.stop("b")
        yield pair


async def ask(ruler: Client, subject: str, words: object = None) -> dict[str, Any]:
    answer = await ruler.request(subject, json.dumps(words).encode() if words is not None else b"", timeout=10)
    return dict(json.loads(answer.data))


async def objects(ruler: Client, fleet: str, node: str) -> list[bytes]:
    """Everything in a mailbox, as the broker sees it."""
    stream = subjects.stream(fleet, node)
    state = (await ask(ruler, f"$JS.API.STREAM.INFO.{stream}"))["state"]
    found = []
    for number in range(state["first_seq"], state["last_seq"] + 1):
        answer = await ruler.request(f"$JS.API.STREAM.MSG.GET.{stream}", json.dumps({"seq": number}).encode(), timeout=10)
        message = json.loads(answer.data).get("message")
        if message is not None:
            found.append(base64.b64decode(message.get("data", "")))
    return found


async def in_custody(pair: Pair, *bodies: str) -> list[str]:
    ids = await pair.send(*bodies)
    await pair.until(lambda: all(pair.state(id) == "custody" for id in ids))
    return ids


async def test_repeated_reordered_and_swapped_objects_double_nothing(pair: Pair, ruler: Client) -> None:
    fleet = pair.nodes["a"].ring.fleet
    ids = [id for body in BODIES for id in await in_custody(pair, body)]
    seen = await objects(ruler, fleet, "b")
    for number, data in enumerate([*reversed(seen), *seen, *seen]):
        for to in "ab":
            await ruler.publish(subjects.box(fleet, to, "eve", f"{number:032x}"), data)
    await ruler.flush()
    await pair.start("b")
    await pair.received(ids)
    assert sorted(pair.arrived()) == sorted(BODIES) and pair.arrived("a") == []


async def test_a_wiped_store_loses_nothing(pair: Pair, server: NatsServer, ruler: Client) -> None:
    fleet = pair.nodes["a"].ring.fleet
    ids = await in_custody(pair, *BODIES)
    for name in "ab":
        await ask(ruler, f"$JS.API.STREAM.DELETE.{subjects.stream(fleet, name)}")
    assert await lying(server, fleet, "b") == -1
    await pair.start("b")
    await pair.received(ids)
    assert sorted(pair.arrived()) == sorted(BODIES)


async def test_objects_that_are_dropped_arrive_when_patience_is_over(pair: Pair, ruler: Client) -> None:
    fleet = pair.nodes["a"].ring.fleet
    ids = await in_custody(pair, *BODIES)
    await ask(ruler, f"$JS.API.STREAM.PURGE.{subjects.stream(fleet, 'b')}")
    await pair.start("b")
    await pair.received(ids)
    assert sorted(pair.arrived()) == sorted(BODIES)


async def test_what_is_forged_takes_no_effect_and_what_lies_there_shows_no_word(
    pair: Pair, server: NatsServer, ruler: Client
) -> None:
    fleet = pair.nodes["a"].ring.fleet
    ids = await in_custody(pair, CANARY)
    seen = await objects(ruler, fleet, "b")
    assert seen and all(CANARY.encode() not in data for data in seen)
    for number, junk in enumerate([b"custody", b"busy 9", b"FLH1", b"", seen[0][:-1], bytes(len(seen[0])), seen[0][::-1]]):
        for to in "ab":
            await ruler.publish(subjects.box(fleet, to, to, f"{number:032x}"), junk)
    await ruler.flush()
    await until_lying(pair, server, "a", 0)
    assert [pair.state(id) for id in ids] == ["custody"]
    await pair.start("b")
    await pair.received(ids)
    assert pair.arrived() == [CANARY] and pair.arrived("a") == []

