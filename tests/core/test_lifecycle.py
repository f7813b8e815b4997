"""The life of an outbound message: every cell of the printed table, and the words people see."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet.core.lifecycle import FINAL, LIFE, OPEN, Event, State, Status, What, outside, step
from fleet.errors import IllegalTransition
from tests.core.printed import cells

# design § 5
TABLE = cells("""
|         | LEASE   | HOLD | REFUSE  | DUE    | TAKEN   | MISSED  | LAPSE   | LATER  | RECEIPT | NACK | EXPIRE | REVIVE |
|---------|---------|------|---------|--------|---------|---------|---------|--------|---------|------|--------|--------|
| QUEUED  | SENDING | HELD | REFUSED |        | QUEUED  | QUEUED  | QUEUED  | QUEUED | DONE    | DEAD | DEAD   |        |
| HELD    |         |      | REFUSED | QUEUED | HELD    | HELD    | HELD    | HELD   | DONE    | DEAD | DEAD   | QUEUED |
| SENDING |         |      | REFUSED |        | WAITING | QUEUED  | QUEUED  | QUEUED | DONE    | DEAD |        |        |
| WAITING |         |      | REFUSED | QUEUED | WAITING | WAITING | WAITING | QUEUED | DONE    | DEAD | DEAD   |        |
| DONE    |         |      | DONE    |        | DONE    | DONE    | DONE    | DONE   | DONE    | DONE |        |        |
| REFUSED |         |      | REFUSED |        | REFUSED | REFUSED | REFUSED | REFUSED| DONE    | REFUSED |     | QUEUED |
| DEAD    |         |      | DEAD    |        | DEAD    | DEAD    | DEAD    | DEAD   | DONE    | DEAD |        | QUEUED |
""")
CELLS = [(row, column, cell) for (row, column), cell in TABLE.items()]
NAMES = [f"{row}-{column}" for row, column, _ in CELLS]


@pytest.mark.parametrize(("row", "column", "cell"), CELLS, ids=NAMES)
def test_every_cell_is_as_printed(row: str, column: str, cell: str) -> None:
    if cell:
        assert step(Status[row], Event[column]) is Status[cell]
    else:
        with pytest.raises(IllegalTransition, match=f"a {row} row has no cell for {column}"):
            step(Status[row], Event[column])


def test_the_table_has_no_other_cells() -> None:
    assert len(CELLS) == len(Status) * len(Event) == 84
    filled = {(row.name, column.name) for row, line in LIFE.items() for column in line}
    assert filled == {(row, column) for row, column, cell in CELLS if cell}


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        LIFE[Status.DONE][Event.LEASE] = Status.SENDING  # type: ignore[index]


def test_the_numbers_are_those_of_the_database() -> None:
    assert {status.name: int(status) for status in Status} == {
        "QUEUED": 0, "HELD": 1, "SENDING": 2, "WAITING": 3, "DONE": 4, "REFUSED": 5, "DEAD": 6,
    }  # fmt: skip


def test_open_and_final_are_all_and_apart() -> None:
    assert set(Status) == OPEN | FINAL
    assert not OPEN & FINAL
    assert {Status.DONE, Status.REFUSED, Status.DEAD} == FINAL


def test_a_receipt_ends_every_story() -> None:
    assert {step(status, Event.RECEIPT) for status in Status} == {Status.DONE}


@given(some.lists(some.sampled_from(list(Event)), max_size=40))
def test_done_is_never_left(events: list[Event]) -> None:
    status = Status.QUEUED
    done = False
    for event in events:
        try:
            status = step(status, event)
        except IllegalTransition:
            continue
        assert not done or status is Status.DONE
        done = done or status is Status.DONE


@given(some.lists(some.sampled_from([event for event in Event if event is not Event.REVIVE]), max_size=40))
def test_what_is_final_is_sent_again_only_when_an_operator_revives_it(events: list[Event]) -> None:
    for start in FINAL:
        status = start
        for event in events:
            try:
                status = step(status, event)
            except IllegalTransition:
                continue
            assert status in FINAL


@pytest.mark.parametrize(
    ("status", "taken", "reached", "word"),
    [
        ("QUEUED", False, "received", "accepted"),
        ("QUEUED", True, "received", "custody"),
        ("HELD", False, "received", "held"),
        ("HELD", True, "received", "held"),
        ("SENDING", False, "received", "sending"),
        ("SENDING", True, "received", "sending"),
        ("WAITING", True, "received", "custody"),
        ("DONE", False, "received", "received"),
        ("DONE", True, "shown", "shown"),
        ("DONE", False, "done", "done"),
        ("REFUSED", False, "received", "refused"),
        ("DEAD", True, "received", "dead"),
    ],
)
def test_every_status_has_its_word_outside(status: str, taken: bool, reached: str, word: str) -> None:
    assert outside(Status[status], taken=taken, reached=State(reached)) == word


def test_without_a_receipt_that_says_more_done_is_received() -> None:
    assert outside(Status.DONE, taken=False) is State.RECEIVED


def test_the_words_are_those_of_the_contract() -> None:
    assert [str(state) for state in State] == [
        "accepted", "held", "sending", "custody", "received", "shown", "done", "refused", "dead",
    ]  # fmt: skip
    assert [str(what) for what in What] == ["undelivered", "unconfirmed", "refused"]
