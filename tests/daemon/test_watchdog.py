"""The watchdog of a real node in virtual time: one notice when something begins, one when it is over, nothing between."""

import asyncio
from pathlib import Path

from tests.engine.nodes import Tale, told
from tests.support.weather import Weather

SOON = '[watchdog]\nqueue_age = "2m"\n'


def notices(tale: Tale, name: str = "a") -> list[str]:
    """What a node's operator was told of the watchdog's conditions."""
    kinds = ("queue", "dead letters", "flapping", "wal", "disk", "clock")
    return [
        fields["reason"] for node, event, fields in tale.logged
        if node == name and event == "notice" and fields["kind"] in kinds
    ]  # fmt: skip


def test_mail_that_waits_too_long_is_told_once_and_its_end_too(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await tale.fleet.stop("b")
        await tale.fleet.send("a", "b", "hello")
        await asyncio.sleep(110)
        assert notices(tale) == []
        await asyncio.sleep(300)
        assert [line.partition(" waits")[0] for line in notices(tale)] == ["mail to b"]
        await tale.fleet.start("b")
        await asyncio.sleep(120)
        assert notices(tale)[1:] == ["queue b: over"]

    told(tmp_path, story, config={"a": SOON})


def test_nothing_is_told_while_there_is_no_trouble(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        for _ in range(10):
            await tale.fleet.send("a", "b", "hello")
            await asyncio.sleep(60)
        assert notices(tale) == notices(tale, "b") == []

    told(tmp_path, story, config={"a": SOON, "b": SOON})


def test_a_road_that_breaks_again_and_again_is_named(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        for _ in range(7):
            tale.fleet.net.sky.both("a", "b", "nats", Weather(cut=True))
            await asyncio.sleep(20)
            tale.fleet.net.sky.clear()
            await asyncio.sleep(40)
        assert len([line for line in notices(tale) if line.startswith("nats to b broke")]) == 1

    told(tmp_path, story)


def test_dead_letters_of_an_hour_are_counted(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await tale.fleet.stop("b")
        for _ in range(20):
            await tale.fleet.send("a", "b", "gone", ttl=5.0)
        await asyncio.sleep(60)
        assert [line for line in notices(tale) if "died within an hour" in line] == [
            "20 messages died within an hour: fleet dead"
        ]

    told(tmp_path, story)


def test_the_chosen_peer_gets_a_message_and_what_is_seen_stands_in_the_figures(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await tale.fleet.stop("c")
        await tale.fleet.send("a", "c", "hello")
        await asyncio.sleep(180)
        assert tale.fleet.node("a").watchdog.standing() == {"queue": 1}
        (mail,) = tale.fleet.node("b").reader.inbox.unshown(10)
        assert b"mail to c waits" in mail.content and mail.sender == "a"

    told(tmp_path, story, "abc", start="abc", config={"a": SOON + 'peer = "b"\n'})


def test_a_clock_in_doubt_stands_in_the_figures_and_is_noticed_once(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await asyncio.sleep(30)
        tale.fleet.jump("a", 7200)
        await asyncio.sleep(30)
        assert tale.fleet.node("a").watchdog.standing() == {"clock": 1}
        assert len([event for event, fields in _notices(tale) if fields["kind"] == "clock"]) == 1

    told(tmp_path, story, "a")


def _notices(tale: Tale) -> list[tuple[str, dict[str, str]]]:
    return [(event, fields) for _, event, fields in tale.logged if event == "notice"]
