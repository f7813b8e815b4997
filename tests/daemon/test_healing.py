"""Healing by itself, in whole fleets and virtual time: each level, what proves it, and what it leaves alone."""

import asyncio
from pathlib import Path
from typing import Any

from fleet.core.health import Evidence, Health
from fleet.store.audit import Entry
from tests.engine.nodes import Tale, told
from tests.support.weather import Weather

HOLE, CUT = Weather(hole=True), Weather(cut=True)
TRUSTED = {"a": 4, "b": 4, "c": 4}
ROADS = ("nats", "http", "ssh", "git")


def heard(tale: Tale, name: str, event: str) -> list[dict[str, Any]]:
    """What a node logged of one event."""
    return [fields for node, said, fields in tale.logged if (node, said) == (name, event)]


def escalated(tale: Tale, name: str = "a") -> list[int]:
    """The levels a node took, without those that were refused."""
    return [fields["level"] for fields in heard(tale, name, "escalation") if not fields["reason"]]


def entries(tale: Tale, name: str = "a") -> list[Entry]:
    """What stands in a node's audit chain of repairs, oldest first."""
    audit = tale.fleet.node(name).reader.audit
    found = [one for kind in ("repair", "escalation") for one in audit.entries(kind=kind)]
    return sorted(found, key=lambda one: one.seq)


async def begin(tale: Tale) -> None:
    """Let every link prove itself."""
    await asyncio.sleep(10.0)


async def healed(tale: Tale, limit: float = 60.0) -> dict[str, Any]:
    """Wait until a says that a case is over."""
    await tale.fleet.until(lambda: bool(heard(tale, "a", "healed")), limit)
    return heard(tale, "a", "healed")[-1]


