"""The audit chain: what is added is there, in order, and whoever touches it is seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.store import Store
from fleet.store.keys import KeyRing
from fleet.store.notary import Notary

NOW = 1_700_000_000_000


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing.make(tmp_path / "keys", "mac1", "home")


@pytest.fixture
def store(tmp_path: Path, ring: KeyRing) -> Iterator[Store]:
    found = Store.open(tmp_path / "fleet.db", tmp_path / "keys")
    found.audit.use(Notary.of(ring))
    yield found
    found.close()


def fill(store: Store, n: int = 50) -> None:
    for i in range(n):
        with store.db.transaction():
            store.audit.add("alarm", peer=f"peer{i % 5}", details={"reason": f"reason {i}", "count": i}, now=NOW + i)


def test_a_chain_that_nobody_touched_is_whole(store: Store) -> None:
    fill(store)
    checked = store.audit.verify()
    assert (checked.ok, checked.entries, checked.failed_at, checked.reason) == (True, 50, None, "")


def test_what_was_added_is_there_in_order(store: Store) -> None:
    fill(store, 3)
    assert [(e.seq, e.kind, e.peer, e.details["count"]) for e in store.audit.entries()] == [
        (1, "alarm", "peer0", 0), (2, "alarm", "peer1", 1), (3, "alarm", "peer2", 2),
    ]  # fmt: skip
