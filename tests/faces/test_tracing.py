"""What `fleet trace` says of both ends: attempts, and only what the addressee signed; of mail that came in, how it came."""

import asyncio
from pathlib import Path
from typing import Any

from fleet.faces import asked, verbs
from tests.engine.nodes import Tale, told
from tests.support.weather import Weather


def traced(tale: Tale, name: str, id: str) -> dict[str, Any]:
    """Trace a message at one node."""
    return verbs.trace(tale.fleet.node(name).reader, asked.One(id=id))


def steps(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The steps that receipts told, and the road each names."""
    return [(step["state"], step["channel"]) for step in found["receipts"]]


def test_a_message_is_followed_from_acceptance_to_done(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        id = await tale.fleet.send("a", "b")
        before = traced(tale, "a", id)
        assert before["receipts"] == []
        await asyncio.sleep(1)
        assert steps(traced(tale, "a", id)) == [("received", "nats")]
        await asyncio.sleep(60)
        await tale.fleet.node("b").mail.shown([id], "session-7")
        await asyncio.sleep(5)
        await tale.fleet.node("b").mail.done(id)
        await asyncio.sleep(5)
        sent, came = traced(tale, "a", id), traced(tale, "b", id)
        assert steps(sent) == [("received", "nats"), ("shown", "nats"), ("done", "nats")]
        times = [step["at"] for step in sent["receipts"]]
        assert times == sorted(times) and times[1] - times[0] >= 60_000
        assert came["session"] == "session-7" and came["shown_at"] <= times[1] and came["done_at"] <= times[2]
        assert came["channel"] == "nats" and came["copies"] == 0 and came["receipt"] == "sent"
        assert came["parcel"] == sent["attempts"][0]["parcel"] and "body" not in came

    told(tmp_path, story)


def test_a_road_without_a_way_back_is_named_by_the_receipt_that_travelled(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        tale.fleet.net.sky.both("a", "b", "nats", Weather(cut=True))
        id = await tale.fleet.send("a", "b", channel="git")
        await asyncio.sleep(300)
        found = traced(tale, "a", id)
        assert steps(found) == [("received", "git")] and found["state"] == "received"

    told(tmp_path, story, roads=("nats", "git"))


def test_copies_that_came_again_are_counted_where_they_came(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        tale.fleet.net.sky.set("a", "b", "*", Weather(deaf=True))
        id = await tale.fleet.send("a", "b")
        await asyncio.sleep(30)
        assert traced(tale, "b", id)["copies"] >= 1
        assert steps(traced(tale, "a", id)) in ([], [("received", "nats")], [("received", "http")])

    told(tmp_path, story)


def test_mail_to_oneself_owes_nobody_a_receipt(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        id = await tale.fleet.send("a", "a")
        found = traced(tale, "a", id)
        assert (found["parcel"], found["receipt"], found["copies"], found["channel"]) == ("", "", 0, "")

    told(tmp_path, story)


def test_what_is_old_is_forgotten(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        id = await tale.fleet.send("a", "b", channel="git")
        await asyncio.sleep(300)
        node = tale.fleet.node("a")
        assert steps(traced(tale, "a", id)) == [("received", "git")]
        from fleet.store.milestones import Milestones

        later = node.world.now() + 1
        assert await node.writer.run(lambda store: Milestones(store.db).retire(later)) == 1
        assert traced(tale, "a", id)["receipts"] == []

    told(tmp_path, story, roads=("nats", "git"))
