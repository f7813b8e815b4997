"""Budgets: exactly at the cap passes and one unit more does not, hops first, windows that only time ends."""

import pytest

from fleet.core.budget import (
    NOTHING,
    Limits,
    Shortage,
    Spent,
    check,
    costs,
    debit,
    dollars,
    in_force,
    left,
    micro_dollars,
    span,
)  # fmt: skip
from fleet.core.envelope import FREE, Cost
from fleet.core.submission import cost_of
from fleet.errors import UsageError

DAY = 86_400_000
LIMITS = Limits(tokens=1000, micro_usd=2_000_000, hops=3, window=DAY)
AT = 10**12


def test_the_defaults_are_the_widest_the_wire_allows() -> None:
    assert (Limits().tokens, Limits().micro_usd, Limits().hops, Limits().window) == (10**9, 10**12, 8, DAY)


@pytest.mark.parametrize(
    ("cost", "hops", "reason", "ever"),
    [
        (Cost(tokens=1000, micro_usd=2_000_000), 3, "", False),
        (Cost(tokens=1001), 3, "1001 tokens, the limit is 1000 tokens in 1d", True),
        (Cost(micro_usd=2_000_001), 0, "2.000001 USD, the limit is 2 USD in 1d", True),
        (Cost(tokens=5000, micro_usd=9_000_000), 4, "4 hops, the limit is 3", True),
        (FREE, 3, "", False),
        (FREE, 4, "4 hops, the limit is 3", True),
        (Cost(hops=64), 0, "", False),
    ],
)
def test_an_empty_window_holds_exactly_the_cap(cost: Cost, hops: int, reason: str, ever: bool) -> None:
    assert check(LIMITS, NOTHING, cost, hops, AT) == (Shortage(reason, ever) if reason else None)


def test_what_was_spent_counts_to_the_unit() -> None:
    spent = Spent(AT, tokens=900, micro_usd=1_999_999)
    assert check(LIMITS, spent, Cost(tokens=100, micro_usd=1), 0, AT + 1) is None
    assert check(LIMITS, spent, Cost(tokens=101), 0, AT + 1) == Shortage(
        "101 tokens on top of 900 tokens, the limit is 1000 tokens in 1d", ever=False
    )
    assert check(LIMITS, spent, Cost(micro_usd=2), 0, AT + 1) == Shortage(
        "0.000002 USD on top of 1.999999 USD, the limit is 2 USD in 1d", ever=False
    )


def test_what_costs_nothing_passes_a_window_that_is_used_up() -> None:
    spent = Spent(AT, tokens=5000, micro_usd=10**9)  # the limit was lowered since
    assert check(LIMITS, spent, FREE, 0, AT) is None
    assert check(LIMITS, spent, Cost(tokens=1), 0, AT) is not None


@pytest.mark.parametrize(("later", "open"), [(0, True), (DAY - 1, True), (DAY, False), (-1, True), (-DAY, True)])
def test_a_window_ends_so_long_after_its_first_debit_and_never_because_time_went_back(later: int, open: bool) -> None:
    spent = Spent(AT, 1000, 0)
    assert (in_force(spent, LIMITS, AT + later) is spent) is open
    assert (check(LIMITS, spent, Cost(tokens=1), 0, AT + later) is None) is not open


def test_a_debit_begins_a_window_and_the_next_ones_keep_its_beginning() -> None:
    first = debit(LIMITS, NOTHING, Cost(tokens=10, micro_usd=5), AT)
    second = debit(LIMITS, first, Cost(tokens=1), AT + 100)
    third = debit(LIMITS, second, Cost(tokens=7), AT + DAY)
    assert (first, second, third) == (Spent(AT, 10, 5), Spent(AT, 11, 5), Spent(AT + DAY, 7, 0))
    assert debit(LIMITS, NOTHING, Cost(tokens=1), 0).began == 1  # 0 = never


def test_what_is_left_of_a_window() -> None:
    assert left(LIMITS, NOTHING, AT) == 0
    assert left(LIMITS, Spent(AT, 1, 1), AT + 1) == DAY - 1
    assert left(LIMITS, Spent(AT, 1, 1), AT + DAY) == 0
    assert left(LIMITS, Spent(AT, 1, 1), AT - 5 * DAY) == DAY


def test_only_tokens_and_money_are_debited() -> None:
    assert [costs(cost) for cost in (FREE, Cost(), Cost(hops=3), Cost(tokens=1), Cost(micro_usd=1))] == [
        False, False, False, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        {"usd": float("nan")}, {"usd": float("inf")}, {"usd": -0.01}, {"usd": 1_000_000.01}, {"usd": 0.0000001},
        {"usd": 1.0000005}, {"usd": True}, {"usd": "much"}, {"tokens": -1}, {"tokens": 1.5}, {"tokens": 10**9 + 1},
        {"tokens": True}, {"tokens": float("nan")}, {"tokens": "7"}, {"hops": 65}, {"hops": -1}, {"hops": 2.0},
        {"micro_usd": 0.5}, {"micro_usd": 10**12 + 1}, {"cents": 1},
    ],
)  # fmt: skip
def test_nan_negatives_and_fractions_are_refused_where_a_cost_is_read(words: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        cost_of(words)


@pytest.mark.parametrize(
    ("words", "cost"),
    [
        ({}, Cost()), ({"usd": 0.07}, Cost(micro_usd=70_000)), ({"usd": 1.1, "tokens": 5}, Cost(5, 1_100_000)),
        ({"usd": 1_000_000, "tokens": 10**9, "hops": 64}, Cost(10**9, 10**12, 64)), ({"hops": 0}, Cost(hops=0)),
        ({"usd": 0.000001}, Cost(micro_usd=1)),
    ],
)  # fmt: skip
def test_costs_are_read_to_the_micro_dollar(words: dict[str, object], cost: Cost) -> None:
    assert cost_of(words) == cost


@pytest.mark.parametrize("found", ["nan", "-1", "1e-7", "inf", "", "1_0x", None, [], True])
def test_no_other_amount_of_dollars_is_read(found: object) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        micro_dollars(found)


def test_figures_are_written_for_people() -> None:
    assert [dollars(micro) for micro in (0, 1, 70_000, 5_000_000, 10**12)] == [
        "0 USD", "0.000001 USD", "0.07 USD", "5 USD", "1000000 USD",
    ]  # fmt: skip
    assert [span(ms) for ms in (DAY, 5_400_000, 3_600_000, 1500, 30_000)] == ["1d", "90m", "1h", "1500ms", "30s"]
