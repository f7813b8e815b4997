"""Folds the WAL into the database beside the commits, on a connection and a thread of its own; never in a commit's way.

A commit that had to do it would keep every sender waiting for tens of milliseconds, once in a few thousand messages.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from fleet.errors import StoreError
from fleet.store.database import FOLD_PAGES, Database


class Folder:
    """The checkpoints of one database."""

    def __init__(self, db: Database, *, inline: bool = False) -> None:
        """Take the connection that commits; `inline` folds nothing: SQLite's own limit does it then."""
        self._db = db
        self._thread = None if inline else ThreadPoolExecutor(1, "fleet-fold")
        self._running: Future[None] | None = None
        self._own: Database | None = None

    def look(self) -> None:
        """Begin to fold when the WAL has grown and nothing is being folded."""
        if self._thread is None or self._db.wal_pages < FOLD_PAGES:
            return
        if self._running is None or self._running.done():
            self._running = self._thread.submit(self._fold)

    def _fold(self) -> None:
        if self._own is None:
            self._own = Database.open(self._db.path)
        try:
            self._own.checkpoint(truncate=False)
        except StoreError:
            return  # a reader or the disk is in the way: the next look tries again, a commit does it at its limit

    def close(self) -> None:
        """Let a fold under way end."""
        if self._thread is not None:
            self._thread.shutdown(wait=True)
        if self._own is not None:
            self._own.close()
            self._own = None
