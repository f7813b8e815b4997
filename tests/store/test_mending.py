"""The tables of repairs: how far a case is, how often it was escalated, and what is told with a receipt."""

from pathlib import Path

import pytest

from fleet.store import Store
from fleet.store.mending import DONE, FAILED, HEALED, REFUSED, Step


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "fleet.db")


def note(store: Store, level: int, state: str, at: int, peer: str = "b") -> None:
    with store.db.transaction():
        store.mending.note(Step(peer, "nats,http", level, state, at))


def levels(store: Store, since: int = 0, peer: str = "b") -> list[int]:
    return [step.level for step in store.mending.steps(peer, since)]


def test_the_steps_of_a_case_begin_after_it_was_last_healed(store: Store) -> None:
    for at, (level, state) in enumerate([(1, DONE), (2, DONE), (0, HEALED), (1, DONE), (2, FAILED)], 1):
        note(store, level, state, at)
    note(store, 3, DONE, 9, peer="c")
    assert levels(store) == [1, 2]
    assert levels(store, since=5) == [2]
    assert levels(store, peer="c") == [3]


def test_only_what_was_done_at_the_peer_counts_as_an_escalation(store: Store) -> None:
    steps = [(1, DONE), (2, DONE), (3, FAILED), (2, REFUSED), (4, DONE), (0, HEALED)]
    for at, (level, state) in enumerate(steps, 1):
        note(store, level, state, at)
    assert store.mending.spent("b", 0) == 2
    assert store.mending.spent("b", 3) == 1
    assert store.mending.spent("c", 0) == 0


def test_it_outlives_a_restart(tmp_path: Path) -> None:
    first = Store.open(tmp_path / "fleet.db")
    note(first, 2, DONE, 1)
    first.close()
    assert levels(Store.open(tmp_path / "fleet.db")) == [2]


def test_what_is_old_is_forgotten(store: Store) -> None:
    note(store, 1, DONE, 1)
    note(store, 2, DONE, 5)
    with store.db.transaction():
        store.mending.result(7, "reconnect nats: done")
        store.mending.retire(5)
    assert levels(store) == [2]
    assert store.db.conn.execute("SELECT count(*) FROM repaired").get == 0
