"""Layers of shared fate in whole fleets: what goes down together, what does not, and how fast all is well again."""

import asyncio
from pathlib import Path

import pytest

from fleet.core.health import Health
from tests.engine.nodes import Tale, told
from tests.support.weather import Weather

HOLE, CUT = Weather(hole=True), Weather(cut=True)


def healths(tale: Tale, node: str, road: str) -> dict[str, Health]:
    """The health of every link of a node over one road."""
    links = tale.fleet.node(node).links
    return {peer.id: links.get(peer.id, road).health for peer in tale.fleet.node(node).roster.peers()}


def down(tale: Tale, node: str, road: str) -> bool:
    return all(health in (Health.BROKEN, Health.HEALING) for health in healths(tale, node, road).values())


def well(tale: Tale, *roads: str) -> bool:
    found = [healths(tale, node, road) for node in tale.fleet.lives for road in roads]
    return all(health is Health.HEALTHY for each in found for health in each.values())


def reasons(tale: Tale, node: str, road: str) -> set[str]:
    """Why links of a node broke, as it was logged."""
    return {
        fields["reason"] for name, event, fields in tale.logged
        if (name, event, fields.get("channel"), fields.get("new")) == (node, "link", road, "broken")
    }  # fmt: skip


async def settle(tale: Tale) -> None:
    """Let every link prove itself: what never answered says nothing when it fails."""
    await asyncio.sleep(10.0)
    assert well(tale, "nats", "http")


