"""Parcels this node keeps for others, sealed and unread: taken, forwarded, let go; a quota per origin. It opens nothing.

Every method runs inside Database.transaction(); none commits.
"""

from __future__ import annotations

from typing import Any

import apsw
import msgspec

from fleet.core import policy
from fleet.store.database import Database


class Kept(msgspec.Struct, frozen=True, gc=False):
    """One parcel in custody. Times in ms since the epoch."""

    pid: str
    origin: str
    addressee: str
    type: int  # core.parcel.ParcelType
    exp: int
    hops: int  # relays it may still cross
    via: str  # relays it came through, comma-separated
    tries: int
    due: int
    data: bytes


_COLUMNS = "pid, origin, addressee, type, exp, hops, via, tries, due, data"
_KNOWN = "SELECT 1 FROM custody WHERE origin = ? AND pid = ?"
_LOAD = "SELECT count(*), coalesce(sum(length(data)), 0) FROM custody WHERE origin = ? AND ended = 0"
_TAKE = """INSERT INTO custody (pid, origin, addressee, type, exp, hops, via, tries, due, data, taken_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?)"""
_DUE = f"SELECT {_COLUMNS} FROM custody WHERE ended = 0 AND due <= ? AND exp > ? ORDER BY due LIMIT ?"  # noqa: S608
_NEXT = "SELECT min(due) FROM custody WHERE ended = 0 AND exp > ?"
_PUT_OFF = "UPDATE custody SET due = ?, tries = tries + 1 WHERE origin = ? AND pid = ? AND ended = 0"
_HASTEN = "UPDATE custody SET due = ? WHERE addressee = ? AND ended = 0 AND due > ?"
_END = "UPDATE custody SET ended = ?, data = x'' WHERE origin = ? AND pid = ? AND ended = 0"
_END_OF = "UPDATE custody SET ended = ?, data = x'' WHERE (origin = ? OR addressee = ?) AND ended = 0"
_EXPIRE = "UPDATE custody SET ended = ?, data = x'' WHERE ended = 0 AND exp <= ?"
_RETIRE = "DELETE FROM custody WHERE ended > 0 AND exp <= ? AND ended <= ?"
_HELD = "SELECT origin, count(*) FROM custody WHERE ended = 0 GROUP BY origin"


class Custody:
    """The table of parcels kept for others."""

    __slots__ = ("_conn",)

    def __init__(self, db: Database) -> None:
        """Work on an open database."""
        self._conn: apsw.Connection = db.conn

    def take(self, kept: Kept, now: int) -> bool:
        """Keep a parcel; one that is or was held is kept already. Gives False when its origin's quota is full."""
        if self._conn.execute(_KNOWN, (kept.origin, kept.pid)).get is not None:
            return True
        count, size = self._conn.execute(_LOAD, (kept.origin,)).get
        if count >= policy.CUSTODY_PARCELS or size + len(kept.data) > policy.CUSTODY_BYTES:
            return False
        self._conn.execute(
            _TAKE,
            (kept.pid, kept.origin, kept.addressee, kept.type, kept.exp, kept.hops, kept.via, now, kept.data, now),
        )
        return True

    def due(self, now: int, limit: int) -> list[Kept]:
        """List what may be forwarded now, the longest due first."""
        return [Kept(*values) for values in self._conn.execute(_DUE, (now, now, limit))]

    def next_due(self, now: int) -> int | None:
        """Say when the next parcel that is alive is due (ms, perhaps past); None when none is held."""
        earliest: Any = self._conn.execute(_NEXT, (now,)).get
        return None if earliest is None else int(earliest)

    def put_off(self, kept: Kept, due: int) -> None:
        """Try a parcel again at `due`."""
        self._conn.execute(_PUT_OFF, (due, kept.origin, kept.pid))

    def hasten(self, addressee: str, now: int) -> None:
        """Its addressee was heard: what waits for it is due now."""
        self._conn.execute(_HASTEN, (now, addressee, now))

    def end(self, origin: str, pid: str, now: int) -> bool:
        """End the custody of one parcel, keeping its name against repeats; says whether it was held."""
        before = self._conn.total_changes()
        self._conn.execute(_END, (now, origin, pid))
        return self._conn.total_changes() > before

    def end_of(self, node: str, now: int) -> int:
        """End what is held from or for a node that is no member any more; says how many."""
        before = self._conn.total_changes()
        self._conn.execute(_END_OF, (now, node, node))
        return self._conn.total_changes() - before

    def held(self) -> dict[str, int]:
        """Count what is held, by origin."""
        found: Any = self._conn.execute(_HELD).fetchall()
        return dict(found)

    def retire(self, now: int, before: int) -> None:
        """Let go of what expired, and forget names that ended before `before` and can come no more."""
        self._conn.execute(_EXPIRE, (now, now))
        self._conn.execute(_RETIRE, (now, before))
