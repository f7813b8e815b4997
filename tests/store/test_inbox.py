"""fleet/store/inbox.py: mail for people and agents: shown, done, receipted, forgotten."""

import pytest

from fleet.core import policy
from fleet.core.lifecycle import State
from fleet.core.receipt import Fate
from fleet.errors import Conflict
from fleet.store import Store
from fleet.store.inbox import Arrival, Mail
from tests.support.letters import HOUR, NOW, arrival, copy, id_of


def receive(store: Store, *numbers: int, sender: str = "mac1", owed: bool = False, now: int = NOW) -> None:
    arrivals = [arrival(n, n, exp=NOW + HOUR) for n in numbers]
    got = store.inbox.receive(copy(sender=sender, owed=owed, road="git"), arrivals, now)
    assert {entry.fate for entry in got.entries} == {Fate.STORED}


def ids(mails: list[Mail]) -> list[str]:
    return [mail.id for mail in mails]


def fates(store: Store, peer: str | None = "mac1") -> dict[str, str]:
    return {one.id: one.fate.value for one in store.inbox.owed(peer, 100)}


def test_new_mail_is_listed_oldest_first_until_it_was_shown(store: Store) -> None:
    receive(store, 3, 1, 2)
    assert ids(store.inbox.unshown(10)) == [id_of(3), id_of(1), id_of(2)]
    assert ids(store.inbox.unshown(2)) == [id_of(3), id_of(1)]
    assert store.inbox.mark_shown([id_of(1), id_of(2), id_of(9)], "claude-7", NOW + 5) == [id_of(1), id_of(2)]
    assert ids(store.inbox.unshown(10)) == [id_of(3)]
    assert store.inbox.mark_shown([id_of(1), id_of(3)], "codex-1", NOW + 6) == [id_of(3)]
    assert ids(store.inbox.unshown(10, all=True)) == [id_of(3), id_of(1), id_of(2)]
    assert ids(store.inbox.unshown(2, all=True)) == [id_of(1), id_of(2)]
    shown = store.inbox.get(id_of(1))
    assert shown is not None
    assert (shown.state, shown.session, shown.shown_at, shown.done_at) == (State.SHOWN, "claude-7", NOW + 5, 0)


def test_done_is_said_once_and_from_any_state(store: Store) -> None:
    receive(store, 1, 2)
    store.inbox.mark_shown([id_of(1)], "s", NOW)
    assert [store.inbox.mark_done(id_of(n), NOW + 9) for n in (1, 2, 1, 7)] == [True, True, False, False]
    done = store.inbox.get(id_of(1))
    assert done is not None
    assert (done.state, done.done_at, done.shown_at) == (State.DONE, NOW + 9, NOW)
    assert store.inbox.unshown(10) == []
    assert store.inbox.mark_shown([id_of(1)], "t", NOW) == []


def test_the_sender_is_told_how_far_its_mail_came(store: Store) -> None:
    receive(store, 1, 2, 3)
    assert store.inbox.peers_owed() == []
    store.inbox.mark_shown([id_of(1), id_of(2)], "s", NOW)
    store.inbox.mark_done(id_of(2), NOW)
    assert fates(store) == {id_of(1): "shown", id_of(2): "done"}
    assert store.inbox.peers_owed() == ["mac1"]


def test_a_receipt_is_owed_by_name_for_one_or_for_all(store: Store) -> None:
    receive(store, 1, 2, owed=True)
    receive(store, 1, 2, sender="mac9", owed=True)
    assert store.inbox.peers_owed() == ["mac1", "mac9"]
    first = store.inbox.owed("mac1", 1)[0]
    assert (first.peer, first.id, first.seq, first.road, first.pid) == ("mac1", id_of(1), 1, "git", f"{1:032x}")
    assert [one.peer for one in store.inbox.owed(None, 100)] == ["mac1", "mac1", "mac9", "mac9"]
    assert [one.peer for one in store.inbox.owed(None, 3)] == ["mac1", "mac1", "mac9"]
    assert store.inbox.owed("mac2", 100) == []


def test_what_moved_on_while_its_receipt_travelled_stays_owed(store: Store) -> None:
    receive(store, 1, 2, 3, owed=True)
    told = store.inbox.owed("mac1", 100)
    store.inbox.mark_shown([id_of(2)], "s", NOW)
    store.inbox.receive(copy(2, owed=True), [arrival(3, 3, exp=NOW + HOUR)], NOW)
    store.inbox.clear_owed(told)
    assert fates(store) == {id_of(2): "shown", id_of(3): "stored"}
    store.inbox.clear_owed(store.inbox.owed("mac1", 100))
    assert fates(store) == {}
    store.inbox.mark_done(id_of(2), NOW)
    assert fates(store) == {id_of(2): "done"}


