"""Walking a parcel down its plan: order, hedging, custody, nudges, and what becomes of those that come second."""

import asyncio
from typing import Any

import pytest

from fleet.core.health import Evidence, Health
from fleet.core.outcome import Attempt, Outcome, Result
from fleet.core.parcel import Parcel, ParcelType
from fleet.core.plan import Step
from fleet.core.receipt import Fate
from fleet.engine.attempt import Attempts, Cargo
from fleet.engine.cascade import Cascade, Journey
from fleet.engine.links import Links
from fleet.errors import Barred, Unreachable
from tests.engine.parts import Answer, Log, Script, names, opener, parcel_of, receipt_for, roster, world
from tests.support import virtual

NO = Unreachable("closed")
TAKEN = Outcome.taken("git")


def yes(peer: Any, parcel: Parcel) -> Outcome:
    return Outcome.replied(receipt_for(roster("b", "a"), parcel))


def refusal(peer: Any, parcel: Parcel) -> Outcome:
    return Outcome.replied(receipt_for(roster("b", "a"), parcel, Fate.REFUSED))


class Walk:
    """One walk over scripted roads and all that came of it."""

    def __init__(self, *roads: Script, hedge: float = 0.25, kind: ParcelType = ParcelType.MAIL, urgent: bool = False,
                 broken: str = "", lasting: float = 100.0, cancel_after: float = 0.0,
                 evidence: tuple[float, Evidence] | None = None) -> None:  # fmt: skip
        self.roads = names(roads)
        self.late: list[Attempt] = []
        self._options = (hedge, kind, urgent, broken, cancel_after)
        self._evidence = evidence
        self.journey = Journey()
        self.ended = -1.0
        virtual.run(self._story(lasting))

    async def _story(self, lasting: float) -> None:
        hedge, kind, urgent, broken, cancel_after = self._options
        here, a = world(), roster("a", "b")
        self.links = Links(here, {name: road.traits for name, road in self.roads.items()}, {})
        cascade = Cascade(self.roads, Attempts(opener(a), lambda peer, data, via: data, here, Log()), self.links)
        peer = a.get("b")
        assert peer is not None
        if broken:
            self.links.credit("b", broken, Evidence.FATAL)
        steps = [
            Step(name, 3.0, hedge if road.traits.hedges else 0.0, road.traits.replies, road.traits.carries)
            for name, road in self.roads.items()
        ]
        cargo = Cargo(parcel_of(a, "b", kind=kind, urgent=urgent), kind)
        walk = asyncio.ensure_future(cascade.walk(peer, cargo, steps, self.late.append))
        if self._evidence is not None:
            when, what = self._evidence
            asyncio.get_running_loop().call_later(when, self.links.credit, "b", "nats", what)
        if cancel_after:
            await asyncio.sleep(cancel_after)
            walk.cancel()
            await asyncio.gather(walk, return_exceptions=True)
        else:
            self.journey = await walk
        self.ended = asyncio.get_running_loop().time()
        await asyncio.sleep(lasting)
        await cascade.close()

    @property
    def calls(self) -> list[tuple[str, float]]:
        """Which road was called when."""
        return sorted(((name, at) for name, road in self.roads.items() for at, _, _ in road.calls), key=lambda call: call[1])

    @property
    def results(self) -> list[tuple[str, Result]]:
        """What the walk's attempts came to."""
        return [(attempt.channel, attempt.result) for attempt in self.journey.attempts]


def road(name: str, *answers: tuple[float, Answer], **traits: Any) -> Script:
    return Script(name, *answers, **traits)


def test_the_first_proven_answer_ends_the_walk() -> None:
    walk = Walk(road("nats", (0.01, yes)), road("http", (0.01, yes)))
    assert walk.calls == [("nats", 0.0)]
    assert walk.journey.proven is not None and walk.journey.proven.channel == "nats"


def test_a_road_that_refuses_makes_room_for_the_next_at_once() -> None:
    walk = Walk(road("nats", (0.0, NO)), road("http", (0.1, NO)), road("ssh", (0.1, yes)))
    assert walk.calls == [("nats", 0.0), ("http", 0.0), ("ssh", 0.1)]
    assert walk.results == [("nats", Result.DEFERRED), ("http", Result.DEFERRED), ("ssh", Result.DELIVERED)]


def test_every_step_is_given_its_deadline() -> None:
    walk = Walk(road("nats", (0.0, NO)), road("http", (0.0, yes)))
    assert [timeout for script in walk.roads.values() for _, _, timeout in script.calls] == [3.0, 3.0]


def test_the_next_road_starts_beside_one_that_hangs() -> None:
    walk = Walk(road("nats", (2.0, yes)), road("http", (0.1, yes)))
    assert walk.calls == [("nats", 0.0), ("http", 0.25)]
    assert walk.journey.proven is not None and walk.journey.proven.channel == "http"
    assert walk.ended == 0.35


def test_who_comes_second_counts_as_evidence_only() -> None:
    walk = Walk(road("nats", (2.0, yes)), road("http", (0.1, yes)))
    assert walk.results == [("http", Result.DELIVERED)]
    assert [(attempt.channel, attempt.result) for attempt in walk.late] == [("nats", Result.DELIVERED)]
    assert walk.links.get("b", "nats").proven_at == 2.0


def test_a_failure_that_comes_late_counts_against_its_link() -> None:
    walk = Walk(road("nats", (2.0, NO)), road("http", (0.1, yes)))
    assert walk.links.get("b", "nats").health is Health.DEGRADED
    assert walk.late[0].reason == "closed"


def test_nothing_starts_beside_a_road_that_does_not_hedge() -> None:
    walk = Walk(road("text", (2.0, NO), hedges=False), road("http", (0.1, yes)))
    assert walk.calls == [("text", 0.0), ("http", 2.0)]


