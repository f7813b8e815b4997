"""fleet/store/reception.py: one parcel, every fate, in the order in which the questions are asked."""

import pytest

from fleet.core import policy
from fleet.core.receipt import SEQ_USED, Entry, Fate
from fleet.store import Store
from fleet.store.inbox import Arrival, Received
from fleet.store.reception import ID_REUSED
from tests.support.letters import HOUR, NOW, arrival, copy, draft, id_of


def receive(store: Store, *arrivals: Arrival, now: int = NOW, **how: object) -> Received:
    return store.inbox.receive(copy(**how), arrivals, now)


def fates(received: Received) -> list[str]:
    return [entry.fate.value for entry in received.entries]


def in_inbox(store: Store) -> list[str]:
    return [mail.id for mail in store.inbox.unshown(1000, all=True)]


def test_new_mail_is_stored_once_and_answered_in_order(store: Store) -> None:
    got = receive(store, arrival(2, 2), arrival(1, 1))
    assert got.entries == [
        Entry(id_of(2), 2, draft(2).digest, Fate.STORED),
        Entry(id_of(1), 1, draft(1).digest, Fate.STORED),
    ]
    assert (got.fresh, got.inc, got.repeated, got.alarms) == ([1, 2], 0, [], [])
    assert in_inbox(store) == [id_of(2), id_of(1)]


def test_an_empty_parcel_does_nothing(store: Store) -> None:
    assert receive(store).entries == []


def test_a_duplicate_has_no_effect_and_gets_its_answer_again(store: Store) -> None:
    receive(store, arrival(1, 1))
    for _ in range(3):
        again = receive(store, arrival(1, 1))
        assert fates(again) == ["duplicate"]
        assert again.fresh == []
    assert in_inbox(store) == [id_of(1)]


def test_a_known_id_is_a_duplicate_whatever_its_number(store: Store) -> None:
    receive(store, arrival(1, 5))
    for how in ({"low": 9}, {"inc": 4}, {"inc": 6}, {}):
        for seq in (1, 5, 7):
            assert fates(receive(store, arrival(1, seq), **how)) == ["duplicate"]
    assert fates(receive(store, arrival(1, 1, expired=True, refuse="no", later="unsure"))) == ["duplicate"]


def test_the_same_id_of_another_sender_is_another_message(store: Store) -> None:
    receive(store, arrival(1, 1))
    assert fates(receive(store, arrival(1, 1), sender="mac9")) == ["stored"]
    assert len(in_inbox(store)) == 2


def test_the_same_message_twice_in_one_parcel_comes_in_once(store: Store) -> None:
    got = receive(store, arrival(1, 1), arrival(1, 1), arrival(2, 2, refuse="no"), arrival(2, 2, refuse="no"))
    assert fates(got) == ["stored", "duplicate", "refused", "refused"]
    assert got.fresh == [1]


def test_an_id_with_another_content_is_refused_and_an_alarm(store: Store) -> None:
    receive(store, arrival(1, 1), arrival(2, 2, refuse="no"))
    got = receive(store, arrival(1, 3, body="changed"), arrival(2, 4, body="changed"))
    assert [(entry.fate, entry.reason) for entry in got.entries] == [(Fate.REFUSED, ID_REUSED)] * 2
    assert got.alarms == [f"mac1: {id_of(n)} came again with another content" for n in (1, 2)]
    assert fates(receive(store, arrival(3, 3))) == ["stored"]  # the lie used no number up


def test_a_refusal_is_remembered_with_its_reason(store: Store) -> None:
    assert fates(receive(store, arrival(1, 1, refuse="trust: task needs level 3"))) == ["refused"]
    again = receive(store, arrival(1, 1)).entries[0]
    assert (again.fate, again.reason) == (Fate.REFUSED, "trust: task needs level 3")
    assert in_inbox(store) == []
    assert fates(receive(store, arrival(2, 1))) == ["closed"]  # it used its number up


def test_expired_mail_is_answered_and_answered_the_same_again(store: Store) -> None:
    assert fates(receive(store, arrival(1, 1, expired=True, refuse="no"))) == ["expired"]
    assert fates(receive(store, arrival(1, 1))) == ["expired"]
    assert in_inbox(store) == []


def test_what_is_put_off_uses_nothing_up(store: Store) -> None:
    got = receive(store, arrival(1, 1, later="clock unsure")).entries[0]
    assert (got.fate, got.reason, got.retry_after) == (Fate.LATER, "clock unsure", policy.BACKOFF_CAP)
    assert fates(receive(store, arrival(1, 1))) == ["stored"]


def test_below_low_nothing_new_is_stored(store: Store) -> None:
    assert fates(receive(store, arrival(1, 3), low=3)) == ["stored"]
    got = receive(store, arrival(2, 2), low=1)
    assert fates(got) == ["closed"]
    assert (got.inc, got.alarms) == (0, [])


