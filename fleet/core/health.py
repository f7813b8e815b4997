"""The health of a link (one peer over one channel) as a table; never a clock, never a die.

observe() counts and names the signal; advance() only looks up. Evidence is what happened, a signal is what it means after
counting, so the table needs no guards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from types import MappingProxyType

from fleet.core import policy
from fleet.errors import IllegalTransition


class Health(StrEnum):
    """What a link is trusted with."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    BROKEN = "broken"
    HEALING = "healing"


class Evidence(Enum):
    """What happened on a link."""

    GOOD = "good"  # a verified answer
    BAD = "bad"  # no answer, or one that proves nothing
    FATAL = "fatal"  # credentials, host key, settings: trying again cannot help
    INBOUND = "inbound"  # a fresh verified parcel came in from the peer on this road
    MENDED = "mended"  # an operator or a repair says so
    SHARED = "shared"  # what the link shares with others is at fault


class Signal(Enum):
    """What the evidence means after counting; the columns of the table."""

    OK = "ok"
    PROVEN = "proven"  # a success right after a success
    SLIP = "slip"
    TRIP = "trip"  # a failure, 3 in a row or later, or fatal
    LIFTED = "lifted"  # the hold-off is over
    CALM = "calm"  # 15 minutes without a failure
    HEARD = "heard"
    RESET = "reset"


_H, _D, _B, _M = Health.HEALTHY, Health.DEGRADED, Health.BROKEN, Health.HEALING
_S = Signal

# BROKEN never goes straight to HEALTHY: a clock, a repair or an operator opens the door, only traffic proves it.
HEALTH: MappingProxyType[Health, MappingProxyType[Signal, Health]] = MappingProxyType(
    {
        _H: MappingProxyType(
            {_S.OK: _H, _S.PROVEN: _H, _S.SLIP: _D, _S.TRIP: _B, _S.LIFTED: _H, _S.CALM: _H, _S.HEARD: _H, _S.RESET: _H}
        ),
        _D: MappingProxyType(
            {_S.OK: _D, _S.PROVEN: _H, _S.SLIP: _D, _S.TRIP: _B, _S.LIFTED: _D, _S.CALM: _H, _S.HEARD: _D, _S.RESET: _D}
        ),
        _B: MappingProxyType(
            {_S.OK: _M, _S.PROVEN: _M, _S.SLIP: _B, _S.TRIP: _B, _S.LIFTED: _M, _S.CALM: _M, _S.HEARD: _M, _S.RESET: _M}
        ),
        _M: MappingProxyType(
            {_S.OK: _M, _S.PROVEN: _H, _S.SLIP: _B, _S.TRIP: _B, _S.LIFTED: _M, _S.CALM: _M, _S.HEARD: _M, _S.RESET: _M}
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Link:
    """What is known of one road to one peer. Times in seconds of the node's steady clock; -1 = never."""

    health: Health = Health.HEALTHY
    good: int = 0  # successes in a row
    bad: int = 0  # failures in a row
    breaks: int = 0  # times broken since it was last healthy
    held_until: float = -1.0
    failed_at: float = -1.0
    proven_at: float = -1.0
    heard_at: float = -1.0
    since: float = -1.0
    security: bool = False  # a fault that does not heal by itself
    believed: bool = False  # once opened by what was heard since it was last healthy: the clock opens it from now on
    reason: str = ""
    round_trips: tuple[float, ...] = ()  # the latest, seconds, oldest first

    @property
    def untried(self) -> bool:
        """Whether nothing ever happened on it: planned as HEALTHY, shown `untried`."""
        return self.health is Health.HEALTHY and self.proven_at < 0 and self.failed_at < 0

    @property
    def lively(self) -> bool:
        """Whether it answered before and is not known to be broken: its failure is news."""
        return self.proven_at >= 0 and self.health in (Health.HEALTHY, Health.DEGRADED)

    @property
    def p95(self) -> float | None:
        """The 95th percentile of the round trips, seconds; None while there is none."""
        if not self.round_trips:
            return None
        ordered = sorted(self.round_trips)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]


UNTRIED = Link()


def observe(
    link: Link, evidence: Evidence, now: float, *, took: float = 0.0, reason: str = "", security: bool = False
) -> tuple[Link, Signal | None]:
    """Count one piece of evidence; gives the counted link and the signal for advance(), None when it means nothing."""
    if evidence is Evidence.GOOD:
        trips = (*link.round_trips, took)[-policy.ROUND_TRIPS_KEPT :] if took > 0 else link.round_trips
        counted = replace(link, good=link.good + 1, bad=0, proven_at=now, heard_at=now, round_trips=trips)
        if link.security:  # what was under way when the fault was seen proves nothing against it
            return counted, None
        return counted, Signal.PROVEN if counted.good > 1 else Signal.OK
    if evidence is Evidence.INBOUND:
        deaf = link.security or (link.believed and link.health is Health.BROKEN)  # it hears us not: that was tried
        return replace(link, heard_at=now), None if deaf else Signal.HEARD
    if evidence is Evidence.MENDED:
        return replace(link, security=False, believed=False, held_until=-1.0, bad=0), Signal.RESET
    counted = replace(link, good=0, bad=link.bad + 1, failed_at=now, reason=reason, security=link.security or security)
    fatal = evidence in (Evidence.FATAL, Evidence.SHARED)
    return counted, Signal.TRIP if fatal or counted.bad >= policy.TRIP_AFTER else Signal.SLIP


def elapsed(link: Link, now: float) -> Signal | None:
    """Say what the mere passing of time means for a link, if anything."""
    if link.security:
        return None
    if link.health is Health.BROKEN and now >= link.held_until:
        return Signal.LIFTED
    if link.health is Health.DEGRADED and now - link.failed_at >= policy.CALM_AFTER:
        return Signal.CALM
    return None


def advance(link: Link, signal: Signal, now: float, *, cap: float, dice: float) -> Link:
    """Look the next health up; entering BROKEN sets the hold-off: 1 s · 2^breaks · U, at most `cap` seconds.

    `dice` is uniform in [0, 1). Raises IllegalTransition for a cell the table does not have.
    """
    try:
        health = HEALTH[link.health][signal]
    except KeyError:
        raise IllegalTransition(f"link {link.health} has no cell for {signal}") from None
    if health is link.health:
        return link  # attempts that were under way when it broke tell nothing new
    if health is Health.BROKEN:
        low, high = policy.HOLD_JITTER
        hold = policy.HOLD_BASE * 2.0 ** min(link.breaks, 16) * (low + dice * (high - low))
        until = now + min(cap, hold)
        return replace(link, health=health, good=0, bad=0, breaks=link.breaks + 1, held_until=until, since=now)
    if health is Health.HEALTHY:
        return replace(link, health=health, breaks=0, believed=False, since=now)
    believed = link.believed or (signal is Signal.HEARD and health is Health.HEALING)
    return replace(link, health=health, believed=believed, since=now, good=0 if health is Health.HEALING else link.good)