def test_its_own_side_is_mended_first_and_nobody_is_asked(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await begin(tale)
        tale.fleet.lives["a"].channels["nats"].stuck = True
        found = await healed(tale)
        assert (found["peer"], found["channel"], found["level"]) == ("b", "nats", 1)
        assert tale.fleet.inbox("b") == []
        await asyncio.sleep(1.0)
        assert [one.details["state"] for one in entries(tale)] == ["done", "healed"]
        assert entries(tale)[-1].details["step"] == "healed at level 1"

    assert escalated(told(tmp_path, story, trust=TRUSTED)) == [1]


def test_a_peer_is_asked_over_the_road_that_works_and_says_what_came_of_it(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await begin(tale)
        mended: list[tuple[str, str]] = []

        def reconnected(node: str, road: str) -> None:
            mended.append((node, road))
            if node == "b":
                tale.fleet.net.sky.clear()

        tale.fleet.net.on_reconnect = reconnected
        tale.fleet.net.sky.set("a", "b", "nats", CUT)
        found = await healed(tale)
        assert (found["level"], found["channel"]) == (2, "nats")
        assert mended[:2] == [("a", "nats"), ("b", "nats")]
        (mail,) = tale.fleet.inbox("b")
        assert (mail.type, mail.state, mail.road) == ("repair", "done", "http")
        row = tale.fleet.row("a", mail.id)
        assert (row.reached, row.reason) == ("done", "reconnect nats: done; announce: done")
        assert [one.details["level"] for one in entries(tale) if one.details["state"] == "done"] == [1, 2]
        assert [one.peer for one in entries(tale, "b") if one.details.get("id") == mail.id] == ["a"]

    assert escalated(told(tmp_path, story, roads=ROADS, trust=TRUSTED)) == [1, 2]


def test_after_two_minutes_its_daemon_is_restarted_over_ssh(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await begin(tale)

        async def restart(node: str) -> None:
            await tale.fleet.stop(node)
            tale.fleet.net.sky.clear()
            await tale.fleet.start(node)

        tale.fleet.net.on_restart = restart
        await tale.fleet.node("a").control.peer_set("b", {"ssh.host": "b"}, add=False)
        tale.fleet.net.sky.set("a", "b", "nats", CUT)
        began = tale.fleet.net.time()
        assert (await healed(tale, 200.0))["level"] == 3
        assert 120.0 <= tale.fleet.net.time() - began <= 160.0

    assert escalated(told(tmp_path, story, roads=ROADS, trust=TRUSTED)) == [1, 2, 3]


def test_what_nothing_mends_is_shown_to_a_person_once_with_the_commands(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await begin(tale)
        node = tale.fleet.node("a")
        await node.control.peer_set("b", {"ssh.host": "10.0.0.2", "ssh.user": "me"}, add=False)
        tale.fleet.net.sky.set("a", "b", "nats", CUT)
        tale.fleet.net.sky.set("a", "b", "ssh", CUT)
        await asyncio.sleep(890.0)
        assert escalated(tale) == [1, 2, 3]
        assert node.sight.peer(node.sight.known("b"))["repair"]["level"] == 3
        await asyncio.sleep(1800.0)
        (notice,) = [one for one in node.sight.notices() if one["kind"] == "healing"]
        assert "fleet check b" in notice["text"] and "ssh me@10.0.0.2 fleet receive restart" in notice["text"]
        steps = {one.details["level"]: one.details["state"] for one in entries(tale)}
        assert steps == {1: "done", 2: "done", 3: "failed", 4: "done"}

    assert escalated(told(tmp_path, story, roads=ROADS, trust=TRUSTED)) == [1, 2, 3, 4]


def test_three_escalations_an_hour_and_the_refused_are_counted(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await begin(tale)
        node = tale.fleet.node("a")
        for _ in range(5):
            tale.fleet.net.sky.set("a", "b", "nats", CUT)
            await asyncio.sleep(60.0)
            tale.fleet.net.sky.clear()
            await asyncio.sleep(60.0)
        assert escalated(tale).count(2) == 3
        assert node.exchange.counters["escalations_refused"] == 2
        assert [one.details["state"] for one in entries(tale)].count("refused") == 2
        await asyncio.sleep(3600.0)
        tale.fleet.net.sky.set("a", "b", "nats", CUT)
        await asyncio.sleep(60.0)
        assert escalated(tale).count(2) == 4

    told(tmp_path, story, roads=ROADS, trust=TRUSTED)


def test_a_fault_of_security_does_not_heal_by_itself(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await begin(tale)
        links = tale.fleet.node("a").links
        links.credit("b", "nats", Evidence.FATAL, security=True, reason="another host key")
        await asyncio.sleep(1200.0)
        assert links.get("b", "nats").health is Health.BROKEN
        await tale.fleet.node("a").control.reset("b", "nats")
        await asyncio.sleep(5.0)
        assert links.get("b", "nats").health is Health.HEALTHY

    assert escalated(told(tmp_path, story, trust=TRUSTED)) == []


def test_what_is_shared_is_told_once_and_nobody_is_escalated(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await begin(tale)
        mended: list[tuple[str, str]] = []
        tale.fleet.net.on_reconnect = lambda node, road: mended.append((node, road))
        tale.fleet.net.sky.set("*", "*", "nats", HOLE)
        await asyncio.sleep(300.0)
        notices = [one for one in tale.fleet.node("a").sight.notices() if one["kind"] == "layer"]
        assert [one["text"] for one in notices] == [
            "layer broker: lost with b, c at once; what they share is at fault, not they"
        ]
        assert ("a", "nats") in mended and ("a", "http") not in mended
        tale.fleet.net.sky.clear()
        await asyncio.sleep(20.0)
        assert tale.fleet.node("a").links.get("c", "nats").health is Health.HEALTHY

    assert escalated(told(tmp_path, story, "abc", trust=TRUSTED)) == []


def test_who_is_cut_off_from_everybody_blames_nobody(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await begin(tale)
        tale.fleet.net.sky.set("a", "*", "*", HOLE)
        tale.fleet.net.sky.set("*", "a", "*", HOLE)
        await asyncio.sleep(300.0)
        notices = [one for one in tale.fleet.node("a").sight.notices() if one["kind"] == "ourselves"]
        assert len(notices) == 1 and "b, c answer on no road" in notices[0]["text"]

    tale = told(tmp_path, story, "abc", trust=TRUSTED)
    assert escalated(tale) == []


def test_a_peer_that_is_away_is_neither_asked_nor_restarted(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await begin(tale)
        await tale.fleet.stop("b")
        await asyncio.sleep(1200.0)
        assert tale.fleet.node("a").reader.outbox.list_open(10) == []
        await tale.fleet.start("b")
        assert (await healed(tale))["level"] == 1

    assert escalated(told(tmp_path, story, trust=TRUSTED)) == [1]


def test_a_road_that_never_worked_is_not_mended(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        tale.fleet.net.sky.set("a", "b", "nats", CUT)
        await asyncio.sleep(900.0)

    assert escalated(told(tmp_path, story, trust=TRUSTED)) == []


def test_a_blip_is_left_to_the_pings(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await begin(tale)
        tale.fleet.net.sky.set("a", "b", "nats", CUT)
        await asyncio.sleep(4.0)
        tale.fleet.net.sky.clear()
        await asyncio.sleep(60.0)

    assert escalated(told(tmp_path, story, trust=TRUSTED)) == []


def test_a_daemon_that_starts_anew_goes_on_where_it_was(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await begin(tale)
        await tale.fleet.node("a").control.peer_set("b", {"ssh.host": "b"}, add=False)
        tale.fleet.net.sky.set("a", "b", "nats", CUT)
        await asyncio.sleep(60.0)
        assert escalated(tale) == [1, 2]
        await tale.fleet.stop("a")
        await tale.fleet.start("a")
        await asyncio.sleep(60.0)
        assert escalated(tale) == [1, 2]
        await asyncio.sleep(120.0)

    assert escalated(told(tmp_path, story, roads=ROADS, trust=TRUSTED)) == [1, 2, 3]


def test_the_setting_says_how_far_it_goes(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await begin(tale)
        tale.fleet.net.sky.set("a", "b", "nats", CUT)
        await asyncio.sleep(900.0)

    tale = told(tmp_path, story, trust=TRUSTED, config={"a": "[healing]\nlevel = 1\n"})
    assert escalated(tale) == [1]
