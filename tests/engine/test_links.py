"""The only writer of link health: evidence in, changes told, time counted when somebody looks."""

import asyncio
from collections.abc import Awaitable, Callable

from fleet.core import policy
from fleet.core.channel import Traits
from fleet.core.health import Evidence, Health, Link
from fleet.core.peer import Peer
from fleet.engine.links import Change, Links
from tests.engine.parts import world
from tests.support import virtual

ROADS = {"nats": Traits(), "git": Traits(replies=False, pings=False)}
PEER = Peer(id="b", layers={"nats": "tailnet"}, timeout=7.0)


def told(story: Callable[[Links], Awaitable[None]]) -> list[Change]:
    """Run a story with fresh links; gives the changes."""
    changes: list[Change] = []

    async def run() -> None:
        links = Links(world(), ROADS, {"git": {"timeout": 12.0}})
        links.on_change = changes.append
        await story(links)

    virtual.run(run())
    return changes


def healths(changes: list[Change]) -> list[tuple[Health, Health]]:
    return [(change.old, change.new) for change in changes]


H, D, B, M = Health.HEALTHY, Health.DEGRADED, Health.BROKEN, Health.HEALING


def test_a_link_nobody_spoke_of_is_untried_and_usable() -> None:
    async def story(links: Links) -> None:
        assert links.get("b", "nats").untried
        assert links.usable("b", "nats")
        assert list(links.snapshot("b")) == ["nats", "git"]

    assert told(story) == []


def test_three_failures_break_a_link_and_each_change_is_told_with_its_reason() -> None:
    async def story(links: Links) -> None:
        for number in range(3):
            links.credit("b", "nats", Evidence.BAD, reason=f"failure {number}")
        assert not links.usable("b", "nats")
        assert links.usable("c", "nats") and links.usable("b", "git")

    changes = told(story)
    assert healths(changes) == [(H, D), (D, B)]
    assert [change.reason for change in changes] == ["failure 0", "failure 2"]
    assert (changes[1].peer, changes[1].channel, changes[1].link.health) == ("b", "nats", B)


def test_the_hold_off_is_over_when_somebody_looks() -> None:
    async def story(links: Links) -> None:
        links.credit("b", "nats", Evidence.FATAL)
        opens = links.next_change("b")
        assert opens is not None and 0.8 <= opens <= 1.4
        await asyncio.sleep(opens)
        assert links.get("b", "nats").health is M
        assert links.next_change("b") is None

    changes = told(story)
    assert healths(changes) == [(H, B), (B, M)]
    assert changes[1].reason == "time"


def test_a_road_that_pings_is_held_eight_seconds_at_most_others_longer() -> None:
    async def story(links: Links) -> None:
        for channel, waits, cap in (
            ("nats", True, policy.HOLD_CAP_PINGS), ("git", True, policy.HOLD_CAP_MAIL), ("git", False, policy.HOLD_CAP_IDLE),
        ):  # fmt: skip
            links.mail_waits = lambda peer, waits=waits: waits
            links.restore("b", channel, Link(health=M, breaks=20))
            links.credit("b", channel, Evidence.BAD)
            assert links.get("b", channel).held_until - asyncio.get_running_loop().time() == cap

    told(story)


def test_what_is_heard_opens_a_broken_link_and_only_traffic_proves_it() -> None:
    async def story(links: Links) -> None:
        links.credit("b", "nats", Evidence.FATAL)
        links.credit("b", "nats", Evidence.INBOUND)
        links.credit("b", "nats", Evidence.INBOUND)
        links.credit("b", "nats", Evidence.GOOD, took=0.1)
        links.credit("b", "nats", Evidence.GOOD, took=0.1)

    assert healths(told(story)) == [(H, B), (B, M), (M, H)]


def test_a_security_fault_does_not_heal_by_itself() -> None:
    async def story(links: Links) -> None:
        links.credit("b", "nats", Evidence.FATAL, security=True, reason="another host key")
        await asyncio.sleep(3600.0)
        links.credit("b", "nats", Evidence.INBOUND)
        assert not links.usable("b", "nats")
        assert links.next_change("b") is None
        links.credit("b", "nats", Evidence.MENDED)
        assert links.get("b", "nats").health is M

    assert healths(told(story)) == [(H, B), (B, M)]


def test_a_link_that_is_calm_for_a_quarter_of_an_hour_is_healthy_again() -> None:
    async def story(links: Links) -> None:
        links.credit("b", "git", Evidence.BAD)
        await asyncio.sleep(policy.CALM_AFTER)
        assert links.get("b", "git").health is H

    assert healths(told(story)) == [(H, D), (D, H)]


def test_roads_come_in_their_order_with_layer_and_timeout() -> None:
    async def story(links: Links) -> None:
        links.credit("b", "git", Evidence.BAD)
        nats, git = links.roads(PEER)
        assert (nats.name, nats.layer, nats.timeout, nats.traits) == ("nats", "tailnet", 7.0, ROADS["nats"])
        assert (git.name, git.layer, git.link.health) == ("git", "git", D)
        assert links.roads(Peer(id="c"))[1].timeout == 12.0

    told(story)


def test_round_trips_are_kept_for_the_hedge() -> None:
    async def story(links: Links) -> None:
        for took in (0.1, 0.2, 0.3):
            links.credit("b", "nats", Evidence.GOOD, took=took)
        assert links.get("b", "nats").p95 == 0.3

    told(story)
