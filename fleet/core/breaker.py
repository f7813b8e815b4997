"""The breaker of one peer (mission R5): ACTIVE, SUSPENDED, EVICTED as a table; never closes by itself.

Failures are signed refusals, bad results and overspending. That a peer cannot be reached is the links' business alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from fleet.core.budget import dollars, span

SLOTS = 60  # a window is counted in so many parts


class State(StrEnum):
    """What may pass between a peer and this node."""

    ACTIVE = "active"
    SUSPENDED = "suspended"  # no mail; receipts, pings and sessions go on
    EVICTED = "evicted"  # nothing, not even pings; its sessions ended


class Signal(StrEnum):
    """What moves it; the columns of the table."""

    FAILING = "failing"  # enough samples, and too many of them bad
    OVERSPENT = "overspent"
    LINGERED = "lingered"  # suspended for too long
    EVICT = "evict"  # an operator
    REACTIVATE = "reactivate"  # an operator


_A, _S, _E = State.ACTIVE, State.SUSPENDED, State.EVICTED
TABLE: MappingProxyType[State, MappingProxyType[Signal, State]] = MappingProxyType(
    {
        _A: MappingProxyType(
            {Signal.FAILING: _S, Signal.OVERSPENT: _S, Signal.LINGERED: _A, Signal.EVICT: _E, Signal.REACTIVATE: _A}
        ),
        _S: MappingProxyType(
            {Signal.FAILING: _E, Signal.OVERSPENT: _S, Signal.LINGERED: _E, Signal.EVICT: _E, Signal.REACTIVATE: _A}
        ),
        _E: MappingProxyType(
            {Signal.FAILING: _E, Signal.OVERSPENT: _E, Signal.LINGERED: _E, Signal.EVICT: _E, Signal.REACTIVATE: _A}
        ),
    }
)
CODES: MappingProxyType[State, str] = MappingProxyType(
    {State.SUSPENDED: "PEER_SUSPENDED", State.EVICTED: "PEER_EVICTED"}
)  # the first word of a refusal


@dataclass(frozen=True, slots=True)
class Rules:
    """The figures of R5, from [breaker]; times in ms."""

    micro_usd: int = 5_000_000
    usd_window: int = 86_400_000
    ratio: float = 0.5
    ratio_window: int = 3_600_000
    samples: int = 50
    eligible_after: int = 1_800_000
    evict_after: int = 86_400_000

    @property
    def slot(self) -> int:
        """How long one part of the window of samples is, ms."""
        return max(1, self.ratio_window // SLOTS)


@dataclass(frozen=True, slots=True)
class Breaker:
    """One peer's breaker. `since` on the timeline, `at` on the wall clock (ms); samples: (slot, good, bad), oldest first."""

    state: State = State.ACTIVE
    since: int = 0
    at: int = 0
    reason: str = ""
    samples: tuple[tuple[int, int, int], ...] = ()


CLOSED = Breaker()


def sample(breaker: Breaker, rules: Rules, time: int, good: int, bad: int) -> Breaker:
    """Count dealings that went well and badly; what left the window is forgotten."""
    slot, kept = time // rules.slot, breaker.samples
    if kept and kept[-1][0] >= slot:
        last = kept[-1]
        kept = (*kept[:-1], (last[0], last[1] + good, last[2] + bad))
    else:
        kept = (*(one for one in kept if one[0] >= slot - SLOTS), (slot, good, bad))
    return Breaker(breaker.state, breaker.since, breaker.at, breaker.reason, kept)


def counts(breaker: Breaker, rules: Rules, time: int) -> tuple[int, int]:
    """Give the samples within the window: (good, bad)."""
    first = time // rules.slot - SLOTS
    within = [one for one in breaker.samples if one[0] >= first]
    return sum(one[1] for one in within), sum(one[2] for one in within)


def weigh(breaker: Breaker, rules: Rules, time: int, micro_usd: int) -> tuple[Signal, str] | None:
    """Say which signal the figures give, and in words; `micro_usd` was spent within the rules' window."""
    if breaker.state is State.EVICTED:
        return None
    if breaker.state is State.SUSPENDED and time - breaker.since >= rules.evict_after:
        return Signal.LINGERED, f"suspended for {span(rules.evict_after)} ({breaker.reason})"
    if breaker.state is State.ACTIVE and micro_usd > rules.micro_usd:
        figure = f"{dollars(micro_usd)} spent in {span(rules.usd_window)}"
        return Signal.OVERSPENT, f"{figure}, the limit is {dollars(rules.micro_usd)}"
    good, bad = counts(breaker, rules, time)
    if good + bad >= rules.samples and bad > rules.ratio * (good + bad):
        figure = f"{bad} of {good + bad} dealings failed in {span(rules.ratio_window)}"
        return Signal.FAILING, f"{figure}, the limit is a share of {rules.ratio:g}"
    return None


def step(breaker: Breaker, signal: Signal, time: int, wall: int, reason: str) -> Breaker:
    """Follow the table; whoever gets into another state is counted anew. `time` on the timeline, `wall` in ms."""
    state = TABLE[breaker.state][signal]
    return breaker if state is breaker.state else Breaker(state, time, wall, reason)


def eligible_at(breaker: Breaker, rules: Rules) -> int:
    """Say from when on (timeline ms) a suspended peer may be reactivated without insisting; 0 = at once."""
    return breaker.since + rules.eligible_after if breaker.state is State.SUSPENDED else 0
