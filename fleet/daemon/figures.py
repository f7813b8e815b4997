"""What happened since this process started, counted for /metrics: attempts, their times, verdicts; it decides nothing."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from fleet.core.outcome import Attempt, Result

BOUNDS = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0)  # seconds; a broker on this machine answers below the first
VERDICTS = {  # kinds of audit entries: direction, verdict
    "refused_in": ("in", "refuse"), "held_in": ("in", "hold"), "refused_out": ("out", "refuse"), "held_out": ("out", "hold"),
    "refused_by_peer": ("out", "refused by peer"),
}  # fmt: skip
GATES = frozenset({"membership", "breaker", "trust", "budget", "size", "content"})  # a peer's word names no label


@dataclass(slots=True)
class Histogram:
    """How long something took: how often up to each of BOUNDS, how often longer, and in all."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class Figures:
    """The counts of one process."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.attempts: Counter[tuple[str, str]] = Counter()  # channel, result
        self.times: dict[str, Histogram] = {}  # channel → attempts that its answer proved
        self.verdicts: Counter[tuple[str, str, str]] = Counter()  # direction, gate, verdict

    def attempted(self, attempt: Attempt) -> None:
        """Count a try and, where the peer answered it, how long that took."""
        self.attempts[attempt.channel, attempt.result.value] += 1
        if attempt.result is Result.DELIVERED:
            self.times.setdefault(attempt.channel, Histogram()).add(attempt.ms / 1000.0)

    def tallied(self, kind: str, details: Mapping[str, object], n: int) -> None:
        """Count what gates decided, from what the audit chain is told; clear verdicts leave nothing there."""
        if kind == "content":
            self.verdicts[str(details.get("direction", "")), "content", str(details.get("action", ""))] += n
        elif kind in VERDICTS:
            direction, verdict = VERDICTS[kind]
            gate = str(details.get("gate", ""))
            self.verdicts[direction, gate if gate in GATES else "other", verdict] += n
