"""What this node wants delivered: accept, hand to a courier, settle; a status changes in apply() and lease() alone.

Every method runs inside Database.transaction(); none commits. Which status follows is core.lifecycle's to say.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

import apsw

from fleet.core import policy
from fleet.core.lifecycle import Event, Status, What, step
from fleet.core.submission import Draft
from fleet.errors import IllegalTransition
from fleet.store.audit import Audit
from fleet.store.audit_mail import record_born, record_out
from fleet.store.change import Applied, Change, Standing, arrived, move_taken, turn
from fleet.store.database import Database
from fleet.store.row import Row, is_run, read_row

__all__ = ["Applied", "Change", "Draft", "Outbox", "Row"]

_QUEUED, _HELD, _REFUSED = int(Status.QUEUED), int(Status.HELD), int(Status.REFUSED)
SWEEP_LIMIT = 1000  # rows of one kind that one sweep frees; the rest waits for the next


_COLUMNS = """row, id, peer, type, priority, status, bytes, digest, seq, inc, exp, tries, lease, due, pin, taken,
              created, reason, reached, what, final_at, size, screened"""

_CLAIM_ROWS = """INSERT INTO number (name, last) VALUES ('outbox', :n)
                 ON CONFLICT (name) DO UPDATE SET last = last + :n RETURNING last"""
_INSERT = """INSERT INTO outbox (row, id, peer, priority, status, due, exp, type, pin, reason, what, created, final_at,
                                 size, digest, screened, asked)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"""
_INSERT_CONTENT = "INSERT INTO content (row, bytes) VALUES (?, ?)"
_FIND_DIGEST = "SELECT row, CASE asked WHEN x'' THEN digest ELSE asked END FROM outbox WHERE id = ?"
_PUT_SCREENED = """UPDATE outbox SET screened = ?1, digest = ?2, size = ?3,
                     asked = CASE WHEN asked = x'' AND digest <> ?2 THEN digest ELSE asked END WHERE row = ?4"""
_PUT_CONTENT = "UPDATE content SET bytes = ? WHERE row = ?"

_NEXT_DUE = f"""SELECT {_COLUMNS} FROM outbox JOIN content USING (row)
                WHERE peer = ? AND status = 0 AND priority = ? AND due <= ? AND exp > ?
                ORDER BY due, row LIMIT ?"""  # noqa: S608  only constants
_NEXT_EAGER = _NEXT_DUE.replace("due <= ?", "(due <= ? OR reason NOT LIKE 'later:%')")
_LEASE = "UPDATE outbox SET status = 2, lease = ?, due = ?, inc = ?, seq = ? WHERE row = ? AND status = 0"
_LEASE_RUN = """UPDATE outbox SET status = 2, lease = ?, due = ?, inc = ?, seq = row + ?
                WHERE row BETWEEN ? AND ? AND status = 0"""
_LOW = "SELECT seq FROM outbox WHERE peer = ? AND inc = ? AND status < 4 AND inc > 0 ORDER BY seq LIMIT 1"

_STANDINGS = """SELECT row, id, peer, status, due, exp, inc, seq, lease, tries, taken, reason, what, reached, final_at,
                       unsure
                FROM outbox WHERE row IN (SELECT value FROM carray(?))"""
_ARRIVED = """UPDATE outbox SET status = 4, reached = ?, reason = '', what = '', final_at = ?
              WHERE row IN (SELECT value FROM carray(?))"""
_APPLY = """UPDATE outbox SET status = ?, due = ?, exp = ?, inc = ?, seq = ?, lease = ?, tries = ?, taken = ?,
                              reason = ?, what = ?, reached = ?, final_at = ?, unsure = ? WHERE row = ?"""

_PENDING_OVER = """SELECT row, status FROM outbox
                   WHERE peer = ? AND status > 0 AND status < 4 AND due <= ? ORDER BY due LIMIT ?"""
_EXPIRED = """SELECT row FROM outbox
              WHERE peer = ? AND status < 4 AND status <> 2 AND exp <= ? ORDER BY exp LIMIT ?"""
_NEXT_EVENT = """SELECT min(due) FROM (
                   SELECT min(due) AS due FROM outbox WHERE peer = :peer AND status > 0 AND status < 4
                   UNION ALL SELECT min(due) FROM outbox WHERE peer = :peer AND status = 0 AND priority = 0
                   UNION ALL SELECT min(due) FROM outbox WHERE peer = :peer AND status = 0 AND priority = 1
                   UNION ALL SELECT min(due) FROM outbox WHERE peer = :peer AND status = 0 AND priority = 2
                   UNION ALL SELECT min(due) FROM outbox WHERE peer = :peer AND status = 0 AND priority = 3)"""
_CUSTODY = "SELECT row, taken FROM outbox WHERE status < 4 AND taken <> ''"
_SHIFT_TAKEN = "UPDATE outbox SET taken = ? WHERE row = ?"
_SHIFT = "UPDATE outbox SET due = min(exp, due + ?) WHERE status < 4"
_HASTEN = "UPDATE outbox SET due = ? WHERE status = 0 AND due > ?"
_ORPHANS = "SELECT row FROM outbox INDEXED BY outbox_pending WHERE status > 0 AND status < 4 AND status = 2"
_PEERS_WAITING = """WITH RECURSIVE peers (peer) AS (
                      SELECT min(peer) FROM outbox WHERE status < 4
                      UNION ALL
                      SELECT (SELECT min(o.peer) FROM outbox AS o WHERE o.status < 4 AND o.peer > peers.peer)
                      FROM peers WHERE peers.peer IS NOT NULL)
                    SELECT peer FROM peers WHERE peer IS NOT NULL"""
_OLDEST_OPEN = "SELECT row FROM outbox INDEXED BY outbox_open WHERE status < 4 ORDER BY row LIMIT ?"
_WAITING = "SELECT count(*) FROM (SELECT 1 FROM outbox WHERE peer = ? AND status < 4 LIMIT ?)"
_SELECT = f"SELECT {_COLUMNS} FROM outbox JOIN content USING (row) "  # noqa: S608  only constants
_DROP = "DELETE FROM outbox WHERE id = ? AND status IN (5, 6) RETURNING row"
_RETIRE = """DELETE FROM outbox WHERE row IN (
               SELECT row FROM outbox WHERE status = ? AND status > 3 AND final_at < ? LIMIT ?) RETURNING row"""
_DROP_CONTENT = "DELETE FROM content WHERE row = ?"


class Outbox:
    """The table of messages to be delivered."""

    __slots__ = ("_audit", "_conn")

    def __init__(self, db: Database, audit: Audit) -> None:
        """Work on an open database; what is refused, held or dead is written into its audit chain."""
        self._conn: apsw.Connection = db.conn
        self._audit = audit

    def submit(self, drafts: Sequence[Draft], now: int) -> list[str]:
        """Accept messages; gives for each `accepted`, `known` (same id and content were there) or `conflict`."""
        if not drafts:
            return []
        conn = self._conn
        record_born(self._audit, drafts, now)
        first = conn.execute(_CLAIM_ROWS, {"n": len(drafts)}).get - len(drafts) + 1
        before = conn.total_changes()
        conn.executemany(_INSERT, [_born(row, draft, now) for row, draft in enumerate(drafts, first)])
        if conn.total_changes() - before == len(drafts):
            conn.executemany(_INSERT_CONTENT, [(row, draft.content) for row, draft in enumerate(drafts, first)])
            return ["accepted"] * len(drafts)
        return [self._compare(row, draft) for row, draft in enumerate(drafts, first)]

    def _compare(self, row: int, draft: Draft) -> str:
        """Say which of a batch with known ids were new, and give those their content."""
        there, digest = self._conn.execute(_FIND_DIGEST, (draft.id,)).get
        if there == row:
            self._conn.execute(_INSERT_CONTENT, (row, draft.content))
            return "accepted"
        return "known" if digest == (draft.asked or draft.digest) else "conflict"

    def next_due(
        self, peer: str, now: int, *, floor: int, eager: bool = False, limit: int = policy.BATCH_ENVELOPES,
        max_bytes: int = policy.BATCH_BYTES,
    ) -> list[Row]:  # fmt: skip
        """Pick what may be sent to `peer`: priority `floor` and above, highest first, then the oldest due.

        At most `limit` rows and `max_bytes` of content, but one row if there is any. `eager`: also what was put off,
        but never what the peer itself asked to have later.
        """
        rows: list[Row] = []
        room = max_bytes
        statement = _NEXT_EAGER if eager else _NEXT_DUE
        for priority in range(3, floor - 1, -1):
            for values in self._conn.execute(statement, (peer, priority, now, now, limit - len(rows))):
                row = read_row(values)
                room -= len(row.content)
                if room < 0 and rows:
                    return rows
                rows.append(row)
            if len(rows) == limit:
                break
        return rows

    def lease(self, rows: Sequence[Row], parcel: int, inc: int, first_seq: int, now: int, until: int) -> list[Row]:
        """Give QUEUED rows to a courier until `until` (ms); the lease's number is the parcel's.

        Rows without a seq in `inc` get first_seq, first_seq + 1, … The rows are brought up to date in place and given
        back. Raises IllegalTransition when one is not QUEUED any more.
        """
        seqs = count(first_seq)
        for row in rows:
            if row.inc != inc:
                row.inc, row.seq = inc, next(seqs)
            row.status, row.lease, row.due = step(row.status, Event.LEASE), parcel, until
        before = self._conn.total_changes()
        if is_run(rows):
            shift = rows[0].seq - rows[0].row
            self._conn.execute(_LEASE_RUN, (parcel, until, inc, shift, rows[0].row, rows[-1].row))
        else:
            self._conn.executemany(_LEASE, [(parcel, until, row.inc, row.seq, row.row) for row in rows])
        if self._conn.total_changes() - before != len(rows):
            raise IllegalTransition("a row to be leased is not QUEUED any more")
        return list(rows)

    def put_screened(self, row: Row) -> None:
        """Keep what the content gate left of a message that was never sent, and what it judged by."""
        self._conn.execute(_PUT_SCREENED, (row.screened, row.digest, row.size, row.row))
        self._conn.execute(_PUT_CONTENT, (row.content, row.row))

    def low(self, peer: str, inc: int, next_seq: int) -> int:
        """Give the lowest seq of `inc` that is not final, `next_seq` when all are."""
        lowest = self._conn.execute(_LOW, (peer, inc)).get
        return next_seq if lowest is None else int(lowest)

    def apply(self, changes: Sequence[Change], now: int) -> list[Applied]:
        """Let events happen to rows, in their order; rows that are gone are passed over. Raises IllegalTransition."""
        wanted = array("q", [change.row for change in changes])
        if not wanted:
            return []
        standings = {values[0]: Standing(*values) for values in self._conn.execute(_STANDINGS, (apsw.carray(wanted),))}
        applied = [turn(standings[change.row], change, now) for change in changes if change.row in standings]
        reached = arrived(changes, applied, len(standings))
        if reached:
            self._conn.execute(_ARRIVED, (reached, now, apsw.carray(array("q", standings))))
            return applied
        self._conn.executemany(
            _APPLY,
            [
                (
                    s.status, s.due, s.exp, s.inc, s.seq, s.lease, s.tries, s.taken, s.reason, s.what, s.reached,
                    s.final_at, s.unsure, s.row,
                )
                for s in standings.values()
            ],
        )  # fmt: skip
        record_out(self._audit, applied, standings, now)
        return applied

    def sweep(self, peer: str, now: int, *, expire: bool = True) -> list[Change]:
        """Find what time alone has changed: leases, holds and custody that ran out, and expired mail if it may `expire`."""
        over = self._conn.execute(_EXPIRED, (peer, now, SWEEP_LIMIT)) if expire else ()
        changes = {row: Change(row, Event.EXPIRE, reason="expired") for (row,) in over}
        for row, status in self._conn.execute(_PENDING_OVER, (peer, now, SWEEP_LIMIT)):
            changes.setdefault(row, Change(row, Event.LAPSE if status == Status.SENDING else Event.DUE))
        return list(changes.values())

    def shift(self, by: int) -> None:
        """Move what unfinished messages wait for by so many ms: the wall clock was set. Expiries stay."""
        held = [(move_taken(taken, by), row) for row, taken in self._conn.execute(_CUSTODY)]
        self._conn.executemany(_SHIFT_TAKEN, held)
        self._conn.execute(_SHIFT, (by,))

    def hasten(self, latest: int) -> None:
        """Let nothing in the queue wait beyond `latest` (ms): what an earlier life put off may count by another clock."""
        self._conn.execute(_HASTEN, (latest, latest))

    def orphans(self) -> list[Change]:
        """Find what a daemon that is gone had leased: nobody carries it, so it goes again at once."""
        return [Change(row, Event.LAPSE) for (row,) in self._conn.execute(_ORPHANS)]

    def next_event(self, peer: str) -> int | None:
        """Say when the next row of `peer` is due or expires (ms, perhaps past); None when nothing is open."""
        earliest = self._conn.execute(_NEXT_EVENT, {"peer": peer}).get
        return None if earliest is None else int(earliest)

    def peers_waiting(self) -> list[str]:
        """Name the peers with unfinished messages."""
        return [peer for (peer,) in self._conn.execute(_PEERS_WAITING)]

    def waiting(self, peer: str, most: int = 1_000_000) -> int:
        """Count the unfinished messages of a peer, up to `most`."""
        return int(self._conn.execute(_WAITING, (peer, most)).get)

    def get(self, id: str) -> Row | None:
        """Find a message by its id."""
        return next(iter(self._select("WHERE id = ?", (id,))), None)

    def by_rows(self, rows: Iterable[int]) -> list[Row]:
        """Read the messages of a parcel, in the order of their rows."""
        wanted = apsw.carray(array("q", rows) or array("q", [0]))
        return self._select("WHERE row IN (SELECT value FROM carray(?)) ORDER BY row", (wanted,))

    def list_open(self, limit: int) -> list[Row]:
        """List what is not final, oldest first."""
        return self._select(f"WHERE row IN ({_OLDEST_OPEN}) ORDER BY row", (limit,))

    def list_dead(self, limit: int) -> list[Row]:
        """List dead letters and refused mail, the latest first."""
        return self._select("WHERE status > 3 AND status IN (5, 6) ORDER BY final_at DESC LIMIT ?", (limit,))

    def _select(self, where: str, bindings: tuple[Any, ...]) -> list[Row]:
        return [read_row(values) for values in self._conn.execute(_SELECT + where, bindings)]

    def drop(self, id: str) -> bool:
        """Delete a dead letter or refused message for good; says whether there was one."""
        return self._forget(self._conn.execute(_DROP, (id,)).fetchall()) == 1

    def retire(self, before: int, limit: int = SWEEP_LIMIT) -> int:
        """Delete at most `limit` rows that became final before `before`; says how many."""
        return sum(
            self._forget(self._conn.execute(_RETIRE, (status, before, limit)).fetchall())
            for status in (Status.DONE, Status.REFUSED, Status.DEAD)
        )

    def _forget(self, rows: list[Any]) -> int:
        self._conn.executemany(_DROP_CONTENT, rows)
        return len(rows)


def _born(row: int, draft: Draft, now: int) -> tuple[Any, ...]:
    status, due, what, final_at = _QUEUED, now, "", 0
    if draft.refused:
        status, what, final_at = _REFUSED, What.REFUSED.value, now
    elif draft.held_until:
        status, due = _HELD, draft.held_until
    return (
        row, draft.id, draft.peer, draft.priority, status, min(due, draft.exp), draft.exp, draft.type, draft.pin,
        draft.refused, what, draft.created, final_at, draft.size, draft.digest,
        draft.screened, draft.asked,
    )  # fmt: skip
