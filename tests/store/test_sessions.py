"""Sessions on the disk: opened, closed, and every handing over noted before it happens, so that nothing is shown twice."""

import pytest

from fleet.core import policy
from fleet.store import Store
from fleet.store.sessions import Session
from tests.support.letters import NOW, arrival

LEASE = policy.HANDOVER_LEASE


@pytest.fixture
def filed(store: Store) -> list[str]:
    """Two messages that nobody was shown yet."""
    arrivals = [arrival(1, 0), arrival(2, 0)]
    store.inbox.put_local("b", arrivals, NOW)
    return [one.envelope.id for one in arrivals]


def waiting(store: Store, now: int = NOW) -> dict[str, list[str]]:
    return {one.mail.id: one.had for one in store.sessions.pending(now, 100)}


def test_a_session_is_open_until_it_is_closed_and_again_when_it_goes_on(store: Store) -> None:
    one = Session("s", "claude", "reviewer", 7, 5, "/work", "main", True, 1, 2, 3)
    store.sessions.put(one)
    assert store.sessions.open_ones() == [one]
    store.sessions.close(["s"], NOW)
    assert store.sessions.open_ones() == []
    store.sessions.put(one)
    assert store.sessions.open_ones() == [one]


def test_unread_mail_waits_and_mail_under_way_does_not(store: Store, filed: list[str]) -> None:
    first, second = filed
    assert store.sessions.offer([first], "s", NOW) == [first]
    assert waiting(store) == {second: []}


def test_two_sessions_cannot_both_be_handed_a_message(store: Store, filed: list[str]) -> None:
    id = filed[0]
    assert store.sessions.offer([id], "s", NOW) == [id]
    assert store.sessions.offer([id], "t", NOW + LEASE - 1) == []


def test_after_the_lease_another_session_may_have_it_and_the_first_never_again(
    store: Store, filed: list[str]
) -> None:
    id, other = filed
    store.sessions.offer([id], "s", NOW)
    later = NOW + LEASE
    assert waiting(store, later) == {id: ["s"], other: []}
    assert store.sessions.offer([id], "s", later) == []
    assert store.sessions.offer([id], "t", later) == [id]


def test_what_was_confirmed_is_neither_waiting_nor_doubtful(store: Store, filed: list[str]) -> None:
    id, other = filed
    store.sessions.offer([id], "s", NOW)
    store.sessions.confirm([id], "s", NOW + 1)
    store.inbox.mark_shown([id], "s", NOW + 1)
    assert waiting(store, NOW + LEASE) == {other: []}
    assert store.sessions.doubtful("s", NOW + 2 * LEASE, 10) == []


def test_a_handing_over_that_was_cut_short_is_named_once(store: Store, filed: list[str]) -> None:
    id = filed[0]
    store.sessions.offer([id], "s", NOW)
    assert store.sessions.doubtful("s", NOW + LEASE - 1, 10) == []
    assert [mail.id for mail in store.sessions.doubtful("s", NOW + LEASE, 10)] == [id]
    assert store.sessions.doubtful("t", NOW + LEASE, 10) == []
    store.sessions.name([id], "s", NOW + LEASE)
    assert store.sessions.doubtful("s", NOW + 2 * LEASE, 10) == []


def test_what_certainly_never_went_out_may_be_offered_again(store: Store, filed: list[str]) -> None:
    id, other = filed
    store.sessions.offer([id], "s", NOW)
    store.sessions.withdraw([id], "s")
    assert waiting(store) == {id: [], other: []}
    assert store.sessions.offer([id], "s", NOW) == [id]


def test_mail_that_a_person_read_meanwhile_is_not_offered(store: Store, filed: list[str]) -> None:
    id = filed[0]
    store.inbox.mark_shown([id], "", NOW)
    assert store.sessions.offer([id], "s", NOW) == []


def test_only_what_is_old_and_whose_message_is_gone_is_forgotten(
    store: Store, filed: list[str]
) -> None:
    id = filed[0]
    for message in (id, "f" * 32):
        store.sessions.confirm([message], "s", NOW)
    store.sessions.retire(NOW + 1)
    kept = store.db.conn.execute("SELECT message FROM showing").fetchall()
    assert kept == [(id,)]
