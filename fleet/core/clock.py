"""Can this node's wall clock be believed? A value, and what turns it: jumps, and what peers say; it asks no clock itself.

Design § 6: a node whose wall clock moved 5 minutes against one that runs on in sleep, or stands 5 minutes off the majority
(at least two) of the peers heard in 10 minutes, is unsure, until a majority or an operator confirms it, or 10 minutes pass
without peers or jumps. An unsure node expires nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from fleet.core import policy

UNSURE = "clock unsure"


@dataclass(frozen=True, slots=True)
class Clock:
    """What is known of our wall clock. `wall` in ms since the epoch, `through` in seconds of one that runs on in sleep."""

    wall: int
    through: float
    doubted: float = -1.0  # when the latest doubt came, in `through`; -1 = none
    reason: str = ""
    peers: Mapping[str, tuple[int, float]] = field(default_factory=lambda: MappingProxyType({}))  # id → (ms off, when)

    @property
    def unsure(self) -> bool:
        """Whether what looks expired may be alive."""
        return self.doubted >= 0.0


def look(clock: Clock, wall: int, through: float) -> Clock:
    """Compare both clocks with the last look: a jump brings doubt, agreement or ten quiet minutes end it."""
    moved = (wall - clock.wall) / 1000.0 - (through - clock.through)
    seen = replace(clock, wall=wall, through=through, peers=_fresh(clock.peers, through))
    if abs(moved) >= policy.CLOCK_OFF:
        return replace(seen, doubted=through, reason=f"it jumped by {moved:+.0f} s", peers=MappingProxyType({}))
    off = [ms for ms, _ in seen.peers.values()]
    agree = sum(abs(ms) < policy.CLOCK_OFF * 1000 for ms in off)
    if seen.unsure and 2 * agree > len(off):
        return sure(seen)
    if len(off) - agree >= 2 and 2 * agree < len(off):
        reason = f"{len(off) - agree} of {len(off)} peers stand at least {policy.CLOCK_OFF:.0f} s off"
        return replace(seen, doubted=through, reason=reason)
    if seen.unsure and not off and through - seen.doubted >= policy.CLOCK_QUIET:
        return sure(seen)
    return seen


def heard(clock: Clock, peer: str, said: int) -> Clock:
    """Note what a peer's clock says (ms since the epoch) in an answer that has only just been made."""
    known = dict(clock.peers)
    known.pop(peer, None)
    if len(known) >= policy.CLOCK_PEERS:
        known.pop(next(iter(known)))
    known[peer] = (said - clock.wall, clock.through)
    return replace(clock, peers=MappingProxyType(known))


def sure(clock: Clock) -> Clock:
    """Believe the clock again: a majority or an operator says so."""
    return replace(clock, doubted=-1.0, reason="")


def doubt(clock: Clock, reason: str) -> Clock:
    """Doubt the clock for a reason of the caller's."""
    return replace(clock, doubted=clock.through, reason=reason)


def _fresh(peers: Mapping[str, tuple[int, float]], through: float) -> Mapping[str, tuple[int, float]]:
    return MappingProxyType({id: one for id, one in peers.items() if through - one[1] <= policy.CLOCK_QUIET})
