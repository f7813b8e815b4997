"""May this message go, may it come in? judge() answers from values alone; never asks a clock, a file or a road.

Every gate's finding is kept, also the good ones, so that `fleet explain` can print them all. The breaker and budget
gates join here; today's gates are membership, level and size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from fleet.core.envelope import Kind


class Verdict(StrEnum):
    """What all gates together say."""

    CLEAR = "clear"
    HOLD = "hold"
    REFUSE = "refuse"


class Direction(StrEnum):
    """Whose gate it is."""

    OUT = "out"
    IN = "in"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one gate says; reason names the figure and what would change it."""

    gate: str
    verdict: Verdict
    reason: str = ""
    until: int = 0  # ms since the epoch, for HOLD


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged: one message of a kind and size, to or from a peer of a standing."""

    direction: Direction
    kind: Kind
    size: int  # bytes of the body as sent
    limit: int  # bytes allowed
    peer: str
    member: bool  # a valid certificate is known
    enabled: bool
    level: int  # the peer's level in our own ledger


@dataclass(frozen=True, slots=True)
class Judgement:
    """The findings of all gates, in their order."""

    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """The strictest finding."""
        return self.decisive.verdict

    @property
    def decisive(self) -> Finding:
        """The finding that decides: the first refusal, else the first hold, else the first."""
        for wanted in (Verdict.REFUSE, Verdict.HOLD):
            for finding in self.findings:
                if finding.verdict is wanted:
                    return finding
        return self.findings[0]


def _membership(case: Case) -> Finding:
    if not case.enabled:
        return Finding("membership", Verdict.REFUSE, f"{case.peer} is disabled; fleet peer set {case.peer} enabled=true")
    if not case.member and case.direction is Direction.IN:
        return Finding("membership", Verdict.REFUSE, f"{case.peer} has no valid certificate")
    return Finding("membership", Verdict.CLEAR)


def _level(case: Case) -> Finding:
    """Apply the table of kinds (mission M13): the receiver's own ledger decides, the sender only foresees it."""
    if case.direction is Direction.IN and case.level < case.kind.trust:
        return Finding(
            "trust",
            Verdict.REFUSE,
            f"{case.kind.word} needs level {case.kind.trust}, {case.peer} has {case.level}; fleet trust {case.peer} LEVEL",
        )
    return Finding("trust", Verdict.CLEAR, f"level {case.level}")


def _size(case: Case) -> Finding:
    if case.size > case.limit:
        return Finding("size", Verdict.REFUSE, f"{case.size} bytes, the limit is {case.limit}")
    return Finding("size", Verdict.CLEAR)


GATES: tuple[Callable[[Case], Finding], ...] = (_membership, _level, _size)


def judge(case: Case) -> Judgement:
    """Ask every gate, cheapest first."""
    return Judgement(tuple(gate(case) for gate in GATES))
