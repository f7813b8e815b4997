"""The one SQLite file: open it, keep it durable, run transactions; knows no table and no message.

This is the only place where SQLite's errors become the house's: DiskFull, NewerStore, StoreError. A commit that
returned is on the disk (WAL with synchronous=FULL); one that raised left nothing behind.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw

from fleet.core import policy
from fleet.errors import DiskFull, NewerStore, StoreError
from fleet.store.files import make_private, refusal
from fleet.store.upgrade import keep_copy

BUSY_MS = 5_000  # how long another process's transaction is waited for
CHECKPOINT_PAGES = 12_000  # 48 MiB of WAL, then a commit waits until it is folded into the file
FOLD_PAGES = 4_000  # 16 MiB, so that a page written often is copied once; then it is folded in beside the commits
CACHE_KIB = 8 * 1024  # of the connection that writes
READ_CACHE_KIB = 2 * 1024  # of one that only looks
FULL_BELOW = 256 * 1024  # bytes free; an I/O error on such a disk means that it is full: SQLite does not always say so
STATEMENTS = 256  # prepared statements kept; the house has about 150

def _script(*nouns: str) -> str:
    """Join the tables of some nouns into one step."""
    return "\n".join(Path(__file__).with_name(f"{noun}.sql").read_text(encoding="utf-8") for noun in nouns)


# Script n brings a file of version n to n + 1. Add to the end, never edit one that was released.
MIGRATIONS: tuple[str, ...] = (
    _script("schema"),
    _script("schema_outbox", "schema_gates", "schema_audit", "schema_sessions", "schema_healing", "schema_sight"),
)


class Database:
    """One connection to the store. Methods of the other classes of this floor run inside its transaction()."""

    __slots__ = ("_begin", "conn", "path", "wal_pages")

    def __init__(self, conn: apsw.Connection, path: Path, *, readonly: bool) -> None:
        """Keep an open connection; use Database.open()."""
        self.conn = conn
        self.path = path
        self.wal_pages = 0  # in the WAL after the latest commit of this connection
        self._begin = "BEGIN" if readonly else "BEGIN IMMEDIATE"
        if not readonly:
            conn.set_wal_hook(self._committed)

    def _committed(self, conn: apsw.Connection, name: str, pages: int) -> int:
        """Take SQLite's own checkpoint's place, so that folding beside the commits comes first."""
        self.wal_pages = pages
        if pages >= CHECKPOINT_PAGES:
            conn.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        return apsw.SQLITE_OK

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        readonly: bool = False,
        vfs: str | None = None,
        synchronous: str = "FULL",
        migrations: Sequence[str] = MIGRATIONS,
    ) -> Database:
        """Open the file, making it (0600) and bringing it up to date unless `readonly`.

        Raises NewerStore for a file of a later version, DiskFull, StoreError.
        """
        if not readonly:
            make_private(path.parent)
            _create(path)
        flags = apsw.SQLITE_OPEN_READWRITE  # a WAL reader writes too: its place in the -shm file
        with _translated(path):
            conn = apsw.Connection(str(path), flags=flags, vfs=vfs, statementcachesize=STATEMENTS)
            try:
                _configure(conn, synchronous, readonly=readonly)
                _migrate(conn, path, migrations, readonly=readonly)
            except (apsw.Error, StoreError):
                conn.close()
                raise
        return cls(conn, path, readonly=readonly)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block as one transaction; inside another one, as a part that can fail alone.

        Raises DiskFull or StoreError, after everything was rolled back; other errors pass through, also rolled back.
        """
        nested = self.conn.in_transaction
        done = False
        with _translated(self.path):
            self.conn.execute("SAVEPOINT part" if nested else self._begin)
            try:
                yield
                self.conn.execute("RELEASE part" if nested else "COMMIT")
                done = True
            finally:
                if not done:
                    self._roll_back(nested)

    def begin(self) -> None:
        """Begin a transaction whose end is up to the caller: commit() or rollback(). Raises StoreError."""
        with _translated(self.path):
            self.conn.execute(self._begin)

    def commit(self) -> None:
        """Put the open transaction on the disk; it may be called from another thread. Raises DiskFull or StoreError."""
        with _translated(self.path):
            self.conn.execute("COMMIT")

    def rollback(self) -> None:
        """Undo the open transaction, if there is one."""
        with _translated(self.path):
            self._roll_back(nested=False)

    def _roll_back(self, nested: bool) -> None:
        if not self.conn.in_transaction:
            return  # SQLite did it already: that is what it does when the disk is full
        self.conn.execute("ROLLBACK TO part; RELEASE part" if nested else "ROLLBACK")

    def data_version(self) -> int:
        """Give a number that changes when another connection commits."""
        with _translated(self.path):
            return int(self.conn.execute("PRAGMA data_version").get)

    def checkpoint(self, truncate: bool = True) -> tuple[int, int]:
        """Fold the WAL into the file, `truncate` also empties it; gives (pages in the WAL, pages folded).

        Waits for nobody. Raises StoreError when a reader is in the way.
        """
        mode = apsw.SQLITE_CHECKPOINT_TRUNCATE if truncate else apsw.SQLITE_CHECKPOINT_PASSIVE
        with _translated(self.path):
            self.conn.set_busy_timeout(0)
            try:
                return self.conn.wal_checkpoint(mode=mode)
            finally:
                self.conn.set_busy_timeout(BUSY_MS)

    def wal_bytes(self) -> int:
        """Measure the WAL file, bytes."""
        try:
            return self.path.with_name(self.path.name + "-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def free_space(self) -> int:
        """Measure what is free on the store's disk, bytes."""
        return shutil.disk_usage(self.path.parent).free

    @property
    def ballast(self) -> Path:
        """The file that is deleted when the disk is full, so that cleaning up can write."""
        return self.path.with_name(self.path.name + ".ballast")

    def make_ballast(self) -> None:
        """Put policy.BALLAST bytes aside, unless they lie there. Raises DiskFull or StoreError."""
        if self.ballast.exists():
            return
        try:
            with self.ballast.open("xb") as file:
                file.write(bytes(policy.BALLAST))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self.ballast.unlink(missing_ok=True)
            raise refusal(error, self.ballast) from error

    def drop_ballast(self) -> bool:
        """Give the bytes put aside back to the disk; says whether there were any."""
        there = self.ballast.exists()
        self.ballast.unlink(missing_ok=True)
        return there

    def relieve(self) -> bool:
        """Make room on a full disk: the bytes put aside, and what the WAL holds; says whether there was a ballast.

        Over a connection of its own: the writer's may be in a transaction, or with its thread. Raises StoreError.
        """
        there = self.drop_ballast()
        other = Database.open(self.path)
        try:
            other.checkpoint()
        finally:
            other.close()
        return there

    def interrupt(self) -> None:
        """Break off what the connection does now, from any thread; it raises StoreError there."""
        self.conn.interrupt()

    def integrity(self) -> list[str]:
        """Let SQLite look for damage; gives what it finds, nothing when the file is sound."""
        with _translated(self.path):
            try:
                found = [str(line) for (line,) in self.conn.execute("PRAGMA quick_check")]
            except apsw.CorruptError as error:  # so much damage that the check itself cannot go on
                found = [str(error)]
        return [] if found == ["ok"] else found

    def close(self) -> None:
        """Close the connection; the last one of all processes folds the WAL in."""
        with _translated(self.path):
            self.conn.close()


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into the house's: the one place."""
    try:
        yield
    except apsw.FullError as error:
        raise DiskFull() from error
    except apsw.IOError as error:
        if shutil.disk_usage(path.parent).free < FULL_BELOW:
            raise DiskFull() from error
        raise StoreError(f"the disk failed: {error}") from error
    except apsw.BusyError as error:
        raise StoreError("the database is busy: another process holds it") from error
    except apsw.Error as error:
        raise StoreError(f"{type(error).__name__}: {error}") from error


def _create(path: Path) -> None:
    """Make the empty file with its mode. An existing one is not even opened: closing it would drop SQLite's locks."""
    if path.exists():
        return
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise refusal(error, path) from error


def _configure(conn: apsw.Connection, synchronous: str, *, readonly: bool) -> None:
    conn.set_busy_timeout(BUSY_MS)
    conn.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)  # without it some statements are compiled anew for each binding
    conn.pragma("journal_mode", "wal")
    conn.pragma("synchronous", synchronous)
    conn.pragma("fullfsync", True)  # these two act on macOS only, where fsync leaves data in the drive
    conn.pragma("checkpoint_fullfsync", True)
    conn.pragma("foreign_keys", False)
    conn.pragma("cache_size", -(READ_CACHE_KIB if readonly else CACHE_KIB))
    conn.pragma("mmap_size", 0)
    conn.pragma("temp_store", "memory")
    conn.pragma("journal_size_limit", policy.WAL_LIMIT)


def _migrate(conn: apsw.Connection, path: Path, scripts: Sequence[str], *, readonly: bool) -> None:
    """Bring the file to version len(scripts) in one transaction, after a copy of it was kept. Raises NewerStore."""
    version = _version(conn, scripts)
    if readonly:
        if version < len(scripts):
            raise StoreError("the database is of an older version: start the daemon once")
        conn.pragma("query_only", True)
        return
    if version == len(scripts):
        return
    if version:
        keep_copy(conn, path, version)
    conn.execute("BEGIN IMMEDIATE")
    try:
        for script in scripts[_version(conn, scripts) :]:  # asked again: another process may have been faster
            conn.execute(script)
        conn.pragma("user_version", len(scripts))
        conn.execute("COMMIT")
    finally:
        if conn.in_transaction:
            conn.execute("ROLLBACK")


def _version(conn: apsw.Connection, scripts: Sequence[str]) -> int:
    version = int(conn.pragma("user_version"))
    if version > len(scripts):
        raise NewerStore(f"the database is of version {version}, this Fleet knows {len(scripts)}")
    return version
