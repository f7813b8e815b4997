"""fleet/store/change.py: what goes with a status, for every cell of the table."""

import pytest

from fleet.core.lifecycle import LIFE, Event, Status
from fleet.errors import IllegalTransition
from fleet.store.change import STATUSES, Change, Standing, read_taken, turn
from tests.support.letters import HOUR, NOW, id_of

EXP = NOW + HOUR
OPEN = [Status.QUEUED, Status.HELD, Status.SENDING, Status.WAITING]
FINAL = [Status.DONE, Status.REFUSED, Status.DEAD]


def standing(status: Status, **fields: object) -> Standing:
    """A row that stands at `status`, leased as parcel 7."""
    row = Standing(1, id_of(1), "mac2", int(status), NOW - 1, EXP, 5, 3, 7, 1, "", "", "", "", 0, 0)
    for name, value in fields.items():
        setattr(row, name, value)
    return row


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("event", Event)
def test_every_cell_is_the_tables(status: Status, event: Event) -> None:
    row = standing(status)
    new = LIFE[status].get(event)
    if new is None:
        with pytest.raises(IllegalTransition):
            turn(row, Change(1, event), NOW)
        assert row == standing(status)
    elif event is not Event.LEASE:
        applied = turn(row, Change(1, event, road="git"), NOW)
        assert (applied.old, applied.new, row.status) == (status, new, new)
        assert (applied.row, applied.id, applied.peer) == (1, id_of(1), "mac2")


def test_statuses_stand_at_their_number() -> None:
    assert [STATUSES[status] for status in Status] == list(Status)


@pytest.mark.parametrize("status", [Status.QUEUED, Status.SENDING, Status.WAITING, Status.DONE, Status.DEAD])
@pytest.mark.parametrize("event", [Event.TAKEN, Event.MISSED, Event.LAPSE])
def test_with_an_old_lease_nothing_moves(status: Status, event: Event) -> None:
    row = standing(status)
    applied = turn(row, Change(1, event, lease=6, due=NOW + 5, road="git", until=NOW + 9, count_try=True), NOW)
    assert applied.old is applied.new is status
    taken = f'{{"git":{NOW + 9}}}' if event is Event.TAKEN else ""
    assert row == standing(status, taken=taken)  # that a road holds it stays true whoever asks


def test_the_present_lease_or_none_counts() -> None:
    for lease in (7, 0):
        row = standing(Status.SENDING)
        turn(row, Change(1, Event.MISSED, lease=lease, due=NOW + 5, reason="no road", count_try=True), NOW)
        assert (row.status, row.due, row.tries, row.reason) == (Status.QUEUED, NOW + 5, 2, "no road")


def test_an_unknown_cell_raises_also_with_an_old_lease_never() -> None:
    turn(standing(Status.SENDING), Change(1, Event.LAPSE, lease=99), NOW)
    with pytest.raises(IllegalTransition):
        turn(standing(Status.SENDING), Change(1, Event.DUE), NOW)


def test_custody_is_looked_at_again_when_the_patience_is_over() -> None:
    row = standing(Status.SENDING)
    turn(row, Change(1, Event.TAKEN, lease=7, road="git", until=NOW + 120), NOW)
    assert (row.status, row.due, read_taken(row.taken)) == (Status.WAITING, NOW + 120, {"git": NOW + 120})
    turn(row, Change(1, Event.TAKEN, lease=7, road="cloud", until=NOW + 900), NOW)
    assert (row.due, read_taken(row.taken)) == (NOW + 120, {"git": NOW + 120, "cloud": NOW + 900})
    turn(row, Change(1, Event.TAKEN, lease=7, road="git", until=NOW + 1), NOW)
    assert read_taken(row.taken)["git"] == NOW + 120


def test_an_answer_ends_the_hold_of_its_road() -> None:
    row = standing(Status.WAITING, taken='{"cloud":9,"git":5}')
    turn(row, Change(1, Event.LATER, road="git", due=NOW + 5, reason="busy"), NOW)
    assert (row.status, row.due, row.reason, read_taken(row.taken)) == (Status.QUEUED, NOW + 5, "busy", {"cloud": 9})
    turn(row, Change(1, Event.MISSED, road="cloud"), NOW)
    assert read_taken(row.taken) == {"cloud": 9}  # silence ends nothing
    turn(row, Change(1, Event.LATER, road="cloud"), NOW)
    assert (row.taken, row.due) == ("", NOW)
    turn(row, Change(1, Event.EXPIRE), NOW)
    assert row.what == "unconfirmed"  # one copy was put off, another may have arrived


@pytest.mark.parametrize("event", [Event.MISSED, Event.LATER])
@pytest.mark.parametrize("status", [Status.HELD, Status.DONE, Status.DEAD, Status.REFUSED])
def test_a_row_that_is_not_in_the_queue_keeps_its_due(event: Event, status: Status) -> None:
    row = standing(status)
    turn(row, Change(1, event, due=NOW + 5, reason="x"), NOW)
    assert (row.due, row.reason) == (NOW - 1, "")


def test_a_miss_does_not_shorten_custody() -> None:
    row = standing(Status.WAITING, due=NOW + 99)
    turn(row, Change(1, Event.MISSED, lease=7, due=NOW + 5), NOW)
    assert (row.status, row.due) == (Status.WAITING, NOW + 99)


