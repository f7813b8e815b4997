"""The last heartbeat of each peer, above all the head of its audit chain; it judges nothing.

Every method runs inside Database.transaction(); none commits.
"""

from __future__ import annotations

from typing import Any

import apsw
import msgspec

from fleet.store.database import Database

_PUT = """INSERT OR REPLACE INTO beat (peer, boot, counter, ts, heard, count, hash, branch, commit_id)
          VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_ALL = "SELECT peer, boot, counter, ts, heard, count, hash, branch, commit_id FROM beat"
_FORGET = "DELETE FROM beat WHERE peer = ?"


class Beat(msgspec.Struct, frozen=True):
    """One heartbeat that came. Times in ms since the epoch."""

    boot: str
    counter: int
    ts: int  # by the peer's clock
    heard: int  # by ours
    count: int = 0  # entries of the peer's audit chain
    hash: bytes = bytes(32)  # of the last of them
    branch: str = ""
    commit: str = ""

    def follows(self, known: Beat) -> bool:
        """Say whether it was made after `known`: within one life of the peer its counter decides, else its clock."""
        return self.counter > known.counter if self.boot == known.boot else self.ts > known.ts


class Beats:
    """The table of heartbeats."""

    __slots__ = ("_conn",)

    def __init__(self, db: Database) -> None:
        """Work on an open database."""
        self._conn: apsw.Connection = db.conn

    def put(self, peer: str, beat: Beat) -> None:
        """Keep the last beat of a peer."""
        values = (beat.boot, beat.counter, beat.ts, beat.heard, beat.count, beat.hash, beat.branch, beat.commit)
        self._conn.execute(_PUT, (peer, *values))

    def all(self) -> dict[str, Beat]:
        """Give the last beat of every peer."""
        rows: list[Any] = self._conn.execute(_ALL).fetchall()
        return {row[0]: Beat(*row[1:]) for row in rows}

    def forget(self, peer: str) -> None:
        """Forget a peer that left."""
        self._conn.execute(_FORGET, (peer,))
