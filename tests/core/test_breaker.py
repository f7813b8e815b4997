"""The breaker: every cell of its table, the figures of R5 to the unit, and no way back but an operator's."""

import pytest

from fleet.core.breaker import (
    CLOSED,
    CODES,
    TABLE,
    Breaker,
    Rules,
    Signal,
    State,
    counts,
    eligible_at,
    sample,
    step,
    weigh,
)  # fmt: skip
from fleet.daemon.sections import Breaker as Section

RULES = Rules()
HOUR, DAY = 3_600_000, 86_400_000
T = 1_000 * DAY
A, S, E = State.ACTIVE, State.SUSPENDED, State.EVICTED


def suspended(since: int = T) -> Breaker:
    """A breaker that was opened."""
    return Breaker(S, since, 42, "5 of 6 dealings failed")


def filled(good: int, bad: int, time: int = T, start: Breaker = CLOSED) -> Breaker:
    """A breaker with samples of one moment."""
    return sample(start, RULES, time, good, bad)


def test_the_figures_are_those_of_the_settings() -> None:
    section = Section()
    assert Rules(
        section.micro_usd, int(section.usd_window * 1000), section.ratio, int(section.ratio_window * 1000), section.samples,
        int(section.eligible_after * 1000), int(section.evict_after * 1000),
    ) == RULES  # fmt: skip
    assert (RULES.micro_usd, RULES.usd_window, RULES.ratio, RULES.ratio_window, RULES.samples) == (
        5_000_000, DAY, 0.5, HOUR, 50,
    )  # fmt: skip
    assert (RULES.eligible_after, RULES.evict_after) == (HOUR // 2, DAY)


@pytest.mark.parametrize(
    ("state", "signal", "leads"),
    [
        (A, Signal.FAILING, S), (A, Signal.OVERSPENT, S), (A, Signal.LINGERED, A), (A, Signal.EVICT, E),
        (A, Signal.REACTIVATE, A),
        (S, Signal.FAILING, E), (S, Signal.OVERSPENT, S), (S, Signal.LINGERED, E), (S, Signal.EVICT, E),
        (S, Signal.REACTIVATE, A),
        (E, Signal.FAILING, E), (E, Signal.OVERSPENT, E), (E, Signal.LINGERED, E), (E, Signal.EVICT, E),
        (E, Signal.REACTIVATE, A),
    ],
)  # fmt: skip
def test_every_cell_of_the_table(state: State, signal: Signal, leads: State) -> None:
    assert TABLE[state][signal] is leads
    before = Breaker(state, 1, 2, "before", ((3, 4, 5),))
    after = step(before, signal, T, 99, "because")
    assert after == (before if leads is state else Breaker(leads, T, 99, "because"))


def test_the_table_has_a_cell_for_everything() -> None:
    assert {(state, signal) for state in TABLE for signal in TABLE[state]} == {(s, g) for s in State for g in Signal}
    assert set(CODES) == {S, E}
    assert dict(CODES) == {S: "PEER_SUSPENDED", E: "PEER_EVICTED"}


def test_only_an_operator_leads_back_to_active() -> None:
    back = {(state, signal) for state in (S, E) for signal in Signal if TABLE[state][signal] is A}
    assert back == {(S, Signal.REACTIVATE), (E, Signal.REACTIVATE)}


@pytest.mark.parametrize(
    ("good", "bad", "fails"),
    [(24, 26, True), (25, 25, False), (24, 25, False), (0, 49, False), (0, 50, True), (50, 50, False), (49, 50, True)],
)
def test_fifty_samples_and_more_than_half_of_them_bad(good: int, bad: int, fails: bool) -> None:
    found = weigh(filled(good, bad), RULES, T, 0)
    assert (found is not None and found[0] is Signal.FAILING) is fails


@pytest.mark.parametrize(("micro_usd", "trips"), [(0, False), (5_000_000, False), (5_000_001, True)])
def test_more_than_five_dollars(micro_usd: int, trips: bool) -> None:
    found = weigh(CLOSED, RULES, T, micro_usd)
    assert (found is not None and found[0] is Signal.OVERSPENT) is trips
    if found is not None:
        assert found[1] == "5.000001 USD spent in 1d, the limit is 5 USD"


def test_samples_leave_with_their_hour() -> None:
    breaker = filled(0, 49)
    assert weigh(sample(breaker, RULES, T + HOUR - 1, 0, 1), RULES, T + HOUR - 1, 0) is not None
    late = T + HOUR + 2 * RULES.slot
    assert weigh(sample(breaker, RULES, late, 0, 1), RULES, late, 0) is None
    assert counts(breaker, RULES, late) == (0, 0)


def test_the_memory_of_samples_is_bounded() -> None:
    breaker = CLOSED
    for minute in range(10_000):
        breaker = sample(breaker, RULES, T + minute * 60_000, 1, 0)
    assert len(breaker.samples) <= 62


def test_a_clock_that_stands_still_or_goes_back_keeps_counting() -> None:
    breaker = sample(sample(filled(1, 0), RULES, T - HOUR, 1, 0), RULES, T, 0, 1)
    assert counts(breaker, RULES, T) == (2, 1)


def test_whoever_is_suspended_is_counted_anew_and_evicted_for_another_fifty() -> None:
    opened = step(filled(0, 500), Signal.FAILING, T, 1, "x")
    assert opened.samples == ()
    assert weigh(filled(0, 49, start=opened), RULES, T, 0) is None
    assert weigh(filled(0, 50, start=opened), RULES, T, 0) is not None
    assert weigh(opened, RULES, T, 10**12) is None  # money is not asked a second time


@pytest.mark.parametrize(("after", "evicted"), [(DAY - 1, False), (DAY, True), (DAY * 9, True)])
def test_a_day_of_suspension_ends_in_eviction(after: int, evicted: bool) -> None:
    found = weigh(suspended(), RULES, T + after, 0)
    assert (found is not None and found[0] is Signal.LINGERED) is evicted


def test_nothing_moves_the_evicted() -> None:
    assert weigh(Breaker(E, 0, 0, "", ((T // RULES.slot, 0, 999),)), RULES, T + 9 * DAY, 10**12) is None


def test_a_suspended_peer_is_eligible_after_half_an_hour() -> None:
    assert eligible_at(suspended(), RULES) == T + HOUR // 2
    assert eligible_at(CLOSED, RULES) == eligible_at(Breaker(E, T), RULES) == 0