def test_two_peers_lost_on_one_road_take_its_layer_down_at_their_first_failure(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await settle(tale)
        tale.fleet.net.sky.set("*", "*", "nats", HOLE)
        assert await tale.fleet.until(lambda: down(tale, "a", "nats"), 10.0) < 5.0
        assert healths(tale, "a", "http") == {"b": Health.HEALTHY, "c": Health.HEALTHY}
        assert list(tale.fleet.node("a").links.shared.down) == ["broker"]
        assert tale.fleet.node("a").links.blameless("b", "nats")
        assert not tale.fleet.node("a").links.blameless("b", "http")

    tale = told(tmp_path, story, "abc")
    assert reasons(tale, "a", "nats") == {"layer broker: 2 peers at once"}


def test_what_came_down_together_comes_back_together(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await settle(tale)
        tale.fleet.net.sky.set("*", "*", "nats", HOLE)
        await asyncio.sleep(300.0)
        assert down(tale, "a", "nats") and down(tale, "b", "nats")
        tale.fleet.net.sky.clear()
        took = await tale.fleet.until(lambda: well(tale, "nats", "http"), 15.0)
        assert took < 10.0
        assert not tale.fleet.node("a").links.shared.down

    told(tmp_path, story, "abc")


def test_one_peer_that_goes_away_takes_nobody_along(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await settle(tale)
        tale.fleet.net.sky.set("a", "b", "*", HOLE)
        await asyncio.sleep(60.0)
        assert healths(tale, "a", "nats")["c"] is healths(tale, "a", "http")["c"] is Health.HEALTHY
        shared = tale.fleet.node("a").links.shared
        assert not shared.down and shared.ourselves is None

    tale = told(tmp_path, story, "abc")
    assert not any("layer" in reason for road in ("nats", "http") for reason in reasons(tale, "a", road))


def test_who_reaches_nobody_on_any_road_suspects_himself_until_somebody_answers(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await settle(tale)
        links = tale.fleet.node("a").links
        tale.fleet.net.sky.set("a", "*", "*", HOLE)
        tale.fleet.net.sky.set("*", "a", "*", HOLE)
        await tale.fleet.until(lambda: links.shared.ourselves is not None, 10.0)
        assert links.shared.stretch == 1.5
        assert links.blameless("b", "http") and links.blameless("c", "nats")
        broken = await tale.fleet.until(lambda: down(tale, "a", "nats") and down(tale, "a", "http"), 10.0)
        assert broken < 7.0
        tale.fleet.net.sky.clear()
        await tale.fleet.until(lambda: well(tale, "nats", "http"), 15.0)
        assert links.shared.ourselves is None and links.shared.stretch == 1.0

    told(tmp_path, story, "abc")


def test_two_machines_that_go_to_sleep_at_once_are_not_our_fault_while_a_third_answers(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await settle(tale)
        for name in "bc":
            tale.fleet.net.sky.set("a", name, "*", HOLE)
        await asyncio.sleep(60.0)
        shared = tale.fleet.node("a").links.shared
        assert shared.ourselves is None and not shared.down
        assert healths(tale, "a", "nats")["d"] is healths(tale, "a", "nats")["e"] is Health.HEALTHY

    told(tmp_path, story, "abcdef")


def test_a_road_that_does_not_ping_is_not_taken_down_for_what_others_met(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await settle(tale)
        links = tale.fleet.node("a").links
        for name in "bcd":
            await tale.fleet.send("a", name, channel="ssh")
        await asyncio.sleep(10.0)
        tale.fleet.net.sky.set("a", "b", "ssh", CUT)
        tale.fleet.net.sky.set("a", "c", "ssh", CUT)
        for name in "bc":
            await tale.fleet.send("a", name, channel="ssh")
        await asyncio.sleep(1.0)
        assert links.get("b", "ssh").health is links.get("c", "ssh").health is Health.BROKEN
        assert links.get("b", "ssh").reason == "layer ssh key: 2 peers at once"
        assert links.get("d", "ssh").health is Health.HEALTHY

    told(tmp_path, story, "abcd", roads=("nats", "http", "ssh"))


@pytest.mark.parametrize("road", ["nats", "http"])
def test_a_link_that_hears_but_is_not_heard_is_tried_less_and_less(tmp_path: Path, road: str) -> None:
    async def story(tale: Tale) -> None:
        await settle(tale)
        tale.fleet.net.sky.set("a", "b", road, HOLE)  # b's pings come in, what a asks is lost
        await asyncio.sleep(60.0)
        before = len([line for line in tale.logged if line[:2] == ("a", "link")])
        await asyncio.sleep(300.0)
        changes = len([line for line in tale.logged if line[:2] == ("a", "link")]) - before
        assert changes <= 2 * 300 / 8 + 2  # opened by the clock alone, every eight seconds
        assert tale.fleet.node("a").links.get("b", road).breaks > 4
        tale.fleet.net.sky.clear()
        assert await tale.fleet.until(lambda: well(tale, "nats", "http"), 15.0) < 10.0

    told(tmp_path, story, "ab")


def test_a_road_without_an_address_is_in_no_plan_and_leaves_no_attempts(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        node = tale.fleet.node("a")
        tale.fleet.net.homeless = {("b", "ssh"), ("b", "git")}
        tale.fleet.net.sky.set("a", "b", "nats", CUT)
        tale.fleet.net.sky.set("a", "b", "http", CUT)
        first = await tale.fleet.send("a", "b")
        await asyncio.sleep(3.0)
        attempts = node.reader.ledger.attempts_of(tale.fleet.row("a", first))
        assert {attempt.channel for attempt in attempts} == {"nats", "http"}
        shown = node.sight.peer(node.sight.known("b"))["channels"]
        assert shown["git"] == shown["ssh"] == {"state": "none", "rtt_ms": None, "reason": "no address"}
        assert {step["channel"] for step in node.sight.explain("b")["plan"]} <= {"nats", "http"}
        tale.fleet.net.homeless.clear()  # the address comes with the operator's words, or a manifest
        await node.control.peer_set("b", {"git.remote": "/srv/mail.git"}, add=False)
        assert node.sight.peer(node.sight.known("b"))["channels"]["git"]["state"] == "untried"
        await tale.fleet.until(lambda: tale.fleet.state("a", first) in ("custody", "received"), 120.0)

    told(tmp_path, story, "ab", roads=("nats", "http", "ssh", "git"))

