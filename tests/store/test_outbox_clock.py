"""fleet/store/outbox.py, when the wall clock is set: what waits goes along, what expires does not."""

from fleet.core.lifecycle import Event
from fleet.store import Store
from fleet.store.outbox import Change
from tests.support.letters import HOUR, NOW, WEEK, draft, id_of

BACK = -HOUR


def row(store: Store, n: int):  # type: ignore[no-untyped-def]
    found = store.outbox.get(id_of(n))
    assert found is not None
    return found


def taken(store: Store, n: int, until: int) -> None:
    """Submit message n and let git take it."""
    store.outbox.submit([draft(n)], NOW)
    rows = store.outbox.next_due("mac2", NOW, floor=0)
    store.outbox.lease(rows, 7, 5, n, NOW, NOW + 60_000)
    store.outbox.apply([Change(rows[0].row, Event.TAKEN, lease=7, road="git", until=until)], NOW)


def test_what_waits_becomes_due_as_much_earlier(store: Store) -> None:
    store.outbox.submit([draft(1)], NOW)
    store.outbox.shift(BACK)
    assert row(store, 1).due == NOW + BACK
    assert row(store, 1).exp == NOW + WEEK


def test_the_patience_of_a_road_goes_along(store: Store) -> None:
    taken(store, 1, NOW + 120_000)
    store.outbox.shift(BACK)
    assert row(store, 1).taken == {"git": NOW + 120_000 + BACK}
    assert row(store, 1).due == NOW + 120_000 + BACK


def test_nothing_becomes_due_after_its_expiry(store: Store) -> None:
    store.outbox.submit([draft(1, exp=NOW + 1000)], NOW)
    store.outbox.shift(HOUR)
    assert row(store, 1).due == NOW + 1000


def test_what_is_finished_is_left_alone(store: Store) -> None:
    taken(store, 1, NOW + 120_000)
    store.outbox.apply([Change(row(store, 1).row, Event.RECEIPT)], NOW)
    before = row(store, 1)
    store.outbox.shift(BACK)
    assert row(store, 1) == before
