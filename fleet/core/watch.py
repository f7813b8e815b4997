"""When an operator should look: what was seen against thresholds, and what of it is news; never a clock, never a notice.

A condition is told once when it begins and once when it is over. It is over when it was not seen for a while, so that a
figure at its threshold makes no noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on something is worth a notice; 0 = never. Times in seconds, sizes in bytes."""

    queue_age: float = HOUR
    dead: int = 20  # within an hour
    flaps: int = 6  # within ten minutes
    wal: int = 64 << 20


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look found."""

    queues: Mapping[str, float] = field(default_factory=dict)  # peer → age of what waits longest, seconds
    dead: int = 0  # of the last hour
    flaps: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (peer, channel) → breaks of the last ten minutes
    wal: int = 0
    disk_short: bool = False
    clock: str = ""  # why the wall clock is in doubt


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that is wrong: its kind, what it regards, the sentence with the command to try."""

    kind: str
    subject: str
    text: str

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same condition at the next look, whatever its figures are then."""
        return self.kind, self.subject


Standing = Mapping[tuple[str, str], float]  # condition → when it was seen last


@dataclass(frozen=True, slots=True)
class Turn:
    """What is news after a look."""

    begun: tuple[Condition, ...]
    over: tuple[tuple[str, str], ...]
    standing: Standing


def find(seen: Seen, limits: Limits) -> list[Condition]:
    """Say which conditions hold."""
    found = [
        Condition("queue", peer, f"mail to {peer} waits for {_span(age)} now: fleet check {peer}, fleet outbox")
        for peer, age in seen.queues.items()
        if 0 < limits.queue_age <= age
    ]
    if 0 < limits.dead <= seen.dead:
        found.append(Condition("dead letters", "", f"{seen.dead} messages died within an hour: fleet dead"))
    found += [
        Condition("flapping", f"{peer}/{road}", f"{road} to {peer} broke {times} times in ten minutes: fleet check {peer}")
        for (peer, road), times in seen.flaps.items()
        if 0 < limits.flaps <= times
    ]
    if 0 < limits.wal <= seen.wal:
        found.append(Condition("wal", "", f"the write-ahead log has {seen.wal >> 20} MiB: fleet doctor --fix"))
    if seen.disk_short:
        found.append(Condition("disk", "", "the disk is nearly full, no new mail is accepted: make room, fleet doctor"))
    if seen.clock:
        found.append(Condition("clock", "", f"the wall clock is in doubt: {seen.clock}"))
    return found


def turn(standing: Standing, found: list[Condition], now: float, calm: float) -> Turn:
    """Compare a look with what was told before; `now` and `calm` in seconds of a clock that only runs forward."""
    begun = tuple(one for one in found if one.key not in standing)
    seen = {**standing, **{one.key: now for one in found}}
    over = tuple(key for key, at in seen.items() if now - at >= calm and at != now)
    return Turn(begun, over, MappingProxyType({key: at for key, at in seen.items() if key not in over}))


def ended(kind: str, subject: str) -> str:
    """Say that a condition is over."""
    return f"{kind} {subject}: over".replace(" :", ":")


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
