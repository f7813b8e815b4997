"""What was done to mend roads, step by step, and what came of repairs that peers asked for; it decides nothing.

Every method runs inside Database.transaction(); none commits.
"""

from __future__ import annotations

import apsw
import msgspec

from fleet.store.database import Database

DONE, FAILED, REFUSED, HEALED = "done", "failed", "refused", "healed"


class Step(msgspec.Struct, frozen=True, gc=False):
    """One step of one repair."""

    peer: str
    roads: str
    level: int
    state: str
    at: int


_NOTE = "INSERT INTO mending (peer, roads, level, state, at) VALUES (?, ?, ?, ?, ?)"
_STEPS = """SELECT peer, roads, level, state, at FROM mending
            WHERE peer = :peer AND at >= :since
                  AND number > coalesce((SELECT max(number) FROM mending WHERE peer = :peer AND state = 'healed'), 0)
            ORDER BY number"""
_SPENT = "SELECT count(*) FROM mending WHERE peer = ? AND at >= ? AND level IN (2, 3) AND state IN ('done', 'failed')"
_RESULT = "INSERT OR REPLACE INTO repaired (row, result) VALUES (?, ?)"
_RETIRE = ("DELETE FROM mending WHERE at < ?", "DELETE FROM repaired WHERE row NOT IN (SELECT row FROM inbox)")


class Mending:
    """The tables of repairs."""

    __slots__ = ("_conn",)

    def __init__(self, db: Database) -> None:
        """Work on an open database."""
        self._conn: apsw.Connection = db.conn

    def note(self, step: Step) -> None:
        """Write a step down."""
        self._conn.execute(_NOTE, (step.peer, step.roads, step.level, step.state, step.at))

    def steps(self, peer: str, since: int) -> list[Step]:
        """Give the steps of a peer's present case, those since `since` (ms) and since it was last healed, oldest first."""
        return [Step(*values) for values in self._conn.execute(_STEPS, {"peer": peer, "since": since})]

    def spent(self, peer: str, since: int) -> int:
        """Count the escalations towards a peer since `since` (ms): what was done there, not what was refused."""
        return int(self._conn.execute(_SPENT, (peer, since)).get)

    def result(self, row: int, words: str) -> None:
        """Keep what came of a repair, for its receipt."""
        self._conn.execute(_RESULT, (row, words))

    def retire(self, before: int) -> None:
        """Delete what is older than `before` (ms)."""
        self._conn.execute(_RETIRE[0], (before,))
        self._conn.execute(_RETIRE[1])
