"""The trust ladder (mission R2, R3): what a peer's conduct is worth and which rung follows; never its own word.

Everything is counted in fractions, so that a score exactly at a threshold is exactly there. An operator's word begins the
count anew; two threats within an hour lead to level 0, from which no rule leads up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from fractions import Fraction
from types import MappingProxyType

from fleet.core import policy


class Level(IntEnum):
    """The five rungs and what each allows; the table of kinds says what a message needs."""

    UNTRUSTED = 0  # discovery
    VERIFIED = 1  # status, ping
    ATTESTED = 2  # send, receive, redacted query
    TRUSTED = 3  # share context, collaborative task
    PRIVILEGED = 4  # full memory, remote spawn


@dataclass(frozen=True, slots=True)
class Experience:
    """What this node counted of a peer since an operator last set its level."""

    sent: int = 0  # messages and pings of ours that it answered
    received: int = 0  # messages, pings and heartbeats of its that were new
    bad: int = 0  # what only its key can have signed and no honest node signs
    threats: int = 0  # how often that was so
    threat_at: int = 0  # timeline ms of the latest; 0 = never
    on: int = 0  # ms in which it was heard …
    watched: int = 0  # … of the ms in which this node listened

    @property
    def interactions(self) -> int:
        """The n of the rules."""
        return self.sent + self.received


@dataclass(frozen=True, slots=True)
class Rise:
    """What leads up to the next rung."""

    score: Fraction
    interactions: int
    proposed: bool = False  # a person approves it, no rule does


@dataclass(frozen=True, slots=True)
class Move:
    """What the rules want: another level, or only the proposal of one."""

    level: int
    reason: str
    proposed: bool = False


UP: MappingProxyType[Level, Rise] = MappingProxyType(
    {
        Level.VERIFIED: Rise(Fraction(70, 100), 50),
        Level.ATTESTED: Rise(Fraction(85, 100), 500),
        Level.TRUSTED: Rise(Fraction(95, 100), 5000, proposed=True),
    }
)
DOWN: MappingProxyType[Level, Fraction] = MappingProxyType(
    {Level.ATTESTED: Fraction(50, 100), Level.TRUSTED: Fraction(65, 100), Level.PRIVILEGED: Fraction(80, 100)}
)


def score(seen: Experience) -> Fraction:
    """Weigh an experience: 0.4 success + 0.2 uptime + 0.2 (1 - threat) + 0.2 integrity."""
    n = seen.interactions
    clean = Fraction(max(0, n - seen.bad), n) if n else Fraction(0)
    integrity = clean if n else Fraction(1)
    threat = min(Fraction(1), Fraction(10 * seen.threats, n)) if n else Fraction(min(1, seen.threats))
    uptime = Fraction(min(seen.on, seen.watched), seen.watched) if seen.watched else Fraction(0)
    return (2 * clean + uptime + (1 - threat) + integrity) / 5


def move(level: int, seen: Experience, ceiling: int) -> Move | None:
    """Say where the rules lead from `level`: one rung at most, never above `ceiling`; None = it stays."""
    n = seen.interactions
    if n < policy.TRUST_SAMPLES:
        return None
    worth, rung = score(seen), Level(level)
    if rung in DOWN and worth < DOWN[rung]:
        return Move(level - 1, f"score {float(worth):.3f} is below {float(DOWN[rung]):.2f}")
    rise = UP.get(rung)
    if rise is None or level >= bounded(Level.PRIVILEGED, ceiling) or n < rise.interactions or worth < rise.score:
        return None
    return Move(level + 1, f"score {float(worth):.3f} after {n} interactions", rise.proposed)


def threatened(seen: Experience, at: int, bad: int = 1) -> tuple[Experience, bool]:
    """Count a threat at `at` (timeline ms); says whether it is the second within an hour."""
    second = seen.threats > 0 and at - seen.threat_at <= policy.THREAT_WINDOW
    return replace(seen, bad=seen.bad + bad, threats=seen.threats + 1, threat_at=at), second


def bounded(level: int, ceiling: int) -> int:
    """Keep a level below the certificate's ceiling and the house's."""
    return min(level, ceiling, policy.TRUST_CEILING)


def forwarded(*levels: int) -> int:
    """Give the level of what one peer hands on for another: the lowest of theirs."""
    return min(levels)
