"""Two real nodes and a real broker with mailboxes: mail for a node that is away waits there and arrives exactly once."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest

from fleet.core import subjects
from fleet.core.outcome import Result
from tests.channels.pair import Pair
from tests.channels.test_nats_mailbox import storage
from tests.support.hosts import NatsServer

BODIES = [f"mail {n}" for n in range(5)]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with NatsServer(tmp_path, **storage(tmp_path)) as server:
        yield server


async def lying(server: NatsServer, fleet: str, node: str) -> int:
    """How many objects lie in a node's mailbox; -1 = it has none."""
    client = await nats.connect(server.url)
    answer = await client.request(f"$JS.API.STREAM.INFO.{subjects.stream(fleet, node)}", b"", timeout=10)
    await client.close()
    return int(json.loads(answer.data).get("state", {"messages": -1})["messages"])


async def until_lying(pair: Pair, server: NatsServer, node: str, count: int) -> None:
    fleet = next(iter(pair.nodes.values())).ring.fleet
    async with asyncio.timeout(30):
        while await lying(server, fleet, node) != count:
            await asyncio.sleep(0.02)


def config(server: NatsServer) -> str:
    return f'[nats]\nurl = "{server.url}"\n'


def holder(pair: Pair, id: str) -> list[str]:
    row = pair.nodes["a"].reader.outbox.get(id)
    assert row is not None
    return list(row.taken)


async def test_mail_for_a_node_that_is_away_is_in_custody_and_arrives_once(server: NatsServer, tmp_path: Path) -> None:
    async with Pair(tmp_path / "pair", "nats", config(server)) as pair:
        await pair.start()
        await until_lying(pair, server, "b", 0)
        await pair.received(await pair.send("first"))
        await pair.stop("b")
        ids = await pair.send(*BODIES)
        await pair.until(lambda: all(pair.state(id) == "custody" for id in ids))
        assert [holder(pair, id) for id in ids] == [["nats"]] * 5
        assert {one.result for one in pair.attempts(ids[0])} == {Result.TAKEN}
        await pair.start("b")
        await pair.received(ids)
        assert sorted(pair.arrived()) == sorted(["first", *BODIES])
        await until_lying(pair, server, "b", 0)


async def test_mail_to_a_node_that_is_known_to_be_away_still_goes_into_custody(server: NatsServer, tmp_path: Path) -> None:
    async with Pair(tmp_path / "pair", "nats", config(server)) as pair:
        await pair.start()
        await until_lying(pair, server, "b", 0)
        await pair.stop("b")
        await pair.until(lambda: not pair.nodes["a"].links.get("b", "nats").lively)
        ids = await pair.send(*BODIES)
        await pair.until(lambda: all(pair.state(id) == "custody" for id in ids))
        await pair.start("b")
        await pair.received(ids)
        assert sorted(pair.arrived()) == sorted(BODIES)


async def test_two_that_are_never_on_together_still_write_to_each_other(server: NatsServer, tmp_path: Path) -> None:
    async with Pair(tmp_path / "pair", "nats", config(server)) as pair:
        await pair.start()
        for name in "ab":
            await until_lying(pair, server, name, 0)
        await pair.stop("b")
        ids = await pair.send(*BODIES)
        await pair.until(lambda: all(pair.state(id) == "custody" for id in ids))
        await pair.stop("a")
        await pair.start("b")
        await pair.until(lambda: len(pair.arrived()) == 5)
        await pair.until(lambda: not pair.nodes["b"].reader.inbox.owed("a", 10))
        await pair.stop("b")
        await pair.start("a")
        await pair.received(ids)


async def test_who_is_away_from_the_broker_alone_gets_it_by_another_road_at_once_and_the_mailbox_is_emptied(
    server: NatsServer, tmp_path: Path
) -> None:
    both = {"a": config(server), "b": config(server)}
    async with Pair(tmp_path / "pair", 'nats", "http', both) as pair:
        await pair.start()
        await until_lying(pair, server, "b", 0)
        await pair.received(await pair.send("hello"))
        await pair.stop("b")
        words = tmp_path / "pair" / "b" / "config.toml"
        words.write_text(words.read_text().replace(server.url, "nats://127.0.0.1:1"))
        await pair.start("b")
        ids = await pair.send(*BODIES)
        await pair.received(ids)
        assert sorted(pair.arrived()) == sorted(["hello", *BODIES])
        roads = {(one.channel, one.result) for id in ids for one in pair.attempts(id)}
        assert ("http", Result.DELIVERED) in roads
        await until_lying(pair, server, "b", 0)
