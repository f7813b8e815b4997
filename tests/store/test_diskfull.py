"""A disk that is full or fails at any single operation: nothing is half-written, the error has a name, and life goes on."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from fleet.core import policy
from fleet.core.lifecycle import Event
from fleet.errors import DiskFull, StoreError
from fleet.store import Store
from fleet.store.outbox import Change
from tests.store.test_powerloss import content_of
from tests.support.letters import NOW, arrival, copy, draft, drafts, open_store
from tests.support.powerloss import Disk, Op


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[Disk]:
    made = Disk(f"full {request.node.name}")
    yield made
    made.close()


class Failure:
    """Lets `number` operations pass, then every further one fails until it is mended."""

    def __init__(self, disk: Disk, error: type[apsw.Error]) -> None:
        self._disk = disk
        self._error = error

    def after(self, number: int) -> None:
        left = number

        def fail(op: Op) -> None:
            nonlocal left
            if left == 0:
                raise self._error("planned")
            left -= 1

        self._disk.fail = fail

    def mend(self) -> None:
        self._disk.fail = lambda op: None


def work(store: Store, turn: int) -> None:
    """One transaction that writes to every table that mail needs."""
    with store.db.transaction():
        store.outbox.submit(drafts(range(10 * turn, 10 * turn + 4)), NOW)
        rows = store.outbox.next_due("mac2", NOW, floor=0, limit=4)
        number = store.ledger.open_parcel(f"{turn:032x}", "mac2", [row.row for row in rows], NOW, NOW)
        store.outbox.lease(rows, number, 5, 4 * turn + 1, NOW, NOW + 9)
        store.outbox.apply([Change(rows[0].row, Event.RECEIPT)], NOW)
        seqs = range(3 * turn + 1, 3 * turn + 4)
        arrivals = [arrival(1000 + seq, seq, refuse="no" if seq % 3 == 0 else "") for seq in seqs]
        store.inbox.receive(copy(turn), arrivals, NOW)


@pytest.mark.parametrize(("error", "kind"), [(apsw.FullError, DiskFull), (apsw.IOError, StoreError)])
def test_an_error_at_any_operation_undoes_the_whole_transaction(
    tmp_path: Path, disk: Disk, error: type[apsw.Error], kind: type[StoreError]
) -> None:
    store = open_store(tmp_path, vfs=disk.name)
    failure = Failure(disk, error)
    failed = 0
    for turn in range(1, 400):
        before = content_of(store)
        failure.after(turn - 1)
        try:
            work(store, turn)
        except StoreError as caught:
            assert type(caught) is kind
            failed += 1
            failure.mend()
            assert content_of(store) == before
            work(store, turn)
        else:
            failure.mend()
            break
    assert failed > 15
    assert content_of(store) != before
    assert store.db.integrity() == []
    store.close()
    again = open_store(tmp_path)
    assert len(again.inbox.unshown(9999)) == 2 * turn
    again.close()


def test_jobs_that_share_a_transaction_fail_together_when_the_commit_fails(tmp_path: Path, disk: Disk) -> None:
    store = open_store(tmp_path, vfs=disk.name)
    store.db.begin()
    for n in range(3):
        with store.db.transaction():
            store.outbox.submit([draft(n)], NOW)
    Failure(disk, apsw.FullError).after(0)
    with pytest.raises(DiskFull):
        store.db.commit()
    store.db.rollback()
    assert store.outbox.list_open(9) == []
    Failure(disk, apsw.FullError).mend()
    with store.db.transaction():
        assert store.outbox.submit([draft(0)], NOW) == ["accepted"]
    store.close()


def test_when_sqlite_undoes_everything_the_commit_does_not_pretend(tmp_path: Path) -> None:
    """FULL in the middle of a statement ends the whole transaction, not just the part that met it."""
    store = open_store(tmp_path)
    store.db.begin()
    store.outbox.submit([draft(1)], NOW)
    store.db.conn.pragma("max_page_count", store.db.conn.pragma("page_count") + 3)
    with pytest.raises(DiskFull), store.db.transaction():
        store.outbox.submit([draft(n, body="x" * 4000) for n in range(2, 50)], NOW)
    with pytest.raises(StoreError):
        store.db.commit()
    store.db.rollback()
    assert store.outbox.list_open(99) == []
    store.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    path = tmp_path / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


@pytest.mark.tier("hosts")
def test_on_a_really_full_disk_nothing_is_half_accepted_and_the_ballast_helps(small: Path) -> None:
    store = open_store(small)
    store.db.make_ballast()
    accepted = 0
    with pytest.raises(DiskFull):
        while True:
            batch = [draft(n, body="x" * 20_000) for n in range(accepted, accepted + 10)]
            with store.db.transaction():
                store.outbox.submit(batch, NOW)
            accepted += 10
    assert accepted > 100
    assert len(store.outbox.list_open(9999)) == accepted
    (small / "rest").write_bytes(bytes(store.db.free_space()))
    assert store.db.free_space() == 0
    rows = [row.row for row in store.outbox.list_open(9999)]
    assert store.db.drop_ballast()
    assert store.db.free_space() >= policy.BALLAST
    with store.db.transaction():
        store.outbox.apply([Change(row, Event.NACK) for row in rows[:100]], NOW)
        assert store.outbox.retire(NOW + 1) == 100
    with pytest.raises(DiskFull):
        for n in range(accepted, accepted + 1000):
            with store.db.transaction():
                store.outbox.submit([draft(n, body="x" * 200_000)], NOW)
    assert store.db.integrity() == []
    store.close()
