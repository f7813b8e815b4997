"""fleet/store/sequence.py: no number twice, also after a crash, a rollback or a restored backup."""

import shutil
from pathlib import Path

import pytest

from fleet.core import policy
from fleet.errors import DiskFull, StoreError
from fleet.store import Store, sequence
from fleet.store.sequence import ReserveFile
from tests.support.letters import HOUR, NOW, open_store

BLOCK = policy.SEQ_BLOCK


def restart(store: Store) -> Store:
    store.close()
    return open_store(store.db.path.parent)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "node"


def test_numbers_rise_from_one_per_peer(store: Store) -> None:
    seqs = store.sequence
    assert seqs.next("mac2") == 1
    assert seqs.take("mac2", 3, NOW) == (NOW, 1)
    assert seqs.take("mac2", 1, NOW + 9) == (NOW, 4)
    assert seqs.next("mac2") == 5
    assert seqs.take("mac3", 1, NOW + 9) == (NOW + 9, 1)
    assert seqs.current("mac2", NOW + 99) == NOW
    assert seqs.restored == []


def test_every_start_begins_a_new_block_of_the_same_incarnation(home: Path) -> None:
    store = open_store(home)
    with store.db.transaction():
        store.sequence.take("mac2", 7, NOW)
    store = restart(store)
    with store.db.transaction():
        assert store.sequence.current("mac2", NOW) == NOW
        assert store.sequence.next("mac2") == BLOCK + 1
        assert store.sequence.take("mac2", 1, NOW) == (NOW, BLOCK + 1)
    assert store.sequence.restored == []


def test_a_block_that_is_used_up_is_followed_by_the_next(store: Store) -> None:
    inc, first = store.sequence.take("mac2", BLOCK - 1, NOW)
    assert (inc, first) == (NOW, 1)
    assert store.sequence.take("mac2", 2, NOW) == (NOW, BLOCK)
    assert store.sequence.take("mac2", 3 * BLOCK, NOW) == (NOW, BLOCK + 2)
    assert store.sequence.take("mac2", 1, NOW) == (NOW, 4 * BLOCK + 2)


def test_the_block_is_written_down_beside_the_keys_before_use(home: Path) -> None:
    store = open_store(home)
    with store.db.transaction():
        store.sequence.take("mac2", 1, NOW)
        store.sequence.take("mac3", 1, NOW)
        path = home / "keys" / "reserve.json"
        assert path.read_bytes() == b'{"mac2":[%d,%d],"mac3":[%d,%d]}' % (NOW, BLOCK, NOW, BLOCK)
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_store_restored_from_a_backup_is_noticed_and_takes_a_new_incarnation(home: Path) -> None:
    store = open_store(home)
    with store.db.transaction():
        store.sequence.take("mac2", 1, NOW)
        store.sequence.take("mac3", 1, NOW)
    store.db.checkpoint()
    shutil.copy(home / "fleet.db", home / "backup")
    with store.db.transaction():
        store.sequence.take("mac2", BLOCK, NOW)
    store.close()
    shutil.copy(home / "backup", home / "fleet.db")
    store = open_store(home)
    with store.db.transaction():
        assert store.sequence.take("mac2", 1, NOW + HOUR) == (NOW + HOUR, 1)
        assert store.sequence.take("mac3", 1, NOW + HOUR) == (NOW, BLOCK + 1)
    assert store.sequence.restored == ["mac2"]


def test_a_backup_from_before_the_first_message_is_noticed_too(home: Path) -> None:
    store = open_store(home)
    store.db.checkpoint()
    shutil.copy(home / "fleet.db", home / "backup")
    with store.db.transaction():
        store.sequence.take("mac2", 1, NOW)
    store.close()
    shutil.copy(home / "backup", home / "fleet.db")
    store = open_store(home)
    with store.db.transaction():
        assert store.sequence.current("mac2", NOW) == NOW + 1
    assert store.sequence.restored == ["mac2"]


def test_without_the_reserve_file_the_store_is_believed(home: Path) -> None:
    store = open_store(home)
    with store.db.transaction():
        store.sequence.take("mac2", 1, NOW)
    (home / "keys" / "reserve.json").unlink()
    store = restart(store)
    with store.db.transaction():
        assert store.sequence.take("mac2", 1, NOW) == (NOW, BLOCK + 1)
    assert ReserveFile(home / "keys" / "reserve.json").mark("mac2") == (NOW, 2 * BLOCK)


def test_a_new_incarnation_is_above_everything_known(store: Store) -> None:
    store.sequence.take("mac2", 5, NOW)
    assert store.sequence.renew("mac2", NOW) == NOW + 1
    assert store.sequence.next("mac2") == 1
    assert store.sequence.renew("mac2", NOW + HOUR) == NOW + HOUR
    assert store.sequence.renew("mac2", NOW, above=NOW + 2 * HOUR) == NOW + 2 * HOUR + 1
    assert store.sequence.take("mac2", 1, NOW) == (NOW + 2 * HOUR + 1, 1)


def test_a_clock_that_jumped_back_does_not_lower_the_incarnation(home: Path) -> None:
    store = open_store(home)
    with store.db.transaction():
        store.sequence.take("mac2", 1, NOW)
    store = restart(store)
    with store.db.transaction():
        assert store.sequence.renew("mac2", 0) == NOW + 1


def test_numbers_of_a_transaction_that_was_undone_are_not_given_again(home: Path) -> None:
    store = open_store(home)
    with pytest.raises(ZeroDivisionError), store.db.transaction():
        store.sequence.take("mac2", 5, NOW)
        raise ZeroDivisionError
    with store.db.transaction():
        assert store.sequence.take("mac2", 5, NOW) == (NOW, 6)
    store = restart(store)
    with store.db.transaction():
        assert store.sequence.take("mac2", 1, NOW) == (NOW, BLOCK + 1)
    assert store.sequence.restored == []  # the rollback healed: the block is in the store after all


def test_a_crash_between_file_and_store_costs_an_incarnation_and_nothing_else(home: Path) -> None:
    store = open_store(home)
    store.db.begin()
    store.sequence.take("mac2", 5, NOW)
    store.db.rollback()
    store = restart(store)
    with store.db.transaction():
        assert store.sequence.take("mac2", 1, NOW) == (NOW + 1, 1)
    assert store.sequence.restored == ["mac2"]


def test_a_full_disk_gives_no_number(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise DiskFull

    with monkeypatch.context() as patch:
        patch.setattr(sequence, "atomic_write", fail)
        with pytest.raises(DiskFull):
            store.sequence.take("mac2", 1, NOW)
    assert store.sequence.take("mac2", 1, NOW) == (NOW, 1)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"mac2":[1]}', b'{"mac2":["a",1]}'])
def test_a_damaged_reserve_file_is_no_empty_one(home: Path, data: bytes) -> None:
    store = open_store(home)
    (home / "keys" / "reserve.json").write_bytes(data)
    with pytest.raises(StoreError, match=r"reserve\.json cannot be read"), store.db.transaction():
        store.sequence.take("mac2", 1, NOW)
    (home / "keys" / "reserve.json").unlink()
    (home / "keys" / "reserve.json").mkdir()
    with pytest.raises(StoreError, match="cannot be read"):
        ReserveFile(home / "keys" / "reserve.json").mark("mac2")


def test_by_default_the_keys_are_beside_the_database(home: Path) -> None:
    open_store(home).close()
    store = Store.open(home / "fleet.db")
    with store.db.transaction():
        store.sequence.take("mac2", 1, NOW)
    assert (home / "keys" / "reserve.json").exists()
