"""fleet/store/database.py: one file, durable, migrated, with the house's errors."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest

from fleet.core import policy
from fleet.errors import DiskFull, GateRefused, NewerStore, StoreError
from fleet.store import database
from fleet.store.database import MIGRATIONS, Database
from tests.support.letters import open_store

SET = "INSERT INTO meta (key, value) VALUES (?, ?)"


def keys_in(db: Database) -> list[str]:
    return [key for (key,) in db.conn.execute("SELECT key FROM meta ORDER BY key")]


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return Database.open(tmp_path / "node" / "fleet.db")


def test_every_promise_of_durability_is_switched_on(db: Database) -> None:
    assert db.conn.pragma("journal_mode") == "wal"
    assert db.conn.pragma("synchronous") == 2
    assert db.conn.pragma("fullfsync") == 1
    assert db.conn.pragma("checkpoint_fullfsync") == 1
    assert db.conn.pragma("journal_size_limit") == policy.WAL_LIMIT
    assert db.conn.pragma("mmap_size") == 0
    assert db.conn.pragma("foreign_keys") == 0
    assert db.conn.pragma("cache_size") == -8192
    assert db.conn.pragma("temp_store") == 2
    assert db.conn.pragma("wal_autocheckpoint") * 4120 < policy.WAL_LIMIT  # folded in before it would have to be cut


def test_nobody_else_can_read_the_files(db: Database) -> None:
    with db.transaction():
        db.conn.execute(SET, ("a", "1"))
    modes = {path.name: path.stat().st_mode & 0o777 for path in db.path.parent.iterdir()}
    assert modes == {"fleet.db": 0o600, "fleet.db-wal": 0o600, "fleet.db-shm": 0o600}
    assert db.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_transaction_is_kept_or_undone_as_a_whole(db: Database) -> None:
    with db.transaction():
        db.conn.execute(SET, ("kept", "1"))
    with pytest.raises(ZeroDivisionError), db.transaction():
        db.conn.execute(SET, ("undone", "1"))
        raise ZeroDivisionError
    assert keys_in(db) == ["kept"]
    assert not db.conn.in_transaction


def test_a_part_of_a_transaction_fails_alone(db: Database) -> None:
    with db.transaction():
        db.conn.execute(SET, ("before", "1"))
        with pytest.raises(GateRefused), db.transaction():
            db.conn.execute(SET, ("undone", "1"))
            raise GateRefused
        with db.transaction():
            db.conn.execute(SET, ("part", "1"))
    assert keys_in(db) == ["before", "part"]


def test_begin_commit_and_rollback_by_hand(db: Database) -> None:
    db.begin()
    db.conn.execute(SET, ("kept", "1"))
    thread = threading.Thread(target=db.commit)
    thread.start()
    thread.join()
    db.begin()
    db.conn.execute(SET, ("undone", "1"))
    db.rollback()
    db.rollback()
    assert keys_in(db) == ["kept"]
    with pytest.raises(StoreError, match="no transaction"):
        db.commit()


def test_a_commit_that_sqlite_undid_is_an_error_not_a_success(db: Database) -> None:
    db.begin()
    with db.transaction():
        db.conn.execute(SET, ("first job", "1"))
    db.conn.execute("ROLLBACK")  # as SQLite does by itself when the disk is full
    with pytest.raises(StoreError):
        db.commit()
    assert keys_in(db) == []


def test_the_error_of_a_part_that_sqlite_undid_passes_through(db: Database) -> None:
    with pytest.raises(DiskFull), db.transaction():
        db.conn.execute("ROLLBACK")
        raise apsw.FullError("database or disk is full")
    assert not db.conn.in_transaction


def test_wrong_sql_becomes_a_store_error(db: Database) -> None:
    with pytest.raises(StoreError, match="SQLError"), db.transaction():
        db.conn.execute("SELECT nothing FROM nowhere")


def test_an_io_error_is_a_full_disk_only_when_the_disk_is_full(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="the disk failed") as caught, db.transaction():
        raise apsw.IOError("disk I/O error")
    assert type(caught.value) is StoreError
    monkeypatch.setattr(database.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 4096}))
    with pytest.raises(DiskFull), db.transaction():
        raise apsw.IOError("disk I/O error")
    assert db.free_space() == 4096


def test_another_process_is_waited_for_and_then_named(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_MS", 20)
    other = Database.open(db.path)
    with db.transaction(), pytest.raises(StoreError, match="busy"), other.transaction():
        pass
    other.close()


def test_a_commit_of_another_process_changes_the_data_version(db: Database) -> None:
    before = db.data_version()
    with db.transaction():
        db.conn.execute(SET, ("own", "1"))
    assert db.data_version() == before
    script = f"import sqlite3; c = sqlite3.connect({str(db.path)!r}); c.execute({SET!r}, ('x', '1')); c.commit()"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert db.data_version() != before


# ── versions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_table_and_index_has_a_sentence() -> None:
    lines = [line for script in MIGRATIONS for line in script.splitlines()]
    bare = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if line.startswith("CREATE") and not before.startswith("-- ")
    ]
    assert bare == []


def test_a_later_version_is_reached_by_its_scripts_and_refused_by_older_ones(db: Database) -> None:
    with db.transaction():
        db.conn.execute(SET, ("old", "1"))
    db.close()
    later = (*MIGRATIONS, "CREATE TABLE extra (a)", "INSERT INTO extra VALUES (7); CREATE TABLE more (b)")
    newer = Database.open(db.path, migrations=later)
    assert newer.conn.pragma("user_version") == len(later)
    assert newer.conn.execute("SELECT a FROM extra").get == 7
    assert keys_in(newer) == ["old"]
    newer.close()
    with pytest.raises(NewerStore, match=f"version {len(later)}, this Fleet knows {len(MIGRATIONS)}"):
        Database.open(db.path)
    Database.open(db.path, migrations=later).close()


def test_a_migration_that_fails_changes_nothing(db: Database) -> None:
    db.close()
    with pytest.raises(StoreError):
        Database.open(db.path, migrations=(*MIGRATIONS, "CREATE TABLE extra (a)", "CREATE TABLE extra (a)"))
    again = Database.open(db.path)
    assert again.conn.pragma("user_version") == len(MIGRATIONS)
    assert again.conn.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'extra'").get == 0
    again.close()


def test_two_processes_may_make_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "node" / "fleet.db"
    script = f"from pathlib import Path; from fleet.store import Store; Store.open(Path({str(path)!r})).close()"
    both = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(3)]
    assert [process.wait() for process in both] == [0, 0, 0]


def test_a_reader_changes_nothing_and_needs_a_file_of_this_version(db: Database, tmp_path: Path) -> None:
    reader = Database.open(db.path, readonly=True)
    with reader.transaction():
        assert keys_in(reader) == []
    with pytest.raises(StoreError), reader.transaction():
        reader.conn.execute(SET, ("a", "1"))
    reader.close()
    with pytest.raises(StoreError):
        Database.open(tmp_path / "nowhere.db", readonly=True)
    assert not (tmp_path / "nowhere.db").exists()
    (tmp_path / "old.db").touch()
    with pytest.raises(StoreError, match="older version"):
        Database.open(tmp_path / "old.db", readonly=True)


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "fleet.db").write_bytes(b"something else " * 100)
    with pytest.raises(StoreError):
        Database.open(tmp_path / "fleet.db")
    with pytest.raises(StoreError):
        Database.open(tmp_path / "fleet.db" / "inside")


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(StoreError, match="Permission denied"):
        Database.open(tmp_path / "fleet.db")


# ── disk ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_checkpoint_empties_the_wal_unless_a_reader_is_in_the_way(db: Database) -> None:
    with db.transaction():
        db.conn.executemany(SET, ((str(n), "x" * 1000) for n in range(500)))
    assert db.wal_bytes() > 1_000_000
    reader = Database.open(db.path, readonly=True)
    reader.begin()
    assert len(keys_in(reader)) == 500
    with pytest.raises(StoreError, match="busy"):
        db.checkpoint()
    reader.close()
    with db.transaction():
        db.conn.execute(SET, ("last", ""))
    pages, folded = db.checkpoint(truncate=False)
    assert pages == folded > 0
    db.checkpoint()
    assert db.wal_bytes() == 0


def test_without_a_wal_its_size_is_nothing(tmp_path: Path) -> None:
    opened = Database.open(tmp_path / "fleet.db")
    opened.close()
    assert opened.wal_bytes() == 0


def test_the_ballast_is_real_and_given_back_once(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    db.make_ballast()
    db.make_ballast()
    assert db.ballast.stat().st_size == policy.BALLAST
    assert db.ballast.stat().st_blocks * 512 >= policy.BALLAST
    assert db.drop_ballast()
    assert not db.drop_ballast()
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(DiskFull):
        db.make_ballast()
    assert not db.ballast.exists()


def test_damage_is_found(db: Database) -> None:
    assert db.integrity() == []
    with db.transaction():
        db.conn.executemany(SET, ((str(n), "x" * 500) for n in range(200)))
    db.close()
    data = bytearray(db.path.read_bytes())
    for page in range(len(data) // 4096 - 20, len(data) // 4096):
        data[page * 4096 : page * 4096 + 200] = bytes(200)
    db.path.write_bytes(data)
    hurt = Database.open(db.path)
    assert hurt.integrity() != []
    hurt.close()


def test_a_store_bundles_its_tables(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert store.db.path == tmp_path / "fleet.db"
    with store.db.transaction():
        assert store.outbox.peers_waiting() == store.inbox.peers_owed() == store.members.all() == []
        assert store.ledger.counters() == {}
        assert store.sequence.next("mac2") == 1
    store.close()
    with pytest.raises(StoreError):
        store.db.begin()
