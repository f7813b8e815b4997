"""What a node owes: receipts of one-way mail, news of it, letters; sent until somebody takes them, owed over restarts."""

import asyncio
from pathlib import Path

from fleet.core import policy
from fleet.core.parcel import ParcelType
from fleet.core.submission import Submission
from fleet.engine.gossip import Letter
from tests.engine.nodes import Tale, told
from tests.support.weather import Weather

CUT = Weather(cut=True)


def owed(tale: Tale, name: str) -> int:
    node = tale.fleet.node(name)
    return sum(len(node.reader.inbox.owed(peer, 1000)) for peer in node.reader.inbox.peers_owed())


def test_one_receipt_answers_a_whole_parcel_of_one_way_mail(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await tale.fleet.node("a").mail.submit([Submission(to="b") for _ in range(5)])
        await asyncio.sleep(70.0)
        assert tale.fleet.node("a").reader.outbox.waiting("b") == 0
        assert owed(tale, "b") == 0

    tale = told(tmp_path, story, roads=("git",))
    assert len(tale.sent("receipt")) == 1


def test_what_cannot_be_sent_stays_owed_and_goes_when_a_road_opens(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        tale.fleet.net.sky.set("b", "a", "*", CUT)
        tale.fleet.net.sky.set("a", "b", "nats", CUT)
        id = await tale.fleet.send("a", "b")
        await asyncio.sleep(60.0)
        assert owed(tale, "b") == 1
        tried = len(tale.sent("receipt"))
        assert 3 <= tried < 60  # it waits longer each time
        tale.fleet.net.sky.clear()
        assert await tale.fleet.until(lambda: tale.fleet.state("a", id) == "received") <= 60.0
        assert owed(tale, "b") == 0

    told(tmp_path, story, roads=("nats", "git"))


def test_what_is_owed_survives_a_restart(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        tale.fleet.net.sky.set("b", "a", "*", CUT)
        id = await tale.fleet.send("a", "b")
        await asyncio.sleep(40.0)
        assert owed(tale, "b") == 1
        await tale.fleet.crash("b")
        tale.fleet.net.sky.clear()
        await tale.fleet.start("b")
        await asyncio.sleep(40.0)
        assert (tale.fleet.state("a", id), owed(tale, "b")) == ("received", 0)

    told(tmp_path, story, roads=("git",))


def test_shown_and_done_are_told_to_the_sender(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        id = await tale.fleet.send("a", "b")
        await asyncio.sleep(0.1)
        for act, state in ((tale.fleet.node("b").mail.shown([id]), "shown"), (tale.fleet.node("b").mail.done(id), "done")):
            await act
            await asyncio.sleep(0.1)
            assert tale.fleet.state("a", id) == state

    assert len(told(tmp_path, story).sent("receipt")) == 2


def test_a_receipt_that_somebody_took_goes_down_no_other_road(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        id = await tale.fleet.send("a", "b")
        await asyncio.sleep(0.1)
        await tale.fleet.node("b").mail.done(id)
        await asyncio.sleep(5.0)

    tale = told(tmp_path, story, roads=("nats", "http", "ssh", "git"))
    assert [trip.road for trip in tale.sent("receipt")] == ["nats"]


def test_from_the_second_duplicate_on_the_receipt_travels_by_itself(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        tale.fleet.net.sky.set("a", "b", "*", Weather(deaf=True))
        id = await tale.fleet.send("a", "b")
        await tale.fleet.until(lambda: tale.fleet.state("a", id) == "received")
        assert len(tale.fleet.inbox("b")) == 1

    tale = told(tmp_path, story, roads=("nats",))
    assert len(tale.sent("mail")) == 3
    assert len(tale.sent("receipt")) == 1


def test_a_refusal_that_travels_by_itself_says_why(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        id = await tale.fleet.send("a", "b", type="query")
        await asyncio.sleep(70.0)
        assert tale.fleet.state("a", id) == "received"
        tale.fleet.node("b").exchange.levels["a"] = 1
        refused = await tale.fleet.send("a", "b", type="query")
        await asyncio.sleep(70.0)
        assert tale.fleet.row("a", refused).reason.startswith("the peer: trust: query needs level 2, a has 1")

    told(tmp_path, story, roads=("git",))


def test_letters_are_sent_once_and_only_so_many_wait(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        returns = tale.fleet.node("a").returns
        for _ in range(policy.LETTERS_WAITING + 20):
            returns.post(Letter("b", ParcelType.MANIFEST, (tale.fleet.node("a").roster.me.intro,)))
        await asyncio.sleep(5.0)

    assert len(told(tmp_path, story).sent("manifest")) == policy.LETTERS_WAITING


def test_a_letter_to_nobody_is_dropped(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        tale.fleet.node("a").returns.post(Letter("nobody", ParcelType.MANIFEST, (b"",)))
        await asyncio.sleep(1.0)

    assert told(tmp_path, story).sent("manifest") == []
