"""Who waits for which message to come how far."""

import asyncio
from collections.abc import Callable

import pytest

from fleet.core.lifecycle import State, Status
from fleet.engine.waiting import Waiting, reached, state_of
from fleet.store.outbox import Applied
from tests.support import virtual


def applied(id: str, new: Status, reached_state: str = "") -> Applied:
    return Applied(1, id, "b", Status.SENDING, new, reached_state)


def woken(wanted: State, *happen: Callable[[Waiting], None]) -> str:
    """Wait for m; gives the word of the future, empty when it still waits."""

    async def story() -> str:
        waiting = Waiting()
        future = waiting.enter("m", wanted)
        for one in happen:
            one(waiting)
        await asyncio.sleep(0)
        return future.result() if future.done() else ""

    return virtual.run(story())


@pytest.mark.parametrize(
    ("wanted", "came", "word"),
    [
        (State.RECEIVED, "received", "reached"), (State.RECEIVED, "done", "reached"), (State.SHOWN, "received", ""),
        (State.SHOWN, "shown", "reached"), (State.DONE, "shown", ""), (State.DONE, "done", "reached"),
    ],
)  # fmt: skip
def test_a_receipt_wakes_those_whose_message_came_far_enough(wanted: State, came: str, word: str) -> None:
    assert woken(wanted, lambda waiting: waiting.applied([applied("m", Status.DONE, came)])) == word


@pytest.mark.parametrize("status", [Status.DEAD, Status.REFUSED])
def test_an_end_wakes_whatever_was_wanted(status: Status) -> None:
    assert woken(State.DONE, lambda waiting: waiting.applied([applied("m", status)])) == "ended"


@pytest.mark.parametrize("status", [Status.QUEUED, Status.WAITING, Status.HELD, Status.SENDING])
def test_what_goes_on_wakes_nobody(status: Status) -> None:
    assert woken(State.RECEIVED, lambda waiting: waiting.applied([applied("m", status)])) == ""


def test_a_walk_that_no_road_took_wakes_too() -> None:
    assert woken(State.RECEIVED, lambda waiting: waiting.walked(["other", "m"])) == "walked"


def test_the_first_news_counts() -> None:
    first, second = (lambda w: w.walked(["m"])), (lambda w: w.applied([applied("m", Status.DEAD)]))
    assert woken(State.RECEIVED, first, second) == "walked"


def test_other_messages_wake_nobody() -> None:
    assert woken(State.RECEIVED, lambda waiting: waiting.applied([applied("n", Status.DONE, "done")])) == ""


def test_several_wait_for_one_message_and_leave_one_by_one() -> None:
    async def story() -> None:
        waiting = Waiting()
        first, second = waiting.enter("m", State.RECEIVED), waiting.enter("m", State.DONE)
        waiting.leave("m", second)
        waiting.applied([applied("m", Status.DONE, "done")])
        assert (first.done(), second.done()) == (True, False)
        waiting.leave("m", first)
        waiting.leave("m", first)
        waiting.leave("never entered", first)

    virtual.run(story())


def test_reached_compares_how_far_receipts_go() -> None:
    assert reached("", State.RECEIVED) and not reached("", State.SHOWN)
    assert reached("done", State.SHOWN)


def test_the_outside_word_of_a_row() -> None:
    assert state_of(Status.QUEUED, False, "") is State.ACCEPTED
    assert state_of(Status.QUEUED, True, "") is State.CUSTODY
    assert state_of(Status.DONE, False, "") is State.RECEIVED
    assert state_of(Status.DONE, True, "shown") is State.SHOWN
