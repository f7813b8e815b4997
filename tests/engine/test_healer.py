"""Pings: when a link is asked, when it is left alone, and that everybody gets a turn."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fleet.core import policy
from fleet.core.health import Evidence, Health
from fleet.core.outcome import Outcome
from fleet.core.parcel import Parcel, ParcelType
from fleet.core.peer import Peer
from fleet.core.receipt import Ping
from fleet.engine.attempt import Attempts
from fleet.engine.cascade import Cascade
from fleet.engine.gossip import Gossip
from fleet.engine.healer import Healer
from fleet.engine.identity import system_item
from fleet.engine.introductions import Introductions
from fleet.engine.links import Links
from fleet.engine.roster import Roster
from fleet.errors import Barred, Unreachable
from tests.engine.parts import Log, Script, names, opener, parcel_of, roster, world
from tests.support import virtual

UP = 100.0


def pong() -> Callable[[Peer, Parcel], Outcome]:
    """Answer pings as the peer that is asked does."""

    def answer(peer: Peer, parcel: Parcel) -> Outcome:
        theirs = roster(peer.id, "a")
        opened = opener(theirs).open(parcel.data, framed=False)
        ping = opener(theirs).items(opened)[0]
        return Outcome.replied(parcel_of(theirs, "a", (ping,), ParcelType.PONG, re=parcel.pid).data)

    return answer


class Pinging:
    """A healer at work over scripted roads."""

    def __init__(self, *roads: Script, peers: tuple[str, ...] = ("b",)) -> None:
        self.roads = names(roads)
        self.here = world()
        self.roster: Roster = roster("a", *peers)
        self.links = Links(self.here, {name: road.traits for name, road in self.roads.items()}, {})
        attempts = Attempts(opener(self.roster), lambda peer, data, via: data, self.here, Log())
        cascade = Cascade(self.roads, attempts, self.links)
        self.introductions = Introductions(self.roster)
        self.healer = Healer(
            self.roads, attempts, cascade, self.links, self.roster, Gossip(self.roster, self.here), self.introductions,
            self.here,
        )  # fmt: skip

    async def work(self, seconds: float) -> None:
        """Let it work for a while; the machine has been up for some time."""
        await asyncio.sleep(UP)
        task = asyncio.ensure_future(self.healer.run())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def times(self, name: str) -> list[float]:
        """When a road was asked."""
        return [round(at - UP, 3) for at, _, _ in self.roads[name].calls]


def pinging(*roads: Script, lasting: float = 10.0, **options: Any) -> Pinging:
    """Let a healer work over roads; gives it with what it did."""

    async def story() -> Pinging:
        made = Pinging(*roads, **options)
        await made.work(lasting)
        return made

    return virtual.run(story())


def test_a_silent_link_is_asked_every_two_seconds_and_proves_itself() -> None:
    made = pinging(Script("nats", (0.01, pong())))
    assert made.times("nats") == [0.0, 2.25, 4.5, 6.75, 9.0]
    assert made.links.get("b", "nats").health is Health.HEALTHY


def test_a_link_that_does_not_answer_breaks_within_seven_seconds_without_any_mail() -> None:
    made = pinging(Script("nats", (100.0, Unreachable())), lasting=7.0)
    given = [timeout for _, _, timeout in made.roads["nats"].calls]
    assert given[:2] == [policy.PING_DEADLINE, policy.PING_DEADLINE_DEGRADED]
    assert made.links.get("b", "nats").health in (Health.BROKEN, Health.HEALING)


def test_a_healing_link_is_asked_again_at_once_until_it_is_proven() -> None:
    async def story() -> None:
        made = Pinging(Script("nats", (0.01, pong())))
        made.links.credit("b", "nats", Evidence.FATAL)
        made.links.credit("b", "nats", Evidence.INBOUND)
        await made.work(1.0)
        assert made.times("nats") == [0.0, 0.25]
        assert made.links.get("b", "nats").health is Health.HEALTHY

    virtual.run(story())


def test_only_the_two_best_roads_are_kept_warm_and_none_that_is_broken() -> None:
    async def story() -> None:
        made = Pinging(*(Script(name, (0.01, pong())) for name in ("nats", "http", "relay", "other")))
        made.links.credit("b", "nats", Evidence.FATAL, security=True)
        await made.work(0.5)
        assert [len(made.times(name)) for name in made.roads] == [0, 1, 1, 0]

    virtual.run(story())


def test_a_road_that_does_not_ping_is_left_alone() -> None:
    assert pinging(Script("git", (0.0, Unreachable()), pings=False, replies=False)).times("git") == []


def test_a_road_without_the_peers_address_is_not_asked_again_for_a_while() -> None:
    made = pinging(Script("http", (0.0, Barred("no address"))), lasting=policy.BARRED_PAUSE + 1)
    assert made.times("http") == [0.0, policy.BARRED_PAUSE]


def test_a_peer_that_is_disabled_or_not_yet_sealed_to_is_not_asked() -> None:
    async def story() -> None:
        made = Pinging(Script("nats", (0.0, pong())))
        made.roster.set_words("b", {"enabled": False})
        made.roster.set_words("only-an-address", {"http": {"url": "http://x"}})
        await made.work(5.0)
        assert made.times("nats") == []
        stranger = made.roster.get("only-an-address")
        assert stranger is not None
        assert await made.healer.ping(stranger, "nats", 1.0) is None

    virtual.run(story())


def test_everybody_gets_a_turn_in_a_large_fleet() -> None:
    others = tuple(f"n{number:02d}" for number in range(60))
    made = pinging(Script("nats", (0.01, pong())), peers=others, lasting=4.0)
    asked = [parcel.to for _, parcel, _ in made.roads["nats"].calls]
    assert set(asked) == set(others)
    assert len(asked) <= 4 * policy.PINGS_PER_SECOND + 5


def test_an_answer_proves_that_the_peer_knows_us() -> None:
    made = pinging(Script("nats", (0.01, pong())), lasting=3.0)
    first, second = (parcel for _, parcel, _ in made.roads["nats"].calls[:2])
    assert len(first) > len(second) + 300  # the certificate and the manifest
    assert not made.introductions.due("b")


def test_a_false_pong_is_no_answer() -> None:
    def other_nonce(peer: Peer, parcel: Parcel) -> Outcome:
        item = system_item(Ping(nonce="f" * 32))
        return Outcome.replied(parcel_of(roster("b", "a"), "a", (item,), ParcelType.PONG, re=parcel.pid).data)

    made = pinging(Script("nats", (0.01, other_nonce)), lasting=0.2)
    assert made.links.get("b", "nats").health is Health.DEGRADED


def test_what_is_under_way_ends_with_the_healer() -> None:
    made = pinging(Script("nats", (100.0, pong())), lasting=1.0)
    assert made.roads["nats"].cancelled == 1


def test_the_ping_of_an_operator_says_what_came_of_it() -> None:
    async def story() -> None:
        made = Pinging(Script("nats", (0.02, pong())))
        peer = made.roster.get("b")
        assert peer is not None
        attempt = await made.healer.ping(replace(peer), "nats", 3.0)
        assert attempt is not None
        assert (attempt.result, round(attempt.ms)) == ("delivered", 20)

    virtual.run(story())