def test_a_number_used_before_is_closed_with_the_highest_incarnation(store: Store) -> None:
    receive(store, arrival(1, 1))
    receive(store, arrival(9, 1), inc=8)
    got = receive(store, arrival(2, 1))
    assert [(entry.fate, entry.reason) for entry in got.entries] == [(Fate.CLOSED, SEQ_USED)]
    assert (got.inc, got.alarms) == (8, [])


# ── owed receipts ────────────────────────────────────────────────────────────────────────────────────────────────────


def owed(store: Store, peer: str = "mac1") -> dict[str, tuple[str, str, str]]:
    return {one.id: (one.fate.value, one.pid[-2:], one.road) for one in store.inbox.owed(peer, 100)}


def test_a_road_with_a_way_back_owes_nothing(store: Store) -> None:
    receive(store, arrival(1, 1), arrival(2, 2, refuse="no"))
    receive(store, arrival(1, 1), n=2)
    assert owed(store) == {}


def test_a_one_way_road_owes_a_receipt_for_every_answer_that_is_kept(store: Store) -> None:
    receive(store, arrival(1, 1), arrival(2, 2, refuse="why"), arrival(3, 3, expired=True), road="git", owed=True)
    assert owed(store) == {
        id_of(1): ("stored", "01", "git"),
        id_of(2): ("refused", "01", "git"),
        id_of(3): ("expired", "01", "git"),
    }
    reasons = {one.id: one.reason for one in store.inbox.owed("mac1", 100)}
    assert reasons == {id_of(1): "", id_of(2): "why", id_of(3): ""}


def test_a_duplicate_sets_owed_again_for_its_own_copy(store: Store) -> None:
    both = (arrival(1, 1), arrival(2, 2, refuse="no"))
    receive(store, *both, road="git", owed=True)
    store.inbox.clear_owed(store.inbox.owed("mac1", 100))
    assert owed(store) == {}
    receive(store, *both, n=2, road="cloud", owed=True)
    assert owed(store) == {id_of(1): ("stored", "02", "cloud"), id_of(2): ("refused", "02", "cloud")}


def test_a_duplicate_on_a_road_with_a_way_back_takes_no_debt_away(store: Store) -> None:
    both = (arrival(1, 1), arrival(2, 2, refuse="no"))
    receive(store, *both, road="git", owed=True)
    receive(store, *both, n=2)
    assert set(owed(store)) == {id_of(1), id_of(2)}


def test_from_the_second_duplicate_on_the_receipt_also_goes_its_own_way(store: Store) -> None:
    both = (arrival(1, 1), arrival(2, 2, refuse="no"))
    receive(store, *both)
    assert receive(store, *both, n=2).repeated == []
    assert owed(store) == {}
    assert receive(store, *both, n=3).repeated == [id_of(1), id_of(2)]
    assert owed(store) == {id_of(1): ("stored", "03", "nats"), id_of(2): ("refused", "03", "nats")}


# ── the numbers of one incarnation ───────────────────────────────────────────────────────────────────────────────────


def test_too_many_gaps_are_put_off_until_low_rises(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "WINDOW_RANGES", 3)
    receive(store, arrival(1, 2), arrival(2, 4), arrival(3, 6))
    got = receive(store, arrival(4, 8)).entries[0]
    assert (got.fate, got.reason, got.retry_after) == (Fate.LATER, "window full", policy.BACKOFF_CAP)
    assert fates(receive(store, arrival(5, 7), arrival(6, 3), arrival(7, 1))) == ["stored"] * 3  # beside a range
    assert fates(receive(store, arrival(8, 9), arrival(9, 11))) == ["stored", "later"]  # the ranges had become fewer
    assert fates(receive(store, arrival(4, 8), low=8)) == ["stored"]


def test_rows_are_numbered_and_never_twice(store: Store) -> None:
    assert receive(store, arrival(1, 1), arrival(2, 2, refuse="no"), arrival(3, 3)).fresh == [1, 2]
    assert receive(store, arrival(1, 1), arrival(4, 4)).fresh == [4]


def test_mail_is_kept_as_it_came(store: Store) -> None:
    receive(store, arrival(1, 1, exp=NOW + HOUR), now=NOW + 7, road="ssh")
    mail = store.inbox.get(id_of(1))
    assert mail is not None
    assert (mail.sender, mail.level, mail.received, mail.exp, mail.road) == ("mac1", 2, NOW + 7, NOW + HOUR, "ssh")
    assert (mail.content, mail.digest) == (draft(1, exp=NOW + HOUR).content, draft(1, exp=NOW + HOUR).digest)
