"""Which agent session a message is for, and whether it may be woken for it; pure: it shows nothing and wakes nobody.

A sender names a session, an agent, or nobody. Whoever is named gets it or it waits; without a name it goes to the session
most recently active that is not busy, or to the one that asks first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fleet.core import policy


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom a message names; empty = nobody."""

    agent: str = ""
    session: str = ""


@dataclass(frozen=True, slots=True)
class Seat:
    """One open session, as far as the choice goes. Times in ms since the epoch."""

    session: str
    agent: str
    program: str
    seen: int  # its last sign of life
    idle: bool = False  # between two turns
    headless: bool = False  # a single run without a person: it takes what names nobody only when no other is open
    wakes: bool = False  # it can be handed something now, without waiting for its next hook


def fits(wanted: Wanted, seat: Seat, seats: Iterable[Seat]) -> bool:
    """Say whether a session may be shown a message; `seats` are all that are open."""
    if wanted.session:
        return wanted.session == seat.session
    if wanted.agent:
        return wanted.agent in (seat.agent, seat.program)
    return not seat.headless or all(other.headless for other in seats)


def chosen(wanted: Wanted, seats: Sequence[Seat]) -> Seat | None:
    """Choose the session to hand a message to now: idle before busy, then the most recently active; None = it waits."""
    able = [seat for seat in seats if seat.wakes and fits(wanted, seat, seats)]
    return max(able, key=lambda seat: (seat.idle, seat.seen, seat.session), default=None)


def may_wake(wakes: Sequence[int], now: int) -> bool:
    """Say whether a session may be kept going once more, given when it was (ms): agents that answer each other end here."""
    return sum(1 for at in wakes if now - at < policy.WAKE_WINDOW) < policy.WAKES
