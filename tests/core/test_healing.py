"""What comes next for a peer whose roads are down: every level in its time, and what keeps it from being taken."""

import pytest

from fleet.core.healing import Case, Level, Limits, Move, Scene, next_move

LIMITS = Limits()
LOCAL, ASK, RESTART, SHOW = Level.LOCAL, Level.ASK, Level.RESTART, Level.SHOW


def move(level: Level, now: float, acted: float = 0.0, limits: Limits = LIMITS, **scene: object) -> Move | None:
    """What is due at `now` for a case that began at 0 and is at a level since `acted`."""
    return next_move(Case("b", ("nats",), 0.0, level, acted), limits, Scene(now, **scene))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("level", "acted", "due", "then"),
    [
        (Level.NONE, 0.0, 10.0, LOCAL),  # a daemon restarts within it
        (LOCAL, 5.0, 10.0, ASK),  # as soon as this side had its time
        (ASK, 5.0, 125.0, RESTART),
        (RESTART, 125.0, 900.0, SHOW),  # a quarter of an hour after it began
        (RESTART, 700.0, 1000.0, SHOW),  # but not before the restart had its time
    ],
)
def test_each_level_has_its_time(level: Level, acted: float, due: float, then: Level) -> None:
    assert move(level, due - 0.1, acted) is None
    assert move(level, due, acted) == Move(then)


def test_mail_that_took_a_later_road_starts_it_at_once() -> None:
    assert move(Level.NONE, 0.0, late=True) == Move(LOCAL)


def test_after_the_last_level_there_is_nothing_more() -> None:
    assert move(SHOW, 1e9, 1000.0) is None


@pytest.mark.parametrize("level", range(5))
def test_it_goes_no_further_than_the_setting(level: int) -> None:
    limits = Limits(level=level)
    for at in (Level.NONE, LOCAL, ASK, RESTART):
        found = move(at, 1e6, limits=limits)
        assert (found is not None) == (at + 1 <= level)


@pytest.mark.parametrize("level", [ASK, RESTART])
def test_who_was_escalated_three_times_within_the_hour_is_left_alone(level: Level) -> None:
    assert move(Level(level - 1), 1e6, spent=2) == Move(level)
    found = move(Level(level - 1), 1e6, spent=3)
    assert found is not None and found.level is level
    assert found.refused == "3 escalations within the hour; at most 3"


def test_a_person_is_told_however_often_it_was_escalated() -> None:
    assert move(RESTART, 1e6, spent=99) == Move(SHOW)


@pytest.mark.parametrize("level", [LOCAL, RESTART])
def test_nobody_is_asked_or_told_about_a_peer_that_is_away(level: Level) -> None:
    assert move(level, 1e6, works=False) is None
    assert move(level, 1e6, works=True) is not None


def test_its_own_side_is_looked_at_even_if_the_peer_is_away() -> None:
    assert move(Level.NONE, 10.0, works=False) == Move(LOCAL)


def test_without_an_ssh_address_the_restart_is_passed_over() -> None:
    assert move(ASK, 1e6, ssh=False) == Move(RESTART, "no SSH address of it is known")


def test_the_waits_are_settings() -> None:
    limits = Limits(wait_l2=10.0, wait_l3=20.0, after_l4=40.0)
    assert move(ASK, 9.9, limits=limits) is None
    assert move(ASK, 10.0, limits=limits) == Move(RESTART)
    assert move(RESTART, 39.9, 10.0, limits=limits) is None
    assert move(RESTART, 40.0, 10.0, limits=limits) == Move(SHOW)
