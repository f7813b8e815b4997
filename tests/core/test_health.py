"""The health of a link: every cell of the printed table, what counts as which signal, and the hold-off."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet.core import policy
from fleet.core.health import HEALTH, UNTRIED, Evidence, Health, Link, Signal, advance, elapsed, observe
from fleet.errors import IllegalTransition
from tests.core.printed import cells

# design § 5; what the last column says (traffic) is tested with the plan
TABLE = cells("""
|          | OK      | PROVEN  | SLIP     | TRIP   | LIFTED   | CALM    | HEARD    | RESET   |
|----------|---------|---------|----------|--------|----------|---------|----------|---------|
| HEALTHY  | HEALTHY | HEALTHY | DEGRADED | BROKEN | HEALTHY  | HEALTHY | HEALTHY  | HEALTHY |
| DEGRADED | DEGRADED| HEALTHY | DEGRADED | BROKEN | DEGRADED | HEALTHY | DEGRADED | DEGRADED|
| BROKEN   | HEALING | HEALING | BROKEN   | BROKEN | HEALING  | HEALING | HEALING  | HEALING |
| HEALING  | HEALING | HEALTHY | BROKEN   | BROKEN | HEALING  | HEALING | HEALING  | HEALING |
""")
CELLS = [(row, column, cell) for (row, column), cell in TABLE.items()]
GOOD, BAD, FATAL, INBOUND, MENDED, SHARED = Evidence


@pytest.mark.parametrize(("row", "column", "cell"), CELLS, ids=[f"{row}-{column}" for row, column, _ in CELLS])
def test_every_cell_is_as_printed(row: str, column: str, cell: str) -> None:
    assert HEALTH[Health[row]][Signal[column]] is Health[cell]


@pytest.mark.parametrize(("row", "column", "cell"), CELLS, ids=[f"{row}-{column}" for row, column, _ in CELLS])
def test_advancing_goes_where_the_cell_says(row: str, column: str, cell: str) -> None:
    assert advance(Link(health=Health[row]), Signal[column], 10.0, cap=8.0, dice=0.5).health is Health[cell]


def test_the_table_has_no_other_cells() -> None:
    assert {(row.name, column.name) for row, line in HEALTH.items() for column in line} == {cell[:2] for cell in CELLS}
    assert len(CELLS) == len(Health) * len(Signal) == 32


def test_broken_never_goes_straight_to_healthy() -> None:
    assert Health.HEALTHY not in HEALTH[Health.BROKEN].values()


def test_a_cell_that_does_not_exist_is_a_bug() -> None:
    with pytest.raises(IllegalTransition, match="link healthy has no cell for gossip"):
        advance(UNTRIED, "gossip", 0.0, cap=8.0, dice=0.0)  # type: ignore[arg-type]


# ── what counts as which signal ──────────────────────────────────────────────────────────────────────────────────────


def row(evidence: list[Evidence], link: Link = UNTRIED) -> tuple[Link, list[str]]:
    """Observe one thing a second; gives the link and the names of the signals."""
    signals = []
    for second, each in enumerate(evidence):
        link, signal = observe(link, each, float(second))
        signals.append(signal.name if signal else "")
    return link, signals


@pytest.mark.parametrize(
    ("evidence", "signals"),
    [
        ([GOOD], ["OK"]),
        ([GOOD, GOOD, GOOD], ["OK", "PROVEN", "PROVEN"]),
        ([BAD], ["SLIP"]),
        ([BAD, BAD, BAD, BAD], ["SLIP", "SLIP", "TRIP", "TRIP"]),
        ([BAD, BAD, GOOD, BAD, BAD, BAD], ["SLIP", "SLIP", "OK", "SLIP", "SLIP", "TRIP"]),
        ([GOOD, BAD, GOOD, GOOD], ["OK", "SLIP", "OK", "PROVEN"]),
        ([FATAL], ["TRIP"]),
        ([GOOD, FATAL, BAD], ["OK", "TRIP", "SLIP"]),
        ([BAD, FATAL], ["SLIP", "TRIP"]),
        ([BAD, BAD, INBOUND, BAD], ["SLIP", "SLIP", "HEARD", "TRIP"]),
        ([BAD, BAD, MENDED, BAD], ["SLIP", "SLIP", "RESET", "SLIP"]),
    ],
)
def test_evidence_is_counted_into_signals(evidence: list[Evidence], signals: list[str]) -> None:
    assert row(evidence)[1] == signals


def test_what_is_observed_is_remembered() -> None:
    link, _ = row([GOOD, BAD, INBOUND])
    assert (link.good, link.bad, link.proven_at, link.failed_at, link.heard_at) == (0, 1, 0.0, 1.0, 2.0)
    link, _ = observe(link, BAD, 3.0, reason="timeout")
    assert (link.bad, link.reason) == (2, "timeout")


def test_observing_leaves_the_old_link_as_it_was() -> None:
    observe(UNTRIED, BAD, 1.0)
    assert Link() == UNTRIED


def test_a_link_is_untried_until_something_was_tried_on_it() -> None:
    assert UNTRIED.untried
    assert row([INBOUND])[0].untried
    assert not row([GOOD])[0].untried
    assert not row([BAD])[0].untried
    assert not Link(health=Health.BROKEN).untried


# ── hold-off ─────────────────────────────────────────────────────────────────────────────────────────────────────────

UNIFORM = some.floats(0, 1, exclude_max=True)


@given(some.integers(0, 200), UNIFORM, some.sampled_from([8.0, 60.0, 300.0]), some.floats(0, 1e9))
def test_the_hold_off_doubles_within_its_bounds(breaks: int, dice: float, cap: float, now: float) -> None:
    broken = advance(Link(breaks=breaks), Signal.TRIP, now, cap=cap, dice=dice)
    hold = broken.held_until - now
    exact = min(cap, 2.0 ** min(breaks, 16) * (0.8 + dice * 0.6))
    assert math.isclose(hold, exact, rel_tol=1e-6, abs_tol=1e-5)
    assert 0.79 <= hold <= cap + 1e-5


@pytest.mark.parametrize(
    ("breaks", "dice", "hold"),
    [(0, 0.0, 0.8), (0, 0.5, 1.1), (1, 0.0, 1.6), (2, 0.0, 3.2), (3, 0.0, 6.4), (4, 0.0, 8.0), (99, 0.9, 8.0)],
)
def test_the_hold_off_of_a_road_that_pings_is_eight_seconds_at_most(breaks: int, dice: float, hold: float) -> None:
    assert policy.HOLD_CAP_PINGS == 8.0
    broken = advance(Link(breaks=breaks), Signal.TRIP, 100.0, cap=policy.HOLD_CAP_PINGS, dice=dice)
    assert broken.held_until == pytest.approx(100.0 + hold)


def test_the_caps_are_those_of_the_design() -> None:
    assert (policy.HOLD_CAP_PINGS, policy.HOLD_CAP_MAIL, policy.HOLD_CAP_IDLE) == (8.0, 60.0, 300.0)
    assert (policy.TRIP_AFTER, policy.CALM_AFTER, policy.HOLD_JITTER) == (3, 900.0, (0.8, 1.4))


def test_counts_start_at_zero_when_a_link_breaks() -> None:
    broken = advance(Link(good=0, bad=3), Signal.TRIP, 5.0, cap=8.0, dice=0.0)
    assert (broken.good, broken.bad, broken.breaks, broken.since) == (0, 0, 1, 5.0)


def test_a_link_that_stays_where_it_is_is_left_alone() -> None:
    broken = Link(health=Health.BROKEN, breaks=2, held_until=9.0, since=1.0)
    for signal in (Signal.SLIP, Signal.TRIP):
        assert advance(broken, signal, 5.0, cap=8.0, dice=0.9) is broken


def test_breaks_are_forgotten_only_when_it_is_healthy_again() -> None:
    link = Link(health=Health.BROKEN, breaks=3)
    link = advance(link, Signal.LIFTED, 1.0, cap=8.0, dice=0.0)
    assert (link.health, link.breaks, link.good) == (Health.HEALING, 3, 0)
    again = advance(link, Signal.SLIP, 2.0, cap=8.0, dice=0.0)
    assert (again.health, again.breaks) == (Health.BROKEN, 4)
    healthy = advance(link, Signal.PROVEN, 2.0, cap=8.0, dice=0.0)
    assert (healthy.health, healthy.breaks) == (Health.HEALTHY, 0)


def test_a_healing_link_needs_two_successes_of_its_own() -> None:
    link = Link(health=Health.BROKEN, good=5)
    link, signal = observe(link, GOOD, 1.0)  # an attempt that was under way when it broke
    assert signal is Signal.PROVEN
    link = advance(link, Signal.PROVEN, 1.0, cap=8.0, dice=0.0)
    assert (link.health, link.good) == (Health.HEALING, 0)
    link, signal = observe(link, GOOD, 2.0)
    assert signal is Signal.OK
    link = advance(link, Signal.OK, 2.0, cap=8.0, dice=0.0)
    assert link.health is Health.HEALING
    link, signal = observe(link, GOOD, 3.0)
    assert signal is Signal.PROVEN
    assert advance(link, Signal.PROVEN, 3.0, cap=8.0, dice=0.0).health is Health.HEALTHY


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("link", "now", "signal"),
    [
        (Link(health=Health.BROKEN, held_until=10.0), 9.9, None),
        (Link(health=Health.BROKEN, held_until=10.0), 10.0, Signal.LIFTED),
        (Link(health=Health.BROKEN, held_until=10.0, security=True), 1e9, None),
        (Link(health=Health.DEGRADED, failed_at=100.0), 999.9, None),
        (Link(health=Health.DEGRADED, failed_at=100.0), 1000.0, Signal.CALM),
        (Link(health=Health.DEGRADED, failed_at=100.0, security=True), 1e9, None),
        (Link(health=Health.HEALTHY, failed_at=100.0), 1e9, None),
        (Link(health=Health.HEALING, failed_at=100.0), 1e9, None),
        (UNTRIED, 1e9, None),
    ],
)
def test_the_passing_of_time_is_evidence_too(link: Link, now: float, signal: Signal | None) -> None:
    assert elapsed(link, now) is signal


def test_a_security_fault_heals_by_an_operator_alone() -> None:
    link, signal = observe(UNTRIED, FATAL, 1.0, reason="host key", security=True)
    assert signal is Signal.TRIP
    link = advance(link, Signal.TRIP, 1.0, cap=8.0, dice=0.0)
    assert (link.health, link.security) == (Health.BROKEN, True)
    assert elapsed(link, 1e9) is None
    heard, signal = observe(link, INBOUND, 2.0)
    assert signal is None
    assert heard.heard_at == 2.0
    under_way, signal = observe(link, GOOD, 2.0)
    assert signal is None and under_way.security
    still, _ = observe(link, BAD, 3.0)
    assert still.security
    mended, signal = observe(link, MENDED, 4.0)
    assert signal is Signal.RESET
    assert (mended.security, mended.held_until, mended.bad) == (False, -1.0, 0)
    assert advance(mended, Signal.RESET, 4.0, cap=8.0, dice=0.0).health is Health.HEALING


# ── round trips ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_latest_round_trips_are_kept() -> None:
    link = UNTRIED
    for number in range(1, 101):
        link, _ = observe(link, GOOD, float(number), took=float(number))
    assert link.round_trips == tuple(float(n) for n in range(37, 101))
    assert len(link.round_trips) == policy.ROUND_TRIPS_KEPT == 64


def test_a_success_without_a_time_keeps_the_samples() -> None:
    link, _ = observe(Link(round_trips=(1.0,)), GOOD, 1.0)
    assert link.round_trips == (1.0,)


@pytest.mark.parametrize(
    ("trips", "p95"),
    [
        ((), None),
        ((0.2,), 0.2),
        ((0.3, 0.1), 0.3),
        (tuple(n / 100 for n in range(1, 21)), 0.20),
        (tuple(n / 100 for n in range(1, 41)), 0.39),
    ],
)
def test_the_95th_percentile_is_of_the_samples(trips: tuple[float, ...], p95: float | None) -> None:
    assert Link(round_trips=trips).p95 == p95


@given(some.lists(some.sampled_from(list(Evidence)), max_size=60), UNIFORM)
def test_whatever_happens_the_laws_hold(evidence: list[Evidence], dice: float) -> None:
    """HEALTHY after BROKEN only by two successes in a row; one that carries mail has few failures."""
    link = UNTRIED
    was_broken, goods = False, 0
    for second, each in enumerate(evidence):
        link, signal = observe(link, each, float(second))
        goods = goods + 1 if each is GOOD else 0 if each in (BAD, FATAL) else goods
        if signal is not None:
            link = advance(link, signal, float(second), cap=8.0, dice=dice)
        if link.health is Health.BROKEN:
            was_broken = True
        elif link.health is not Health.HEALING:
            assert link.bad < policy.TRIP_AFTER
        if was_broken and link.health is Health.HEALTHY:
            assert goods >= 2
            was_broken = False
