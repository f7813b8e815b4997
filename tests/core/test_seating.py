"""Whom a message goes to: the named or nobody else; without a name the idle and most recent; and no talk without end."""

import pytest

from fleet.core import policy
from fleet.core.seating import Seat, Wanted, chosen, fits, may_wake

ANYBODY = Wanted()


def seat(name: str, seen: int = 0, **more: object) -> Seat:
    return Seat(name, **{"agent": "claude", "program": "claude", "wakes": True, **more}, seen=seen)  # type: ignore[arg-type]


A, B = seat("a", 10), seat("b", 20, agent="reviewer", program="codex")


@pytest.mark.parametrize(
    ("wanted", "who"),
    [
        (Wanted(session="a"), "a"),
        (Wanted(session="b"), "b"),
        (Wanted(session="gone"), ""),
        (Wanted(agent="claude"), "a"),
        (Wanted(agent="reviewer"), "b"),
        (Wanted(agent="codex"), "b"),  # by its program
        (Wanted(agent="Claude"), ""),
        (Wanted(agent="reviewer", session="a"), "a"),  # the session is the nearer word
        (ANYBODY, "ab"),
    ],
)
def test_a_message_fits_whom_it_names_or_everybody(wanted: Wanted, who: str) -> None:
    assert "".join(one.session for one in (A, B) if fits(wanted, one, [A, B])) == who


def test_a_single_run_takes_unnamed_mail_only_when_nobody_else_is_there() -> None:
    run = seat("run", headless=True)
    assert fits(ANYBODY, run, [run])
    assert not fits(ANYBODY, run, [run, A])
    assert fits(Wanted(session="run"), run, [run, A])


@pytest.mark.parametrize(
    ("seats", "expected"),
    [
        ([], None),
        ([seat("a", 1), seat("b", 2)], "b"),
        ([seat("a", 1, idle=True), seat("b", 2)], "a"),
        ([seat("a", 1, idle=True), seat("b", 2, idle=True)], "b"),
        ([seat("a", 1), seat("b", 2, wakes=False)], "a"),
        ([seat("a", 1, wakes=False)], None),
        ([seat("a", 1, headless=True), seat("b", 0)], "b"),
    ],
)
def test_the_idle_and_most_recent_session_that_can_be_woken_is_chosen(seats: list[Seat], expected: str | None) -> None:
    found = chosen(ANYBODY, seats)
    assert (found.session if found else None) == expected


def test_a_named_session_is_chosen_however_busy_and_old() -> None:
    found = chosen(Wanted(session="a"), [seat("a", 1), seat("b", 2, idle=True)])
    assert found is not None
    assert found.session == "a"


def test_a_session_is_woken_so_often_an_hour_and_then_again_when_the_hour_is_over() -> None:
    now = 10 * policy.WAKE_WINDOW
    often = [now - n for n in range(policy.WAKES)]
    assert may_wake(often[1:], now)
    assert not may_wake(often, now)
    assert may_wake(often, now + policy.WAKE_WINDOW)