def test_a_refusal_that_came_again_stays_owed_too(store: Store) -> None:
    refused = arrival(1, 1, refuse="no")
    store.inbox.receive(copy(1, owed=True), [refused], NOW)
    told = store.inbox.owed("mac1", 100)
    store.inbox.receive(copy(2, owed=True), [refused], NOW)
    store.inbox.clear_owed(told)
    assert fates(store) == {id_of(1): "refused"}
    store.inbox.clear_owed(store.inbox.owed("mac1", 100))
    assert store.inbox.peers_owed() == []


def own(n: int, body: str = "") -> Arrival:
    return arrival(n, 0, body=body)


def test_mail_to_oneself_goes_straight_in_and_nobody_is_told(store: Store) -> None:
    assert store.inbox.put_local("mac2", [own(1), own(2)], NOW) == [1, 2]
    mail = store.inbox.get(id_of(1))
    assert mail is not None
    assert (mail.sender, mail.road, mail.level, mail.state) == ("mac2", "", policy.TRUST_CEILING, State.RECEIVED)
    store.inbox.mark_shown([id_of(1)], "s", NOW)
    assert store.inbox.peers_owed() == []
    store.inbox.mark_done(id_of(1), NOW)
    assert store.inbox.peers_owed() == []


def test_mail_to_oneself_comes_in_once(store: Store) -> None:
    store.inbox.put_local("mac2", [own(1)], NOW)
    assert store.inbox.put_local("mac2", [own(1), own(2), own(2)], NOW) == [2]
    assert store.inbox.put_local("mac2", [], NOW) == []
    with pytest.raises(Conflict, match=id_of(2)):
        store.inbox.put_local("mac2", [own(3), own(2, "other")], NOW)
    assert ids(store.inbox.unshown(10)) == [id_of(1), id_of(2)]


def test_the_first_of_two_with_one_id_is_found(store: Store) -> None:
    receive(store, 1)
    receive(store, 1, sender="mac9")
    mail = store.inbox.get(id_of(1))
    assert mail is not None
    assert mail.sender == "mac1"
    assert store.inbox.get(id_of(2)) is None


def test_only_read_receipted_and_expired_mail_is_forgotten(store: Store) -> None:
    receive(store, 1, 2, 3, 4)
    store.inbox.receive(copy(), [arrival(5, 5, exp=NOW + 9 * HOUR)], NOW)
    store.inbox.mark_shown([id_of(n) for n in (1, 2, 3, 5)], "s", NOW)
    store.inbox.clear_owed([one for one in store.inbox.owed("mac1", 100) if one.id != id_of(3)])
    assert store.inbox.retire(NOW + HOUR) == 0
    assert store.inbox.retire(NOW + HOUR + 1, limit=1) == 1
    assert store.inbox.retire(NOW + HOUR + 1) == 1
    assert ids(store.inbox.unshown(10, all=True)) == [id_of(3), id_of(4), id_of(5)]
    assert store.inbox.retire(NOW + 9 * HOUR + 1) == 1


def test_old_refusals_are_forgotten_when_their_mail_is_worthless(store: Store) -> None:
    store.inbox.receive(copy(), [arrival(1, 1, exp=NOW + HOUR, refuse="no")], NOW)
    assert store.inbox.retire(NOW + HOUR) == 0
    assert store.inbox.retire(NOW + HOUR + 1) == 1
    entry = store.inbox.receive(copy(), [arrival(1, 1, exp=NOW + HOUR)], NOW).entries[0]
    assert entry.fate is Fate.CLOSED  # its number is remembered


def test_a_large_inbox_is_not_walked_through(store: Store) -> None:
    arrivals = [arrival(n, n) for n in range(1, 2001)]
    for at in range(0, 2000, 250):
        store.inbox.receive(copy(), arrivals[at : at + 250], NOW)
    store.inbox.mark_shown([one.envelope.id for one in arrivals], "s", NOW)
    store.inbox.clear_owed(store.inbox.owed(None, 5000))
    steps = 0

    def count() -> bool:
        nonlocal steps
        steps += 1
        return False

    store.db.conn.set_progress_handler(count, 10)
    assert store.inbox.unshown(10) == []
    assert store.inbox.owed(None, 10) == []
    assert len(store.inbox.unshown(10, all=True)) == 10
    assert store.inbox.get(id_of(3)) is not None
    store.db.conn.set_progress_handler(None)
    assert steps < 60
