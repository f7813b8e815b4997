"""A database of version 1 with mail in it becomes one of today; a copy of what it was lies beside it."""

import os
import shutil
from pathlib import Path

import pytest

from fleet.core.lifecycle import Status
from fleet.errors import DiskFull, StoreError
from fleet.store import Store, upgrade
from fleet.store.database import MIGRATIONS, Database
from fleet.store.upgrade import copy_of

OUT, IN = "01a1fbd5609b73339c9e453209760001", "01a1fbd5609b73339c9e453209760002"
CONTENT = b'"v":1,"id":"x","body":"an old message"'


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A database as version 1 left it: one message waiting, one unread."""
    path = tmp_path / "fleet.db"
    db = Database.open(path, migrations=MIGRATIONS[:1])
    with db.transaction():
        db.conn.execute(
            "INSERT INTO outbox (row, id, peer, priority, status, due, exp, type, pin, created, size, digest) "
            "VALUES (1, ?, 'b', 1, 0, 0, 9000000000000, 'message', '', 1, 3, x'00')", (OUT,),
        )  # fmt: skip
        db.conn.execute("INSERT INTO content VALUES (1, ?)", (CONTENT,))
        db.conn.execute(
            "INSERT INTO inbox (row, id, sender, inc, seq, status, owed, priority, level, received, exp, pid, road, type, "
            "digest, content) VALUES (1, ?, 'b', 1, 1, 0, 0, 1, 2, 5, 9000000000000, 'p', 'nats', 'message', x'00', ?)",
            (IN, CONTENT),
        )
    db.close()
    return path


def test_mail_of_an_old_database_is_there_after_the_upgrade(old: Path) -> None:
    store = Store.open(old)
    assert store.db.conn.pragma("user_version") == len(MIGRATIONS) > 1
    row, mail = store.outbox.get(OUT), store.inbox.get(IN)
    assert row is not None and (row.status, row.peer, row.content) == (Status.QUEUED, "b", CONTENT)
    assert mail is not None and mail.content == CONTENT
    assert store.db.integrity() == []
    assert [one.id for one in store.outbox.list_open(10)] == [OUT]
    store.close()


def test_a_copy_of_what_it_was_lies_beside_it_private_and_whole(old: Path) -> None:
    Store.open(old).close()
    copy = copy_of(old, 1)
    assert copy.name == "fleet.db.v1" and copy.stat().st_mode & 0o777 == 0o600
    before = Database.open(copy, migrations=MIGRATIONS[:1])
    assert before.conn.pragma("user_version") == 1 and before.integrity() == []
    assert before.conn.execute("SELECT id FROM outbox").get == OUT
    before.close()
    assert [path.name for path in old.parent.iterdir() if path.name.startswith(".")] == []


def test_the_copy_opens_as_a_database_of_its_own(old: Path, tmp_path: Path) -> None:
    Store.open(old).close()
    back = tmp_path / "again" / "fleet.db"
    back.parent.mkdir(mode=0o700)
    shutil.copyfile(copy_of(old, 1), back)
    store = Store.open(back)
    assert store.inbox.get(IN) is not None
    store.close()


def test_a_database_of_today_and_a_new_one_are_not_copied(tmp_path: Path) -> None:
    for _ in range(2):
        Store.open(tmp_path / "fleet.db").close()
    assert list(tmp_path.glob("fleet.db.v*")) == []


def test_without_room_for_a_copy_nothing_is_upgraded(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(upgrade, "_sync", full)
    with pytest.raises(DiskFull):
        Store.open(old)
    assert sorted(path.name for path in old.parent.iterdir() if path.suffix not in (".db-wal", ".db-shm")) == ["fleet.db"]
    before = Database.open(old, migrations=MIGRATIONS[:1])
    assert before.conn.pragma("user_version") == 1
    before.close()


def test_a_place_that_cannot_be_written_stops_the_upgrade(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open
    monkeypatch.setattr(
        upgrade.os, "open",
        lambda path, *more: real("/proc/nothing" if ".v1." in str(path) else path, *more),
    )  # fmt: skip
    with pytest.raises(StoreError):
        Store.open(old)
