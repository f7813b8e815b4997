"""A sender cannot fill the inbox: beyond its share mail is put off with a signed `later`, and goes on once somebody read."""

import asyncio
from pathlib import Path
from typing import Any

from fleet.daemon.quota import FULL, RECOUNT, Quota
from fleet.store.inbox import Arrival
from tests.core.samples import envelope
from tests.engine.nodes import Tale, told

SMALL = {"b": '[retention]\nunread = "1MiB"\n'}


class Inbox:
    """What the store would say, and a clock."""

    def __init__(self, unread: int = 0) -> None:
        self.unread = unread
        self.now = 0.0
        self.asked = 0
        self.told: list[str] = []
        self.quota = Quota(1000, self.count, lambda: self.now, self.told.append)

    def count(self, sender: str) -> int:
        self.asked += 1
        return self.unread

    def put_off(self, size: int, sender: str = "a", **words: Any) -> bool:
        (arrival,) = self.quota.admit(sender, [Arrival(envelope(), b"x" * size, b"", **words)])
        return bool(arrival.later)


def test_up_to_the_bound_everything_is_let_in_and_the_store_is_asked_once() -> None:
    inbox = Inbox()
    assert [inbox.put_off(100) for _ in range(10)] == [False] * 10
    assert inbox.asked == 1


def test_one_byte_more_is_put_off_and_told_once() -> None:
    inbox = Inbox(unread=1000)
    assert [inbox.put_off(1) for _ in range(5)] == [True] * 5
    assert inbox.told == ["a"]


def test_once_somebody_read_there_is_room_again() -> None:
    inbox = Inbox(unread=1000)
    assert inbox.put_off(10)
    inbox.unread = 0
    assert inbox.put_off(10), "not asked again at once"
    inbox.now += RECOUNT
    assert not inbox.put_off(10)
    inbox.unread = 2000
    inbox.now += RECOUNT
    assert inbox.put_off(995) and inbox.told == ["a", "a"]


def test_the_store_is_not_asked_for_each_parcel_of_a_flood() -> None:
    inbox = Inbox(unread=1000)
    for _ in range(1000):
        inbox.now += 0.01
        inbox.put_off(10)
    assert inbox.asked <= 1 + 10 / RECOUNT


def test_every_sender_has_a_share_of_its_own() -> None:
    inbox = Inbox(unread=1000)
    assert inbox.put_off(10, "a")
    inbox.unread = 0
    assert not inbox.put_off(10, "b")


def test_what_a_gate_puts_off_keeps_its_reason() -> None:
    inbox = Inbox(unread=1000)
    (arrival,) = inbox.quota.admit("a", [Arrival(envelope(), b"x", b"", later="clock unsure")])
    assert arrival.later == "clock unsure"


def test_a_flood_waits_at_its_sender_and_arrives_after_somebody_read(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        ids = [await tale.fleet.send("a", "b", "x" * 200_000) for _ in range(8)]
        await asyncio.sleep(30)
        there = [mail.id for mail in tale.fleet.inbox("b")]
        assert 3 <= len(there) <= 5, "about a mebibyte"
        waiting = [id for id in ids if id not in there]
        row = tale.fleet.row("a", waiting[0])
        assert tale.fleet.state("a", waiting[0]) == "accepted" and FULL in row.reason
        assert tale.events("b").count("inbox full") == 1
        await tale.fleet.node("b").mail.shown(there, "")
        await tale.fleet.until(lambda: len(tale.fleet.inbox("b")) == 8, 1200)
        assert sorted(mail.id for mail in tale.fleet.inbox("b")) == sorted(ids)

    told(tmp_path, story, config=SMALL)


def test_who_fills_the_inbox_waits_alone(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        for _ in range(8):
            await tale.fleet.send("a", "b", "x" * 200_000)
        await asyncio.sleep(30)
        assert len(tale.fleet.inbox("b")) < 8
        id = await tale.fleet.send("c", "b", "hello")
        await tale.fleet.until(lambda: id in [mail.id for mail in tale.fleet.inbox("b")], 60)
        assert len(tale.fleet.inbox("b")) < 9, "who filled it still waits"

    told(tmp_path, story, "abc", start="abc", config=SMALL)
