"""How far receipts said that messages came, and when we learned it; what `fleet trace` tells of the other end.

Receipts that come back within the attempt itself are in its row; here are those that travel by themselves. Every method
runs inside Database.transaction(); none commits.
"""

from __future__ import annotations

from collections.abc import Iterable

import apsw
import msgspec

from fleet.store.database import Database

RETIRE_LIMIT = 1000


class Milestone(msgspec.Struct, frozen=True, gc=False):
    """One step of a message at its addressee. `at` in ms since the epoch."""

    state: str
    at: int
    road: str


class Passage(msgspec.Struct, frozen=True, gc=False):
    """How a message came in: by which parcel, how often again, and whether its sender must still be told."""

    pid: str
    copies: int
    owed: bool


_NOTE = "INSERT OR IGNORE INTO milestone (id, state, at, road) VALUES (?, ?, ?, ?)"
_OF = "SELECT state, at, road FROM milestone WHERE id = ? ORDER BY at, state"
_PASSAGE = "SELECT pid, copies, owed FROM inbox WHERE row = ?"
_RETIRE = "DELETE FROM milestone WHERE (id, state) IN (SELECT id, state FROM milestone WHERE at < ? ORDER BY at LIMIT ?)"


class Milestones:
    """The table of steps."""

    __slots__ = ("_conn",)

    def __init__(self, db: Database) -> None:
        """Work on an open database."""
        self._conn: apsw.Connection = db.conn

    def note(self, reached: Iterable[tuple[str, str]], road: str, now: int) -> None:
        """Note (id, state) of messages whose receipt names the road by which they came; what is known stays."""
        self._conn.executemany(_NOTE, [(id, state, now, road) for id, state in reached])

    def of(self, id: str) -> list[Milestone]:
        """Give the steps of one message, in their order."""
        return [Milestone(*values) for values in self._conn.execute(_OF, (id,))]

    def passage(self, row: int) -> Passage | None:
        """Say how a message of the inbox came in."""
        found = self._conn.execute(_PASSAGE, (row,)).fetchone()
        return None if found is None else Passage(found[0], found[1], bool(found[2]))

    def retire(self, before: int, limit: int = RETIRE_LIMIT) -> int:
        """Delete what was learned before `before` (ms), at most `limit`; says how many."""
        start = self._conn.total_changes()
        self._conn.execute(_RETIRE, (before, limit))
        return self._conn.total_changes() - start
