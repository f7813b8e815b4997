"""May this message go, may it come in? judge() answers from values alone; never asks a clock, a file or a road.

Every gate's finding is kept, also the good ones, so that `fleet explain` can print them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from fleet.core.breaker import CODES, State
from fleet.core.budget import Shortage
from fleet.core.envelope import Kind
from fleet.core.trust import Level


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
    level: int  # the peer's level in our own ledger; of what is forwarded, the lowest of all whose words it is
    breaker: State = State.ACTIVE
    why: str = ""  # the breaker is not active
    shortage: Shortage | None = None  # why its cost does not fit into the peer's budget
    until: int = 0  # when the budget's window ends, ms since the epoch


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


def _breaker(case: Case) -> Finding:
    code = CODES.get(case.breaker)
    if code is None:
        return Finding("breaker", Verdict.CLEAR)
    why = f"{code}: {case.peer} is {case.breaker} ({case.why}); fleet reactivate {case.peer}"
    return Finding("breaker", Verdict.REFUSE, why)


def _level(case: Case) -> Finding:
    """Apply the ladder (mission R2) to what goes out, the table of kinds (M13) to what comes in."""
    word, least = case.kind.word, case.kind.trust
    if case.direction is Direction.OUT:  # what a kind needs there, the receiver's own ledger decides
        word, least = "mail", Level.ATTESTED if case.member else Level.UNTRUSTED
    if case.level < least:
        why = f"{word} needs level {least}, {case.peer} has {case.level}; fleet trust {case.peer} LEVEL"
        return Finding("trust", Verdict.REFUSE, why)
    return Finding("trust", Verdict.CLEAR, f"level {case.level}")


def _budget(case: Case) -> Finding:
    """Ours waits for the next window if it fits into one; a peer's is refused."""
    if case.shortage is None:
        return Finding("budget", Verdict.CLEAR)
    why = f"{case.shortage.reason}; fleet budget {case.peer}"
    if case.direction is Direction.OUT and not case.shortage.ever and case.until:
        return Finding("budget", Verdict.HOLD, why, case.until)
    return Finding("budget", Verdict.REFUSE, why)


def _size(case: Case) -> Finding:
    if case.size > case.limit:
        return Finding("size", Verdict.REFUSE, f"{case.size} bytes, the limit is {case.limit}")
    return Finding("size", Verdict.CLEAR)


GATES: tuple[Callable[[Case], Finding], ...] = (_membership, _breaker, _level, _budget, _size)


def judge(case: Case) -> Judgement:
    """Ask every gate, cheapest first."""
    return Judgement(tuple(gate(case) for gate in GATES))
