"""What happened and what is known of peers: parcels, attempts, links, trust levels, counters, notices; decides nothing.

Every method runs inside Database.transaction(); none commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import apsw
import msgspec

from fleet.core import policy
from fleet.core.health import Health, Link
from fleet.core.outcome import Attempt, Result
from fleet.store.database import Database
from fleet.store.outbox import Row

RETIRE_LIMIT = 1000  # rows of one table that one retire() deletes at most
NOTICES_KEPT = 1000


class ParcelRow(msgspec.Struct, frozen=True, gc=False):
    """One parcel that was made: whose answer settles which rows of the outbox."""

    number: int
    pid: str
    peer: str
    rows: list[int]
    created: int
    exp: int
    answered: bool = False  # a receipt of its addressee came: what it refused does not count twice


class Notice(msgspec.Struct, frozen=True, gc=False):
    """One line for the operator."""

    number: int
    kind: str
    text: str
    at: int


_OPEN_PARCEL = "INSERT INTO parcel (pid, peer, rows, created, exp) VALUES (?, ?, ?, ?, ?) RETURNING number"
_ANSWERED = "UPDATE parcel SET answered = 1 WHERE number = ?"
_PARCEL = "SELECT number, pid, peer, rows, created, exp, answered FROM parcel WHERE pid = ?"
_RECORD = """INSERT INTO attempt (pid, peer, channel, started_at, ms, result, reason) VALUES (?, ?, ?, ?, ?, ?, ?)"""
_ATTEMPTS = """SELECT a.pid, a.peer, a.channel, a.started_at, a.ms, a.result, a.reason
               FROM parcel AS p CROSS JOIN attempt AS a ON a.pid = p.pid
               WHERE p.peer = ? AND p.created BETWEEN ? AND ?
                     AND EXISTS (SELECT 1 FROM json_each(p.rows) WHERE value = ?)
               ORDER BY a.started_at, a.number"""  # CROSS: the message's parcels first, they are few
_NEEDLESS = """SELECT DISTINCT p.pid, a.channel
               FROM parcel AS p CROSS JOIN attempt AS a ON a.pid = p.pid AND a.result = 'taken'
               WHERE p.peer = :peer
                     AND p.created >= (SELECT min(created) FROM outbox WHERE row IN (SELECT value FROM json_each(:rows)))
                     AND EXISTS (SELECT 1 FROM json_each(p.rows)
                                 WHERE value IN (SELECT value FROM json_each(:rows)))
                     AND (p.answered = 1 OR NOT EXISTS (
                           SELECT 1 FROM json_each(p.rows) AS one JOIN outbox AS o ON o.row = one.value
                           WHERE o.status < 4))"""
_SAVE_LINK = """INSERT INTO link (peer, channel, health, fields, saved_at) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (peer, channel) DO UPDATE
                SET health = excluded.health, fields = excluded.fields, saved_at = excluded.saved_at"""
_LINKS = "SELECT peer, channel, fields FROM link"
_DROP_LINKS = "DELETE FROM link WHERE peer = ?"
_SET_LEVEL = """INSERT INTO level (peer, level, reason, at) VALUES (?, ?, ?, ?)
                ON CONFLICT (peer) DO UPDATE SET level = excluded.level, reason = excluded.reason, at = excluded.at"""
_LEVEL = "SELECT level FROM level WHERE peer = ?"
_LEVELS = "SELECT peer, level FROM level ORDER BY peer"
_DROP_LEVEL = "DELETE FROM level WHERE peer = ?"
_COUNT = """INSERT INTO counter (name, value) VALUES (:name, :n)
            ON CONFLICT (name) DO UPDATE SET value = value + :n"""
_COUNTERS = "SELECT name, value FROM counter ORDER BY name"
_NOTICE = "INSERT INTO notice (kind, text, at) VALUES (?, ?, ?)"
_NOTICES = "SELECT number, kind, text, at FROM notice ORDER BY number DESC LIMIT ?"
_RETIRE = (
    "DELETE FROM parcel WHERE number IN (SELECT number FROM parcel WHERE exp < :before LIMIT :limit)",
    "DELETE FROM attempt WHERE number IN (SELECT number FROM attempt WHERE started_at < :before LIMIT :limit)",
    "DELETE FROM notice WHERE at < :before AND number <= (SELECT max(number) FROM notice) - :kept",
)

_rows = msgspec.json.Decoder(list[int]).decode
_fields = msgspec.json.Decoder(dict[str, Any]).decode


class Ledger:
    """The tables of what happened."""

    __slots__ = ("_conn",)

    def __init__(self, db: Database) -> None:
        """Work on an open database."""
        self._conn: apsw.Connection = db.conn

    def open_parcel(self, pid: str, peer: str, rows: Sequence[int], created: int, exp: int) -> int:
        """Note which rows of the outbox a parcel holds; gives its number, never given twice. Times in ms."""
        values = (pid, peer, msgspec.json.encode(rows).decode(), created, exp)
        return int(self._conn.execute(_OPEN_PARCEL, values).get)

    def parcel(self, pid: str) -> ParcelRow | None:
        """Find a parcel by its pid."""
        found = self._conn.execute(_PARCEL, (pid,)).get
        if found is None:
            return None
        number, pid, peer, rows, created, exp, answered = found
        return ParcelRow(number, pid, peer, _rows(rows), created, exp, bool(answered))

    def answered(self, number: int) -> None:
        """Note that the addressee of a parcel answered it."""
        self._conn.execute(_ANSWERED, (number,))

    def record(self, attempts: Iterable[Attempt]) -> None:
        """Write attempts down."""
        self._conn.executemany(
            _RECORD,
            [(a.pid, a.peer, a.channel, a.started_at, a.ms, a.result.value, a.reason) for a in attempts],
        )

    def attempts_of(self, row: Row) -> list[Attempt]:
        """Give every attempt for a message of the outbox, in the order in which they began."""
        found = self._conn.execute(_ATTEMPTS, (row.peer, row.created, row.final_at or policy.SAFE_INTEGER, row.row))
        return [
            Attempt(pid, peer, channel, started_at, ms, Result(result), reason)
            for pid, peer, channel, started_at, ms, result, reason in found
        ]

    def needless(self, peer: str, rows: Sequence[int]) -> list[tuple[str, str]]:
        """Give (pid, channel) of the parcels with any of `rows` that a road took and nobody needs there any more.

        That is: the addressee answered the parcel, or every message in it is final.
        """
        words = {"peer": peer, "rows": msgspec.json.encode(rows).decode()}
        return [(pid, channel) for pid, channel in self._conn.execute(_NEEDLESS, words)]

    def save_link(self, peer: str, channel: str, link: Link, now: int) -> None:
        """Keep what is known of a road to a peer. `now` in ms since the epoch."""
        fields = msgspec.json.encode(link).decode()
        self._conn.execute(_SAVE_LINK, (peer, channel, link.health.value, fields, now))

    def load_links(self) -> dict[tuple[str, str], Link]:
        """Give what was kept of every (peer, channel)."""
        return {(peer, channel): _link(_fields(text)) for peer, channel, text in self._conn.execute(_LINKS)}

    def drop_links(self, peer: str) -> None:
        """Forget the roads to a peer that was removed."""
        self._conn.execute(_DROP_LINKS, (peer,))

    def level(self, peer: str) -> int | None:
        """Give our own trust level for a peer; None while its certificate's starting level holds."""
        found = self._conn.execute(_LEVEL, (peer,)).get
        return None if found is None else int(found)

    def levels(self) -> dict[str, int]:
        """Give our own trust levels of all peers that have one."""
        return {peer: level for peer, level in self._conn.execute(_LEVELS)}  # noqa: C416  the types

    def set_level(self, peer: str, level: int, reason: str, now: int) -> None:
        """Set our own trust level for a peer. `now` in ms since the epoch."""
        self._conn.execute(_SET_LEVEL, (peer, level, reason, now))

    def drop_level(self, peer: str) -> None:
        """Forget our own trust level for a peer: its certificate's starting level holds again."""
        self._conn.execute(_DROP_LEVEL, (peer,))

    def count(self, name: str, n: int = 1) -> None:
        """Add n to a persistent counter."""
        self._conn.execute(_COUNT, {"name": name, "n": n})

    def counters(self) -> dict[str, int]:
        """Give all persistent counters."""
        return {name: value for name, value in self._conn.execute(_COUNTERS)}  # noqa: C416  the types

    def notice(self, kind: str, text: str, now: int) -> None:
        """Leave a line for the operator. `now` in ms since the epoch."""
        self._conn.execute(_NOTICE, (kind, text, now))

    def notices(self, limit: int) -> list[Notice]:
        """Give the latest notices, the latest first."""
        return [Notice(*values) for values in self._conn.execute(_NOTICES, (limit,))]

    def retire(self, before: int, limit: int = RETIRE_LIMIT) -> int:
        """Delete what is older than `before` (ms), at most `limit` rows a table; says how many."""
        start = self._conn.total_changes()
        for statement in _RETIRE:
            self._conn.execute(statement, {"before": before, "limit": limit, "kept": NOTICES_KEPT})
        return self._conn.total_changes() - start


def _link(fields: dict[str, Any]) -> Link:
    fields["health"] = Health(fields["health"])
    fields["round_trips"] = tuple(fields["round_trips"])
    return Link(**fields)
