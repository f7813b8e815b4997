"""Which roads, in which order, with which deadlines and hedge delays; pure, so that `fleet explain` can print it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fleet.core import policy
from fleet.core.channel import Traits
from fleet.core.envelope import Kind
from fleet.core.health import Health, Link


@dataclass(frozen=True, slots=True)
class Road:
    """One channel as the planner sees it for one peer."""

    name: str
    traits: Traits
    link: Link
    layer: str = ""
    timeout: float = 0.0  # the setting of channel or peer, seconds; 0 = the house's
    stretch: float = 1.0  # our own deadlines are so much longer: this node suspects itself


@dataclass(frozen=True, slots=True)
class Step:
    """One road of a plan: how long it may take and when the next one starts beside it (seconds)."""

    channel: str
    deadline: float
    hedge: float
    replies: bool = True
    carries: bool = True


@dataclass(frozen=True, slots=True)
class Wish:
    """What the message asks of the plan."""

    kind: Kind
    pinned: str = ""  # that road and no other
    held_by: frozenset[str] = frozenset()  # roads in whose custody it is
    size: int = 0


def plan(roads: Sequence[Road], wish: Wish, *, nudge: bool = True) -> tuple[Step, ...]:
    """Order the roads for one walk.

    HEALTHY and DEGRADED in their place; a HEALING road that cannot ping after them, one that can as a last resort; BROKEN
    none, but one that keeps a mailbox is then a last resort that only takes; spare roads last. After a failure a road on
    another layer goes before one that shares the failed one's fate.
    """
    allowed = [road for road in _allowed(roads, wish) if nudge or road.traits.carries]
    if wish.pinned:
        return tuple(_step(road, 0.0) for road in allowed)
    failed = _failed(roads)
    ranked = sorted(range(len(allowed)), key=lambda i: (_rank(allowed[i], failed), i))
    return tuple(_step(allowed[i], hedge_delay(allowed[i])) for i in ranked)


def longest(steps: Sequence[Step]) -> float:
    """Say how many seconds a walk down these steps can take: from the top again after each nudge."""
    walks = 1 + sum(not step.carries for step in steps)
    return sum(step.deadline * (walks if step.carries else 1) for step in steps)


def is_open(traits: Traits, link: Link) -> bool:
    """Say whether mail may go to a road: to a BROKEN one only if it keeps a mailbox, for there the peer may be away."""
    return link.health is not Health.BROKEN or (traits.keeps and not link.security)


def _allowed(roads: Sequence[Road], wish: Wish) -> list[Road]:
    usable = [road for road in roads if road.name not in wish.held_by and is_open(road.traits, road.link)]
    if wish.pinned:
        return [road for road in usable if road.name == wish.pinned]
    if not wish.kind.roads:
        return usable
    own = [road for road in usable if road.name in wish.kind.roads]
    return own + [road for road in usable if road not in own] if wish.kind.then_all else own


def _failed(roads: Sequence[Road]) -> dict[str, float]:
    """Say when each layer last failed, of those with a link that is not healthy."""
    failed: dict[str, float] = {}
    for road in roads:
        if road.layer and road.link.health is not Health.HEALTHY:
            failed[road.layer] = max(road.link.failed_at, failed.get(road.layer, road.link.failed_at))
    return failed


def _rank(road: Road, failed: Mapping[str, float]) -> int:
    """Rank a road; equal ranks keep the configured order. What proved itself since its layer failed keeps its place."""
    if road.traits.spare:
        return 4
    if road.link.health is Health.BROKEN:
        return 3
    if road.link.health is Health.HEALING:
        return 3 if road.traits.pings else 2
    doubtful = road.layer in failed and (road.link.untried or road.link.proven_at < failed[road.layer])
    return 1 if doubtful and road.link.health is Health.HEALTHY else 0


def _step(road: Road, hedge: float) -> Step:
    limit = road.timeout or policy.DEADLINES.get(road.name, policy.DEADLINE)
    if road.link.health is not Health.HEALTHY and road.traits.pings:
        limit = min(limit, policy.DEADLINE_DEGRADED * road.stretch)
    replies = road.traits.replies and road.link.health is not Health.BROKEN
    return Step(road.name, limit, hedge, replies, road.traits.carries)


def hedge_delay(road: Road) -> float:
    """Say after how many seconds without an outcome the next road starts; 0 = only when this one has ended."""
    if not road.traits.hedges:
        return 0.0
    slow = policy.HEDGE_SLOW.get(road.name)
    if slow is not None:
        return slow
    p95 = road.link.p95
    if p95 is None:
        return policy.HEDGE_MIN
    return min(policy.HEDGE_MAX, max(policy.HEDGE_MIN, policy.HEDGE_ROUND_TRIPS * p95))


def backoff(tries: int, dice: float) -> float:
    """Seconds until a message that no road took is tried again: 1 s · 2^tries, at most a minute, jittered."""
    low, high = policy.BACKOFF_JITTER
    return min(policy.BACKOFF_CAP, policy.BACKOFF_BASE * 2.0 ** min(tries, 16)) * (low + dice * (high - low))


def patience(channel: str, settings: Mapping[str, float]) -> float:
    """Seconds a road may hold a parcel before other roads are tried as well."""
    return settings.get(channel) or policy.PATIENCE.get(channel, policy.PATIENCE_DEFAULT)
