"""The one courier of a peer, and what its dispatcher picks: batches, places, gates, tries, waiting."""

import asyncio
from pathlib import Path

from fleet.core import policy
from fleet.core.lifecycle import Status
from fleet.core.submission import Submission
from fleet.store.outbox import Change
from tests.engine.nodes import Tale, told
from tests.support.weather import Weather

CUT = Weather(cut=True)
HOLE = Weather(hole=True)


def test_what_waits_together_travels_in_one_parcel(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        node = tale.fleet.node("a")
        await node.mail.submit([Submission(to="b", body=f"{n}") for n in range(policy.BATCH_ENVELOPES + 1)])
        await asyncio.sleep(1.0)
        assert len(tale.fleet.inbox("b")) == policy.BATCH_ENVELOPES + 1

    assert len(told(tmp_path, story).sent()) == 2


def test_a_parcel_holds_so_many_bytes_and_one_message_at_least(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        bodies = [100_000, 100_000, 100_000, 250_000]
        await tale.fleet.node("a").mail.submit([Submission(to="b", body="x" * size) for size in bodies])
        await asyncio.sleep(1.0)
        assert len(tale.fleet.inbox("b")) == 4

    sizes = [round(trip.size, -5) for trip in told(tmp_path, story).sent()]
    assert sizes == [200_000, 100_000, 200_000] or len(sizes) == 3


def test_messages_of_different_plans_travel_apart(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        wishes = [{}, {"type": "alert"}, {"channel": "http"}, {}]
        await tale.fleet.node("a").mail.submit([Submission(to="b", **wish) for wish in wishes])
        await asyncio.sleep(1.0)

    assert sorted(trip.road for trip in told(tmp_path, story).sent()) == ["http", "nats", "nats"]


def test_four_parcels_are_under_way_and_two_more_for_what_is_urgent(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        tale.fleet.net.sky.set("a", "b", "*", Weather(delay=1.0))
        for _ in range(20):
            await tale.fleet.send("a", "b")
        assert len(tale.sent()) == policy.IN_FLIGHT
        for _ in range(5):
            await tale.fleet.send("a", "b", priority="urgent")
        assert len(tale.sent()) == policy.IN_FLIGHT + policy.IN_FLIGHT_EXPRESS

    told(tmp_path, story, roads=("nats",))


def test_a_courier_without_room_does_not_ask_the_disk_all_the_time(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        tale.fleet.net.sky.set("a", "b", "*", HOLE)
        for _ in range(50):
            await tale.fleet.send("a", "b")
        node = tale.fleet.node("a")
        before = node.writer.jobs
        await asyncio.sleep(2.0)
        assert node.writer.jobs - before < 20

    told(tmp_path, story, roads=("nats",))


def test_mail_for_somebody_who_is_gone_waits_quietly_and_ends_in_time(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        node = tale.fleet.node("a")
        tale.fleet.net.sky.set("a", "b", "*", CUT)
        id = await tale.fleet.send("a", "b", ttl=60.0)
        node.roster._members.pop("b")
        node.roster.set_words("b", None)
        before = node.writer.jobs
        await asyncio.sleep(10.0)
        assert node.writer.jobs - before < 60
        await asyncio.sleep(55.0)
        assert tale.fleet.row("a", id).status is Status.DEAD

    told(tmp_path, story, roads=("nats",))


def test_a_message_no_road_took_is_tried_again_after_a_growing_pause(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        tale.fleet.net.sky.both("a", "b", "*", CUT)
        id = await tale.fleet.send("a", "b")
        await asyncio.sleep(20.0)
        row = tale.fleet.row("a", id)
        assert (row.status, row.reason) == (Status.QUEUED, "every road to the peer is broken")
        assert 3 <= row.tries <= 12

    told(tmp_path, story, roads=("nats",))


def test_hearing_from_the_peer_sends_what_was_put_off_at_once(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        tale.fleet.net.sky.both("a", "b", "*", CUT)
        id = await tale.fleet.send("a", "b")
        await asyncio.sleep(300.0)
        tale.fleet.net.sky.clear()
        assert tale.fleet.row("a", id).due - tale.fleet.node("a").world.now() > 0
        assert await tale.fleet.until(lambda: tale.fleet.state("a", id) == "received") <= 10.0

    told(tmp_path, story, roads=("nats",))


def test_an_unsigned_wish_to_be_left_alone_counts_for_a_minute_at_most(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        tale.fleet.net.sky.set("a", "b", "*", Weather(busy=86_400.0))
        id = await tale.fleet.send("a", "b")
        await asyncio.sleep(2.0)
        row = tale.fleet.row("a", id)
        assert row.tries == 1
        assert row.due - tale.fleet.node("a").world.now() <= policy.BACKOFF_CAP * 1000

    told(tmp_path, story, roads=("ssh",))


def test_the_last_try_ends_a_message_unless_it_was_settled_meanwhile(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        fleet = tale.fleet
        fleet.net.sky.set("a", "b", "nats", HOLE)
        lost = await fleet.send("a", "b", type="broadcast")
        settled = await fleet.send("a", "b", type="broadcast")
        node, now = fleet.node("a"), fleet.node("a").world.now()
        change = Change(fleet.row("a", settled).row, "receipt")  # over some other way
        await node.writer.run(lambda store: store.outbox.apply([change], now))
        await asyncio.sleep(10.0)
        assert fleet.state("a", lost) == "dead" and fleet.row("a", lost).reason.startswith("tries used up (1): ")
        assert fleet.state("a", settled) == "received"
        for id in (lost, settled):
            assert len(node.reader.ledger.attempts_of(fleet.row("a", id))) == 1

    tale = told(tmp_path, story)
    assert "unsettled" not in tale.events("a")


def test_a_signed_later_is_no_try(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await tale.fleet.send("a", "b")
        await asyncio.sleep(0.5)
        tale.fleet.clog("b", "a", policy.WINDOW_RANGES)
        id = await tale.fleet.send("a", "b", type="broadcast")
        await asyncio.sleep(0.5)
        row = tale.fleet.row("a", id)
        assert (row.status, row.tries, row.reason) == (Status.QUEUED, 0, "later: window full")

    told(tmp_path, story)


def test_our_own_gate_refuses_without_calling_a_road(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        fleet = tale.fleet
        fleet.net.sky.set("a", "b", "*", CUT)
        id = await fleet.send("a", "b")
        await asyncio.sleep(0.1)
        calls = len(tale.sent())
        await fleet.node("a").control.peer_set("b", {"enabled": False}, add=False)
        await asyncio.sleep(5.0)
        row = fleet.row("a", id)
        assert (row.status, row.reason.split(":")[0]) == (Status.REFUSED, "membership")
        assert len(tale.sent()) == calls

    told(tmp_path, story, roads=("ssh",))


def test_what_a_road_holds_goes_over_another_while_it_may(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        fleet = tale.fleet
        fleet.net.sky.set("a", "b", "git", Weather(custody="lost"))
        fleet.net.sky.set("a", "b", "ssh", CUT)
        id = await fleet.send("a", "b")
        await asyncio.sleep(10.0)
        assert (fleet.state("a", id), len(tale.sent(road="git"))) == ("custody", 1)
        await asyncio.sleep(120.0)
        assert len(tale.sent(road="git")) == 2

    told(tmp_path, story, roads=("ssh", "git"))


def test_custody_pinned_to_its_road_loses_no_try_while_it_is_held(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        fleet = tale.fleet
        fleet.net.sky.set("a", "b", "git", Weather(custody="lost"))
        id = await fleet.send("a", "b", channel="git")
        await asyncio.sleep(1.0)
        row = fleet.row("a", id)
        node, now = fleet.node("a"), fleet.node("a").world.now()
        await node.writer.run(lambda store: store.outbox.apply([Change(row.row, "later", due=now)], now))
        node.exchange.poke("b")
        await asyncio.sleep(30.0)
        row = fleet.row("a", id)
        assert (row.tries, row.due, row.status) == (0, row.taken["git"], Status.QUEUED)
        assert row.reason == "the road that holds it has time left, and no other is open"

    told(tmp_path, story, roads=("git",))


def test_a_parcel_that_cannot_be_sealed_waits_for_the_peers_manifest(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        fleet = tale.fleet
        await fleet.node("a").control.peer_set("newcomer", {"http.url": "http://newcomer"}, add=True)
        id = await fleet.send("a", "newcomer")
        await asyncio.sleep(3.0)
        row = fleet.row("a", id)
        assert (row.status, row.reason) == (Status.QUEUED, "no road took it")
        assert tale.sent() == []

    tale = told(tmp_path, story)
    assert "unsendable" in tale.events("a")


def test_a_full_disk_leaves_mail_where_it_was(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        fleet = tale.fleet
        disk = fleet.lives["a"].disk
        assert disk is not None
        id = await fleet.send("a", "b")
        await asyncio.sleep(0.1)
        disk.dead = True  # nothing is written any more, the process lives
        await asyncio.sleep(3.0)
        disk.dead = False
        later = await fleet.send("a", "b")
        await asyncio.sleep(3.0)
        assert [fleet.state("a", one) for one in (id, later)] == ["received", "received"]

    told(tmp_path, story)


def test_a_message_without_patience_expires_in_the_middle_of_its_walk(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        tale.fleet.net.sky.set("a", "b", "*", HOLE)
        id = await tale.fleet.send("a", "b", ttl=1.0)
        await asyncio.sleep(2.0)
        assert tale.fleet.row("a", id).status is Status.SENDING  # it may still arrive
        await asyncio.sleep(3.0)
        row = tale.fleet.row("a", id)
        assert (row.status, row.reason) == (Status.DEAD, "expired")

    told(tmp_path, story, roads=("nats",))
