"""May this message go, may it come in: every gate, the strictest finding, and words that say what would change it."""

from typing import Any

import pytest

from fleet.core.breaker import State
from fleet.core.budget import Shortage
from fleet.core.envelope import KINDS, Kind
from fleet.core.gates import GATES, Case, Direction, Finding, Judgement, Verdict, judge

OUT, IN = Direction.OUT, Direction.IN
CLEAR, HOLD, REFUSE = Verdict.CLEAR, Verdict.HOLD, Verdict.REFUSE


def case(**changes: Any) -> Case:
    """A small message to a member of level 2."""
    words: dict[str, Any] = {
        "direction": OUT, "kind": KINDS["message"], "size": 10, "limit": 100, "peer": "bob", "member": True, "enabled": True,
        "level": 2,
    }  # fmt: skip
    return Case(**(words | changes))


@pytest.mark.parametrize("direction", [OUT, IN])
def test_an_honest_message_is_clear_at_every_gate(direction: Direction) -> None:
    judgement = judge(case(direction=direction))
    assert judgement.verdict is CLEAR
    assert [(finding.gate, finding.verdict) for finding in judgement.findings] == [
        ("membership", CLEAR), ("breaker", CLEAR), ("trust", CLEAR), ("budget", CLEAR), ("size", CLEAR),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "gate", "reason"),
    [
        ({"enabled": False}, "membership", "bob is disabled; fleet peer set bob enabled=true"),
        ({"enabled": False, "direction": IN}, "membership", "bob is disabled; fleet peer set bob enabled=true"),
        ({"member": False, "direction": IN}, "membership", "bob has no valid certificate"),
        ({"kind": KINDS["task"], "direction": IN}, "trust", "task needs level 3, bob has 2; fleet trust bob LEVEL"),
        ({"level": 0, "direction": IN}, "trust", "message needs level 2, bob has 0; fleet trust bob LEVEL"),
        ({"level": 1}, "trust", "mail needs level 2, bob has 1; fleet trust bob LEVEL"),
        (
            {"breaker": State.SUSPENDED, "why": "5.1 USD spent"}, "breaker",
            "PEER_SUSPENDED: bob is suspended (5.1 USD spent); fleet reactivate bob",
        ),
        (
            {"breaker": State.EVICTED, "why": "an operator evicted it", "direction": IN}, "breaker",
            "PEER_EVICTED: bob is evicted (an operator evicted it); fleet reactivate bob",
        ),
        ({"shortage": Shortage("4 hops, 3 allowed", True), "until": 9}, "budget", "4 hops, 3 allowed; fleet budget bob"),
        ({"shortage": Shortage("9 tokens", False), "until": 9, "direction": IN}, "budget", "9 tokens; fleet budget bob"),
        ({"shortage": Shortage("9 tokens", False)}, "budget", "9 tokens; fleet budget bob"),
        ({"size": 101}, "size", "101 bytes, the limit is 100"),
        ({"size": 101, "direction": IN}, "size", "101 bytes, the limit is 100"),
    ],
)
def test_a_refusal_names_its_gate_and_what_would_change_it(changes: dict[str, Any], gate: str, reason: str) -> None:
    assert judge(case(**changes)).decisive == Finding(gate, REFUSE, reason)
    assert judge(case(**changes)).verdict is REFUSE


@pytest.mark.parametrize(
    "changes",
    [{"member": False, "level": 0}, {"level": 2}, {"kind": KINDS["spawn"]}, {"size": 100}, {"level": 4, "direction": IN}],
)
def test_the_sender_leaves_to_the_receiver_what_is_the_receivers(changes: dict[str, Any]) -> None:
    assert judge(case(**changes)).verdict is CLEAR


@pytest.mark.parametrize(
    ("word", "trust"),
    [
        ("message", 2), ("context", 2), ("task", 3), ("reply", 2), ("alert", 2), ("broadcast", 2), ("sync", 3),
        ("repair", 4),
        ("query", 2), ("spawn", 4), ("handoff", 2),
    ],
)  # fmt: skip
def test_every_kind_needs_its_level_at_the_receiver_and_no_more(word: str, trust: int) -> None:
    for level in range(5):
        verdict = judge(case(direction=IN, kind=KINDS[word], level=level)).verdict
        assert verdict is (CLEAR if level >= trust else REFUSE)


def test_an_unknown_kind_needs_what_plain_mail_needs() -> None:
    assert judge(case(direction=IN, kind=Kind("telegram"), level=2)).verdict is CLEAR
    assert judge(case(direction=IN, kind=Kind("telegram"), level=1)).verdict is REFUSE


def test_a_size_exactly_at_the_limit_passes() -> None:
    assert judge(case(size=100)).verdict is CLEAR


def test_what_only_waits_for_its_budget_is_held_until_the_window_ends() -> None:
    found = judge(case(shortage=Shortage("9 tokens on top of 5", False), until=77)).decisive
    assert found == Finding("budget", HOLD, "9 tokens on top of 5; fleet budget bob", 77)


def test_the_breaker_speaks_before_trust_and_budget() -> None:
    found = judge(case(breaker=State.EVICTED, level=0, shortage=Shortage("no", True), direction=IN)).decisive
    assert found.gate == "breaker"


def test_every_gate_is_asked_even_after_a_refusal() -> None:
    judgement = judge(case(enabled=False, size=101, direction=IN, level=0))
    assert [finding.verdict for finding in judgement.findings] == [REFUSE, CLEAR, REFUSE, CLEAR, REFUSE]
    assert judgement.decisive.gate == "membership"
    assert len(judgement.findings) == len(GATES)


@pytest.mark.parametrize(
    ("verdicts", "decisive"),
    [
        ([CLEAR, HOLD, REFUSE], 2),
        ([CLEAR, REFUSE, HOLD, REFUSE], 1),
        ([CLEAR, HOLD, HOLD], 1),
        ([CLEAR, CLEAR], 0),
    ],
)
def test_the_strictest_finding_decides(verdicts: list[Verdict], decisive: int) -> None:
    findings = tuple(Finding(str(number), verdict) for number, verdict in enumerate(verdicts))
    assert Judgement(findings).decisive is findings[decisive]
    assert Judgement(findings).verdict is verdicts[decisive]
