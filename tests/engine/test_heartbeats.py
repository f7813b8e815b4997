"""Heartbeats: one to every peer every 10 s over the healthiest road; a peer's audit chain only grows."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fleet.core import policy
from fleet.core.channel import Answer, AnswerKind
from fleet.core.parcel import ParcelType
from fleet.core.receipt import Heartbeat
from fleet.daemon.service import Node
from fleet.engine.identity import system_item
from fleet.errors import StoreError
from fleet.store.beats import Beat
from tests.engine.doors import Door, at_the_door, parcel
from tests.engine.nodes import Tale, told
from tests.support.weather import Weather

CUT = Weather(cut=True)
BOOT, LATER = "01a1fc4ca1c37d41af722f03ea113438", "01a1fc4ca1c37d41af722f03ea113439"


def minute(directory: Path, before: Callable[[Tale], None] = lambda tale: None, names: str = "ab", **options: Any) -> Tale:
    """What a fleet does in a minute in which nothing happens."""

    async def story(tale: Tale) -> None:
        await asyncio.sleep(60.5)

    return told(directory, story, names, before=before, **options)


def beat(count: int = 0, head: str = "", counter: int = 1, boot: str = BOOT, **words: Any) -> bytes:
    return system_item(Heartbeat(boot=boot, counter=counter, audit_count=count, audit_head=head * 64, **words))


async def bring(door: Door, *beats: bytes, pause: float = 0.0) -> None:
    """Bring beats of a to b."""
    for one in beats:
        await asyncio.sleep(pause)
        assert await door.bare(parcel(door.a, "b", [one], ParcelType.HEARTBEAT)) == Answer(AnswerKind.CUSTODY)


def alone(tmp_path: Path, story: Callable[[Door], Awaitable[None]]) -> Tale:
    """A story in which only the beats that are brought count."""

    async def silenced(door: Door) -> None:
        for node in (door.a, door.b):
            node.heartbeats.run = asyncio.Event().wait  # type: ignore[method-assign]
        door.b.heartbeats.forget("a")
        await story(door)

    return at_the_door(tmp_path, silenced)


def faults(node: Node) -> list[dict[str, Any]]:
    with node.store.db.transaction():
        return [dict(entry.details) for entry in node.store.audit.entries(kind="peer_head")]


# ── sending ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_peer_gets_a_beat_every_ten_seconds_and_no_more(tmp_path: Path) -> None:
    tale = minute(tmp_path, names="abc")
    for to in "bc":
        times = [trip.at for trip in tale.sent("heartbeat") if (trip.sender, trip.to) == ("a", to)]
        assert len(times) in (6, 7)
        assert all(abs(after - one - policy.HEARTBEAT) < 1.0 for one, after in itertools.pairwise(times))


def test_a_beat_goes_over_the_healthiest_road_that_pings(tmp_path: Path) -> None:
    assert {trip.road for trip in minute(tmp_path / "1").sent("heartbeat")} == {"nats"}
    cut = minute(tmp_path / "2", lambda tale: tale.fleet.net.sky.both("a", "b", "nats", CUT))
    assert {trip.road for trip in cut.sent("heartbeat") if trip.end == "taken"} == {"http"}
    assert {trip.road for trip in cut.sent("heartbeat") if trip.at > 15.0} == {"http"}, "not even tried"


def test_where_no_road_leads_no_beat_is_sent_and_nothing_breaks(tmp_path: Path) -> None:
    def dark(tale: Tale) -> None:
        for road in ("nats", "http"):
            tale.fleet.net.sky.both("a", "b", road, CUT)

    tale = minute(tmp_path, dark)
    sent = [trip for trip in tale.sent("heartbeat") if trip.sender == "a" and trip.at > 15.0]
    assert sent == []
    assert "bug" not in tale.events("a")


def test_a_beat_is_answered_by_custody_and_uses_no_row_and_no_link(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await asyncio.sleep(60.5)
        node = tale.fleet.node("a")
        for table in ("outbox", "inbox", "parcel", "attempt"):
            assert node.store.db.conn.execute(f"SELECT count(*) FROM {table}").get == 0

    tale = told(tmp_path, story)
    assert {trip.end for trip in tale.sent("heartbeat")} == {"taken"}


def test_a_beat_is_small(tmp_path: Path) -> None:
    sizes = [trip.size for trip in minute(tmp_path).sent("heartbeat") if trip.at > 5.0]
    assert max(sizes) < 700, "bytes on the road, sealed, signed and framed; the first one introduces its sender"


def test_a_node_that_stops_takes_its_beats_with_it(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await asyncio.sleep(5.0)
        await tale.fleet.stop("a")
        count = len(tale.sent("heartbeat"))
        await asyncio.sleep(30.0)
        assert [trip.sender for trip in tale.sent("heartbeat")[count:]].count("a") == 0

    told(tmp_path, story)


# ── what peers see ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_peers_see_branch_commit_and_that_a_node_is_on_until_it_was_silent_for_45_seconds(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        a, b = tale.fleet.node("a"), tale.fleet.node("b")

        async def stand() -> tuple[str, str]:
            return "main", "c" * 40

        object.__setattr__(b.heartbeats._pulse, "stand", stand)
        await asyncio.sleep(12.0)
        seen = a.sight.peer(a.sight.known("b"))
        assert (seen["state"], seen["branch"], seen["commit"]) == ("on", "main", "c" * 40)
        await tale.fleet.stop("b")
        await asyncio.sleep(policy.ALIVE_FOR - 5.0)
        assert a.sight.peer(a.sight.known("b"))["state"] == "on"
        await asyncio.sleep(15.0)
        gone = a.sight.peer(a.sight.known("b"))
        assert gone["state"] == "off" and gone["last_seen"] < a.world.now() - 45_000
        assert gone["branch"] == "main", "what was heard last"

    told(tmp_path, story)


def test_a_beat_carries_the_head_of_the_own_audit_chain(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        a, b = tale.fleet.node("a"), tale.fleet.node("b")
        await a.writer.run(lambda store: store.audit.add("operator", details={"action": "test"}, now=1))
        await asyncio.sleep(12.0)
        heard = b.heartbeats.latest("a")
        assert heard is not None
        head = a.reader.audit.head()
        assert (heard.count, heard.hash) == (head.count, head.hash) and head.count > 1

    told(tmp_path, story)


# ── a chain that went back ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("second", "wrong"),
    [
        (beat(7, "b", 2), False), (beat(5, "a", 2), False), (beat(5, "b", 2), True), (beat(4, "c", 2), True),
        (beat(0, "", 2), True), (beat(4, "c", 1, LATER), True), (beat(9, "c", 1, LATER), False),
    ],
)  # fmt: skip
def test_a_chain_that_is_shorter_or_another_is_an_alarm_an_entry_and_a_notice(
    tmp_path: Path, second: bytes, wrong: bool
) -> None:
    async def story(door: Door) -> None:
        await bring(door, beat(5, "a"), second, pause=1.0)
        assert bool(faults(door.b)) is wrong
        assert door.counted.get("alarm", 0) == int(wrong)
        told_of = [notice["text"] for notice in door.b.sight.notices() if notice["kind"] == "audit of a peer"]
        assert bool(told_of) is wrong and all("fleet audit verify" in text for text in told_of)

    alone(tmp_path, story)


def test_an_older_beat_that_comes_late_or_again_says_nothing(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        old = parcel(door.a, "b", [beat(3, "e", 1)], ParcelType.HEARTBEAT)
        await bring(door, beat(4, "a", 2), beat(5, "b", 3), pause=1.0)
        await door.bare(old)
        await door.bare(old)
        await bring(door, beat(4, "a", 2), pause=1.0)
        assert faults(door.b) == []
        heard = door.b.heartbeats.latest("a")
        assert heard is not None and heard.count == 5

    alone(tmp_path, story)


def test_the_last_head_heard_outlives_a_restart(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await asyncio.sleep(12.0)
        before = tale.fleet.node("b").heartbeats.latest("a")
        await tale.fleet.stop("b")
        await tale.fleet.start("b")
        after = tale.fleet.node("b").heartbeats.latest("a")
        assert before is not None and after is not None
        assert (after.count, after.hash) == (before.count, before.hash)

    told(tmp_path, story)


def test_a_node_restored_from_a_backup_is_noticed_by_itself_and_by_its_peers(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await asyncio.sleep(5.0)
        tale.fleet.backup("a")
        a = tale.fleet.node("a")
        await a.writer.run(lambda store: store.audit.add("operator", details={"action": "test"}, now=1))
        await asyncio.sleep(25.0)
        await tale.fleet.stop("a")
        tale.fleet.restore("a")
        await tale.fleet.start("a")
        await asyncio.sleep(15.0)
        with tale.fleet.node("a").store.db.transaction():
            assert tale.fleet.node("a").store.audit.entries(kind="chain_behind")
        assert len(faults(tale.fleet.node("b"))) == 1, "said once"

    told(tmp_path, story)


def test_a_member_that_was_revoked_and_comes_back_begins_anew(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        await bring(door, beat(50, "a"))
        door.b.exchange.part("a")
        await bring(door, beat(1, "b", 1, LATER), pause=1.0)
        assert faults(door.b) == []

    alone(tmp_path, story)


def test_a_fault_that_cannot_be_kept_is_told_when_it_can(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        await bring(door, beat(5, "a"))
        run = door.b.writer.run

        async def full(job: Any, **more: Any) -> Any:
            raise StoreError("the disk is full")

        door.b.writer.run = full  # type: ignore[method-assign]
        late = parcel(door.a, "b", [beat(3, "b", 2)], ParcelType.HEARTBEAT)
        assert (await door.bare(late)).kind is AnswerKind.BUSY
        door.b.writer.run = run  # type: ignore[method-assign]
        await bring(door, beat(3, "b", 3), pause=1.0)
        assert len(faults(door.b)) == 1

    alone(tmp_path, story)


@pytest.mark.parametrize(
    ("boot", "counter", "ts", "follows"),
    [(BOOT, 6, 0, True), (BOOT, 5, 9, False), (BOOT, 4, 9, False), (LATER, 1, 4, True), (LATER, 1, 3, False)],
)
def test_within_one_life_the_counter_decides_what_is_newer_else_the_clock(
    boot: str, counter: int, ts: int, follows: bool
) -> None:
    assert Beat(boot, counter, ts, 0).follows(Beat(BOOT, 5, 3, 0)) is follows


def test_a_chain_put_back_under_a_running_daemon_is_noticed_at_its_next_look(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await asyncio.sleep(12.0)
        a = tale.fleet.node("a")
        conn = a.store.db.conn
        old = conn.execute("SELECT count, hash, epoch, mac FROM audit_head").fetchall()[0]
        await a.writer.run(lambda store: store.audit.add("operator", details={"action": "test"}, now=1))
        await asyncio.sleep(policy.AUDIT_REMEMBER + 1.0)
        conn.execute("DELETE FROM audit WHERE seq > ?", (old[0],))
        conn.execute("UPDATE audit_head SET count = ?, hash = ?, epoch = ?, mac = ?", old)
        await asyncio.sleep(policy.AUDIT_REMEMBER + 1.0)
        told_of = [notice["text"] for notice in a.sight.notices() if notice["kind"] == "audit"]
        assert len(told_of) == 1 and "fleet audit verify" in told_of[0]
        with a.store.db.transaction():
            assert len(a.store.audit.entries(kind="chain_behind")) == 1 and not a.store.audit.verify().ok

    told(tmp_path, story)