def test_a_road_that_does_not_hedge_starts_beside_nobody() -> None:
    walk = Walk(road("nats", (2.0, NO)), road("wol", (0.0, NO), hedges=False))
    assert walk.calls == [("nats", 0.0), ("wol", 2.0)]


def test_a_walk_ends_when_every_road_has_failed() -> None:
    walk = Walk(road("nats", (1.0, NO)), road("http", (1.0, NO)))
    assert walk.journey.proven is None
    assert walk.ended == 1.25


def test_a_walk_without_steps_ends_at_once() -> None:
    assert Walk().journey == Journey()


def test_a_signed_no_ends_the_walk_as_well_as_a_yes() -> None:
    walk = Walk(road("nats", (0.0, refusal)), road("http", (0.0, yes)))
    assert walk.results == [("nats", Result.REJECTED)]
    assert walk.journey.proven is not None
    assert walk.links.get("b", "nats").proven_at == 0.0


def test_what_a_road_cannot_take_is_not_held_against_it() -> None:
    walk = Walk(road("nats", (0.0, Barred("no address"))), road("http", (0.0, yes)))
    assert walk.links.get("b", "nats").untried
    assert walk.results[0] == ("nats", Result.BARRED)


def test_a_link_that_broke_on_the_way_is_passed_over() -> None:
    walk = Walk(road("nats", (0.0, NO)), road("http", (0.0, yes)), road("ssh", (0.0, yes)), broken="http")
    assert [name for name, _ in walk.calls] == ["nats", "ssh"]


def test_after_custody_only_roads_that_reply_are_tried() -> None:
    walk = Walk(
        road("git", (0.0, TAKEN), replies=False), road("seed", (0.0, TAKEN), replies=False),
        wakes(), road("ssh", (0.0, NO)),
    )  # fmt: skip
    assert [name for name, _ in walk.calls] == ["git", "ssh"]
    assert [attempt.channel for attempt in walk.journey.taken] == ["git"]


def test_custody_earns_the_link_nothing() -> None:
    assert Walk(road("git", (0.0, TAKEN), replies=False)).links.get("b", "git").untried


@pytest.mark.parametrize("kind", [ParcelType.RECEIPT, ParcelType.MANIFEST, ParcelType.HEARTBEAT])
def test_a_receipt_or_a_letter_needs_no_more_than_custody(kind: ParcelType) -> None:
    walk = Walk(road("nats", (0.0, TAKEN)), road("http", (0.0, TAKEN)), kind=kind)
    assert [name for name, _ in walk.calls] == ["nats"]


def wakes(name: str = "wol") -> Script:
    return road(name, (0.0, Outcome.nudged()), carries=False, hedges=False)


def test_a_nudged_peer_that_is_never_heard_is_tried_once_more_when_the_step_s_time_is_over() -> None:
    walk = Walk(road("nats", (0.0, NO)), wakes(), road("http", (0.0, NO)))
    assert walk.calls == [("nats", 0.0), ("wol", 0.0), ("nats", 3.0), ("http", 3.0)]


def test_a_nudge_helps_when_the_peer_wakes_up() -> None:
    walk = Walk(road("nats", (0.0, NO), (0.0, yes)), wakes())
    assert walk.results == [("nats", Result.DEFERRED), ("wol", Result.NUDGED), ("nats", Result.DELIVERED)]


def test_the_walk_starts_again_in_the_moment_in_which_the_peer_answers_a_ping() -> None:
    walk = Walk(road("nats", (0.0, NO), (0.0, yes)), wakes(), evidence=(1.0, Evidence.GOOD))
    assert walk.calls == [("nats", 0.0), ("wol", 0.0), ("nats", 1.0)]


@pytest.mark.parametrize("evidence", [Evidence.BAD, Evidence.INBOUND])
def test_what_does_not_prove_that_the_peer_hears_us_lets_the_walk_wait_on(evidence: Evidence) -> None:
    walk = Walk(road("nats", (0.0, NO), (0.0, yes)), wakes(), evidence=(1.0, evidence))
    assert walk.calls[-1] == ("nats", 3.0)


def test_every_road_that_wakes_gets_its_turn_once() -> None:
    walk = Walk(road("nats", (0.0, NO)), wakes(), wakes("text"))
    assert walk.calls == [("nats", 0.0), ("wol", 0.0), ("nats", 3.0), ("text", 3.0), ("nats", 6.0)]


def test_what_a_road_holds_is_woken_for_when_it_is_urgent() -> None:
    def roads() -> tuple[Script, ...]:
        return road("git", (0.0, TAKEN), replies=False), wakes(), road("ssh", (0.0, NO))

    assert [name for name, _ in Walk(*roads()).calls] == ["git", "ssh"]
    assert Walk(*roads(), urgent=True).calls == [("git", 0.0), ("wol", 0.0), ("ssh", 3.0)]


def test_a_cancelled_walk_leaves_nothing_running() -> None:
    walk = Walk(road("nats", (2.0, yes)), road("http", (2.0, yes)), cancel_after=1.0)
    assert [script.cancelled for script in walk.roads.values()] == [1, 1]
    assert walk.late == []


def test_closing_ends_those_that_came_second() -> None:
    walk = Walk(road("nats", (2.0, yes)), road("http", (0.1, yes)), lasting=0.1)
    assert walk.roads["nats"].cancelled == 1
    assert walk.late == []


def test_the_longest_wish_to_be_left_alone_counts() -> None:
    busy = [(0.0, Unreachable("busy", retry_after=after)) for after in (2.0, 9.0)]
    walk = Walk(road("nats", busy[0]), road("http", busy[1]))
    assert walk.journey.retry_after == 9.0
    assert Journey().retry_after == 0.0
