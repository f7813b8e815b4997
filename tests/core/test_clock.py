"""When a wall clock is believed: jumps, majorities, quiet."""

import pytest

from fleet.core.clock import Clock, doubt, heard, look, sure

WALL = 1_700_000_000_000
MINUTE = 60.0


def later(clock: Clock, seconds: float, jump: float = 0.0) -> Clock:
    return look(clock, clock.wall + int((seconds + jump) * 1000), clock.through + seconds)


def hear(clock: Clock, **off: float) -> Clock:
    for peer, seconds in off.items():
        clock = heard(clock, peer, clock.wall + int(seconds * 1000))
    return clock


FRESH = Clock(WALL, 50.0)


@pytest.mark.parametrize(
    ("jump", "unsure"), [(299.0, False), (-299.0, False), (300.0, True), (-300.0, True), (86_400.0, True)]
)
def test_a_jump_of_five_minutes_either_way_brings_doubt(jump: float, unsure: bool) -> None:
    clock = later(FRESH, 1.0, jump)
    assert clock.unsure is unsure
    assert bool(clock.reason) is unsure


def test_slow_drift_and_sleep_bring_no_doubt() -> None:
    clock = FRESH
    for _ in range(100):
        clock = later(clock, 600.0, 2.0)
    assert not clock.unsure
    assert not later(clock, 86_400.0).unsure  # a day asleep: both clocks ran on


@pytest.mark.parametrize(
    ("off", "unsure"),
    [
        ({"a": 400.0}, False),  # one against one decides nothing
        ({"a": 400.0, "b": 500.0}, True),
        ({"a": 400.0, "b": 0.0}, False),
        ({"a": 400.0, "b": -400.0, "c": 0.0}, True),
        ({"a": 400.0, "b": 0.0, "c": 1.0}, False),
    ],
)
def test_a_majority_of_at_least_two_peers_brings_doubt(off: dict[str, float], unsure: bool) -> None:
    assert later(hear(FRESH, **off), 1.0).unsure is unsure


def test_what_peers_said_before_a_jump_neither_confirms_nor_denies_it() -> None:
    clock = later(hear(FRESH, a=0.0, b=0.0), 1.0, 3600.0)
    assert clock.unsure
    assert later(clock, 1.0).unsure


def test_a_majority_confirms_a_clock_after_a_jump_and_one_that_contradicts_does_not() -> None:
    jumped = later(FRESH, 1.0, 3600.0)
    assert not later(hear(jumped, a=1.0), 1.0).unsure
    assert later(hear(jumped, a=-3600.0), 1.0).unsure
    assert later(hear(jumped, a=1.0, b=-3600.0), 1.0).unsure
    assert not later(hear(jumped, a=1.0, b=2.0, c=-3600.0), 1.0).unsure


def test_ten_minutes_without_peers_or_jumps_end_the_doubt() -> None:
    jumped = later(FRESH, 1.0, -3600.0)
    assert later(jumped, 599.0).unsure
    assert not later(jumped, 600.0).unsure
    again = later(later(jumped, 500.0), 1.0, 400.0)
    assert later(again, 500.0).unsure  # counted from the latest jump


def test_a_peer_that_contradicts_keeps_the_doubt_for_as_long_as_it_is_heard() -> None:
    clock = later(FRESH, 1.0, 3600.0)
    for _ in range(30):
        clock = later(hear(clock, a=-3600.0), MINUTE)
    assert clock.unsure
    for _ in range(11):
        clock = later(clock, MINUTE)
    assert not clock.unsure


def test_an_operator_and_the_caller_may_turn_it() -> None:
    assert doubt(FRESH, "why").reason == "why"
    assert not sure(doubt(FRESH, "why")).unsure


def test_the_number_of_peers_remembered_is_bounded() -> None:
    clock = hear(FRESH, **{f"p{n}": 0.0 for n in range(500)})
    assert len(clock.peers) == 64
    assert "p499" in clock.peers