def test_nothing_is_due_after_its_expiry() -> None:
    cases = [
        (Status.SENDING, Change(1, Event.TAKEN, road="git", until=EXP + 5)),
        (Status.SENDING, Change(1, Event.MISSED, due=EXP + 5)),
        (Status.QUEUED, Change(1, Event.HOLD, due=EXP + 5)),
        (Status.WAITING, Change(1, Event.LATER, due=EXP + 5)),
    ]
    for status, change in cases:
        row = standing(status)
        turn(row, change, NOW)
        assert row.due == EXP


def test_a_hold_says_why_and_until_when_and_its_end_forgets_why() -> None:
    row = standing(Status.QUEUED)
    turn(row, Change(1, Event.HOLD, due=NOW + 60, reason="budget: 5 of 5"), NOW)
    assert (row.status, row.due, row.reason) == (Status.HELD, NOW + 60, "budget: 5 of 5")
    turn(row, Change(1, Event.DUE), NOW + 60)
    assert (row.status, row.due, row.reason) == (Status.QUEUED, NOW + 60, "")


def test_a_lapsed_lease_is_due_at_once_but_a_row_put_off_stays_put_off() -> None:
    row = standing(Status.SENDING)
    turn(row, Change(1, Event.LAPSE), NOW)
    assert (row.status, row.due, row.tries) == (Status.QUEUED, NOW, 1)
    row = standing(Status.QUEUED, due=NOW + 30)
    turn(row, Change(1, Event.LAPSE), NOW)
    assert row.due == NOW + 30


@pytest.mark.parametrize("status", Status)
def test_a_receipt_always_wins_and_only_rises(status: Status) -> None:
    row = standing(status, what="undelivered", reason="expired", final_at=5 if status in FINAL else 0)
    assert turn(row, Change(1, Event.RECEIPT), NOW).reached == "received"
    assert (row.status, row.reached) == (Status.DONE, "received")
    if status is not Status.DONE:
        assert (row.what, row.reason, row.final_at) == ("", "", NOW)
    for said, reached in (("done", "done"), ("shown", "done"), ("received", "done")):
        assert turn(row, Change(1, Event.RECEIPT, reached=said), NOW + 9).reached == reached
    assert row.final_at == (5 if status is Status.DONE else NOW)


@pytest.mark.parametrize("event", [Event.NACK, Event.EXPIRE])
def test_a_dead_letter_says_whether_it_may_have_arrived(event: Event) -> None:
    for taken, what in (("", "undelivered"), ('{"git":5}', "unconfirmed")):
        row = standing(Status.QUEUED, taken=taken)
        turn(row, Change(1, event, reason="why"), NOW)
        assert (row.status, row.what, row.reason, row.final_at) == (Status.DEAD, what, "why", NOW)
    row = standing(Status.QUEUED)
    turn(row, Change(1, event, what="unconfirmed"), NOW)
    assert row.what == "unconfirmed"


@pytest.mark.parametrize(
    ("before", "what"),
    [
        (Change(1, Event.MISSED, lease=7), "undelivered"),
        (Change(1, Event.MISSED, lease=7, unsure=True), "unconfirmed"),
        (Change(1, Event.LAPSE), "unconfirmed"),
    ],
)
def test_what_may_have_left_is_never_called_undelivered(before: Change, what: str) -> None:
    row = standing(Status.SENDING)
    turn(row, before, NOW)
    turn(row, Change(1, Event.EXPIRE), NOW)
    assert row.what == what


def test_a_letter_that_a_road_once_took_stays_in_doubt_when_it_is_sent_again() -> None:
    row = standing(Status.DEAD, taken='{"git":5}')
    turn(row, Change(1, Event.REVIVE, until=EXP), NOW)
    turn(row, Change(1, Event.EXPIRE), NOW)
    assert row.what == "unconfirmed"


def test_a_refusal_is_kept_with_its_reason() -> None:
    row = standing(Status.SENDING)
    turn(row, Change(1, Event.REFUSE, reason="trust: level 2"), NOW)
    assert (row.status, row.what, row.reason, row.final_at) == (Status.REFUSED, "refused", "trust: level 2", NOW)


@pytest.mark.parametrize("event", [Event.NACK, Event.REFUSE])
@pytest.mark.parametrize("status", FINAL)
def test_what_is_final_stays_as_it_was_said_first(event: Event, status: Status) -> None:
    row = standing(status, what="undelivered", reason="first", final_at=5)
    turn(row, Change(1, event, reason="second"), NOW)
    assert row == standing(status, what="undelivered", reason="first", final_at=5)


@pytest.mark.parametrize("status", [Status.HELD, Status.DEAD, Status.REFUSED])
def test_a_revived_row_begins_anew(status: Status) -> None:
    row = standing(status, taken='{"git":5}', what="unconfirmed", reason="x", final_at=5)
    turn(row, Change(1, Event.REVIVE, until=EXP + HOUR), NOW)
    assert row == standing(Status.QUEUED, due=NOW, exp=EXP + HOUR, inc=0, seq=0, lease=0, tries=0, unsure=1)
    row = standing(status)
    turn(row, Change(1, Event.REVIVE), NOW)
    assert row.exp == EXP


def test_evidence_counts_a_try_only_with_its_lease() -> None:
    row = standing(Status.SENDING)
    turn(row, Change(1, Event.MISSED, lease=8, count_try=True), NOW)
    assert row.tries == 1
