"""A clock in doubt: nothing dies by it, at the sender or at the addressee, and it is believed again when peers agree."""

import asyncio
from pathlib import Path

from fleet.core.lifecycle import Status
from tests.engine.nodes import Tale, told
from tests.support.weather import Weather

HOUR = 3600.0


def sky(tale: Tale, **weather: bool) -> None:
    tale.fleet.net.sky.both("a", "b", "*", Weather(**weather))


def test_mail_outlives_a_sender_whose_clock_jumps_ahead_and_back(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        fleet = tale.fleet
        sky(tale, cut=True)
        id = await fleet.send("a", "b", ttl=2 * HOUR)
        fleet.jump("a", 24 * HOUR)
        await asyncio.sleep(300)
        assert fleet.node("a").clock.unsure()
        assert fleet.row("a", id).status is Status.QUEUED
        fleet.jump("a", -24 * HOUR)
        sky(tale)
        await fleet.until(lambda: fleet.row("a", id).status is Status.DONE)
        await fleet.until(lambda: not fleet.node("a").clock.unsure())

    told(tmp_path, story)


def test_mail_expires_by_a_jumped_clock_once_ten_minutes_passed_without_a_word_against_it(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        fleet = tale.fleet
        sky(tale, cut=True)
        id = await fleet.send("a", "b", ttl=2 * HOUR)
        fleet.jump("a", 24 * HOUR)
        await fleet.until(lambda: fleet.row("a", id).status is Status.DEAD, 700)

    told(tmp_path, story)


def test_an_addressee_in_doubt_puts_off_what_it_would_call_expired_and_stores_it_later(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        fleet = tale.fleet
        fleet.jump("b", 24 * HOUR)
        id = await fleet.send("a", "b", ttl=2 * HOUR)
        await fleet.until(lambda: "clock unsure" in fleet.row("a", id).reason)
        assert fleet.row("a", id).status is Status.QUEUED
        fleet.jump("b", -24 * HOUR)
        await fleet.until(lambda: fleet.row("a", id).status is Status.DONE)
        assert [mail.id for mail in fleet.inbox("b")] == [id]

    told(tmp_path, story)


def test_a_node_that_two_peers_contradict_doubts_itself_and_they_do_not(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        fleet = tale.fleet
        await fleet.until(lambda: fleet.node("a").clock.unsure())
        assert not fleet.node("b").clock.unsure() and not fleet.node("c").clock.unsure()
        await fleet.until(lambda: "clock" in {notice.kind for notice in fleet.node("a").reader.ledger.notices(10)})

    def late(tale: Tale) -> None:
        tale.fleet.jump("a", -2 * HOUR)

    told(tmp_path, story, "abc", before=late)
