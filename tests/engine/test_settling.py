"""What a verified receipt does to the rows its parcel carried."""

import pytest

from fleet.core.lifecycle import Event, State
from fleet.core.receipt import SEQ_USED, STALE_INC, Fate, Receipt
from fleet.engine.settling import settle
from fleet.store.outbox import Change, Row
from tests.engine.parts import entry, row

NOW = 1_000_000
PID = "a" * 32


def receipt(*entries: object, **changes: object) -> Receipt:
    return Receipt(**{"pid": PID, "road": "nats", "entries": tuple(entries)} | changes)


def only(made: object) -> Change:
    (change,) = made.changes  # type: ignore[attr-defined]
    return change


@pytest.mark.parametrize(
    ("fate", "reached"),
    [(Fate.STORED, "received"), (Fate.DUPLICATE, "received"), (Fate.SHOWN, "shown"), (Fate.DONE, "done")],
)
def test_a_good_fate_settles_a_row_and_says_how_far_it_came(fate: Fate, reached: str) -> None:
    one = row(1)
    made = settle(receipt(entry(one, fate)), [one], NOW)
    assert only(made) == Change(1, Event.RECEIPT, reached=State(reached))
    assert made.settled == {1}


def test_a_good_fate_settles_a_row_whatever_its_seq() -> None:
    one = row(1, seq=9)
    assert only(settle(receipt(entry(one, Fate.STORED, seq=4)), [one], NOW)).event is Event.RECEIPT


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.LATER, Fate.EXPIRED, Fate.CLOSED])
def test_a_bad_fate_counts_for_the_current_seq_only(fate: Fate) -> None:
    one = row(1, seq=9)
    made = settle(receipt(entry(one, fate, seq=4)), [one], NOW)
    assert (made.changes, made.settled) == ([], set())


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.LATER, Fate.EXPIRED, Fate.CLOSED])
def test_a_bad_fate_counts_once_for_a_parcel(fate: Fate) -> None:
    one = row(1)
    assert settle(receipt(entry(one, fate)), [one], NOW, fresh=False).changes == []


def test_a_good_fate_counts_also_the_second_time() -> None:
    one = row(1)
    assert settle(receipt(entry(one, Fate.STORED)), [one], NOW, fresh=False).changes != []


def test_a_refusal_names_who_refused_and_why() -> None:
    one = row(1)
    made = settle(receipt(entry(one, Fate.REFUSED, reason="trust: level 2")), [one], NOW)
    assert only(made) == Change(1, Event.REFUSE, reason="the peer: trust: level 2")


@pytest.mark.parametrize("fate", [Fate.EXPIRED, Fate.CLOSED])
def test_expired_and_closed_mail_is_dead(fate: Fate) -> None:
    one = row(1)
    assert only(settle(receipt(entry(one, fate)), [one], NOW)) == Change(1, Event.NACK, reason=f"the peer: {fate}")


def test_later_waits_as_long_as_the_peer_says_and_ends_the_roads_hold() -> None:
    one = row(1)
    made = settle(receipt(entry(one, Fate.LATER, reason="window full", retry_after=60.0), road="git"), [one], NOW)
    assert only(made) == Change(1, Event.LATER, due=NOW + 60_000, road="git", reason="later: window full")


def test_later_without_a_time_waits_a_few_seconds() -> None:
    one = row(1)
    assert only(settle(receipt(entry(one, Fate.LATER)), [one], NOW)).due == NOW + 5_000


@pytest.mark.parametrize("reason", [SEQ_USED, STALE_INC])
def test_a_disputed_number_asks_for_an_incarnation_above_the_highest_known(reason: str) -> None:
    one = row(1)
    made = settle(receipt(entry(one, Fate.CLOSED, reason=reason), inc=77), [one], NOW)
    assert made.renew_above == 77
    assert only(made) == Change(1, Event.LATER, due=NOW, road="nats", reason=f"later: {reason}")


def test_an_incarnation_is_never_renewed_below_ones_own() -> None:
    one = row(1)
    assert settle(receipt(entry(one, Fate.CLOSED, reason=SEQ_USED), inc=1), [one], NOW).renew_above == one.inc


def test_another_digest_settles_nothing_and_is_counted() -> None:
    one = row(1)
    made = settle(receipt(entry(one, Fate.STORED, digest=bytes(32))), [one], NOW)
    assert (made.changes, made.wrong) == ([], 1)


def test_ids_the_parcel_did_not_carry_are_passed_over() -> None:
    assert settle(receipt(entry(row(2), Fate.STORED)), [row(1)], NOW).changes == []


def test_each_row_gets_its_own_fate() -> None:
    rows: list[Row] = [row(1), row(2), row(3)]
    made = settle(receipt(entry(rows[0], Fate.STORED), entry(rows[2], Fate.REFUSED, reason="no")), rows, NOW)
    assert [(change.row, change.event) for change in made.changes] == [(1, Event.RECEIPT), (3, Event.REFUSE)]
    assert made.settled == {1, 3}


def test_a_receipt_without_envelopes_answers_the_whole_parcel() -> None:
    rows = [row(1), row(2)]
    good = settle(receipt(), rows, NOW)
    assert [change.event for change in good.changes] == [Event.RECEIPT] * 2
    reseal = settle(receipt(fate=Fate.LATER, reason="re-seal", retry_after=0.5), rows, NOW)
    assert [(change.event, change.due) for change in reseal.changes] == [(Event.LATER, NOW + 500)] * 2
