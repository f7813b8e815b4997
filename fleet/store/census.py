"""How much lies in the store, for figures and for the watchdog: counts that stop at a bound; it reads and never writes."""

from __future__ import annotations

import apsw
import msgspec

from fleet.core.lifecycle import Status
from fleet.store.database import Database

MOST = 100_000  # rows that one count looks at


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """What waits for one peer."""

    peer: str
    count: int
    oldest: int  # ms since the epoch: when the one that waits longest was accepted


_OPEN = """WITH found AS (SELECT peer, count(*) AS count, min(row) AS first
                          FROM (SELECT peer, row FROM outbox WHERE status < 4 LIMIT ?) GROUP BY peer)
           SELECT found.peer, found.count, outbox.created
           FROM found JOIN outbox ON outbox.row = found.first ORDER BY found.peer"""
_ENDED = "SELECT count(*) FROM (SELECT 1 FROM outbox WHERE status = ? AND final_at >= ? LIMIT ?)"
_UNREAD = "SELECT count(*) FROM (SELECT 1 FROM inbox WHERE status = 0 LIMIT ?)"
_UNREAD_BYTES = """SELECT coalesce(sum(size), 0) FROM (
                      SELECT length(content) AS size FROM inbox WHERE status = 0 AND sender = ? LIMIT ?)"""
_LATEST = """SELECT max(coalesce((SELECT created FROM outbox ORDER BY row DESC LIMIT 1), 0),
                        coalesce((SELECT received FROM inbox ORDER BY row DESC LIMIT 1), 0))"""
_KEPT = "SELECT count(*) FROM (SELECT 1 FROM custody WHERE ended = 0 LIMIT ?)"


class Census:
    """The counts of one store."""

    __slots__ = ("_conn", "_db")

    def __init__(self, db: Database) -> None:
        """Read an open database."""
        self._db = db
        self._conn: apsw.Connection = db.conn

    def waiting(self) -> list[Waiting]:
        """Say for every peer how much waits, and since when."""
        return [Waiting(*values) for values in self._conn.execute(_OPEN, (MOST,))]

    def dead(self, since: int = 0) -> int:
        """Count the dead letters that died at `since` (ms since the epoch) or later."""
        return int(self._conn.execute(_ENDED, (Status.DEAD.value, since, MOST)).get)

    def unread(self) -> int:
        """Count the mail that nobody was shown."""
        return int(self._conn.execute(_UNREAD, (MOST,)).get)

    def unread_bytes(self, sender: str) -> int:
        """Add up the mail of one sender that nobody was shown, bytes."""
        return int(self._conn.execute(_UNREAD_BYTES, (sender, MOST)).get)

    def kept(self) -> int:
        """Count the parcels kept for others."""
        return int(self._conn.execute(_KEPT, (MOST,)).get)

    def latest(self) -> int:
        """When the latest message was accepted or came in, ms since the epoch; 0 = there is none."""
        return int(self._conn.execute(_LATEST).get)

    @property
    def version(self) -> int:
        """The version of the tables."""
        return int(self._conn.pragma("user_version"))
