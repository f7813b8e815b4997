"""What came in for this node: filed once, whatever the network repeats; shown, done and receipted from here.

Every method runs inside Database.transaction(); none commits. receive() and put_local() alone make rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apsw
import msgspec

from fleet.core import policy
from fleet.core.lifecycle import State
from fleet.core.receipt import Fate
from fleet.errors import Conflict
from fleet.store.audit import Audit
from fleet.store.audit_mail import record_in
from fleet.store.database import Database
from fleet.store.reception import CLAIM_ROWS, FIND, INSERT, Arrival, Copy, Received, Reception

__all__ = ["Arrival", "Copy", "Inbox", "Mail", "Owed", "Received"]

TRUST_SELF = policy.TRUST_CEILING  # nobody is trusted more than oneself
RETIRE_LIMIT = 1000  # rows that one retire() deletes at most

STATES = (State.RECEIVED, State.SHOWN, State.DONE)  # what the numbers in `status` mean
FATES = (Fate.STORED, Fate.SHOWN, Fate.DONE)  # …and the words that receipts have for them


class Owed(msgspec.Struct, frozen=True, gc=False):
    """One message whose sender must still be told."""

    row: int  # 0 = it was turned away and has no inbox row
    id: str
    seq: int
    digest: bytes
    fate: Fate
    pid: str
    road: str
    peer: str
    reason: str = ""  # of a refusal, or what came of a repair


class Mail(msgspec.Struct, frozen=True, gc=False):
    """One message of the inbox. Times in ms since the epoch, 0 = not yet."""

    row: int
    id: str
    sender: str
    type: str
    priority: int
    state: State  # received, shown, done
    level: int  # the sender's trust level when it came
    received: int
    exp: int
    shown_at: int
    done_at: int
    session: str  # which agent session was shown it
    road: str  # "" = from this node itself
    digest: bytes
    content: bytes  # the envelope without seq and exp


SELECT = """SELECT row, id, sender, type, priority, status, level, received, exp, shown_at, done_at, session, road,
                    digest, content FROM inbox """
_OF_TYPES = """WHERE status = 0 AND type IN ('query', 'reply', 'repair') AND row > ?
               AND type IN (SELECT value FROM carray(?)) ORDER BY row LIMIT ?"""  # the index inbox_asking, word by word
_REPLIES = "WHERE sender = ? AND type = 'reply' ORDER BY received DESC, row DESC LIMIT 1000"
_SHOW = """UPDATE inbox SET status = 1, shown_at = ?, session = ?, owed = pid <> '' WHERE id = ? AND status = 0
           RETURNING id"""
_DO = "UPDATE inbox SET status = 2, done_at = ?, owed = pid <> '' WHERE id = ? AND status < 2 RETURNING id"
_OWED = """SELECT row, id, seq, digest, status, pid, road,
                  coalesce((SELECT result FROM repaired WHERE repaired.row = inbox.row), '')
           FROM inbox WHERE owed = 1 AND sender = ? ORDER BY row LIMIT ?"""
_OWED_TURNED = "SELECT id, seq, digest, fate, pid, road, reason FROM turned_away WHERE owed = 1 AND sender = ? LIMIT ?"
_PEERS_OWED = "SELECT sender FROM inbox WHERE owed = 1 UNION SELECT sender FROM turned_away WHERE owed = 1"
_CLEAR = "UPDATE inbox SET owed = 0 WHERE row = ? AND status = ? AND pid = ?"
_CLEAR_TURNED = "UPDATE turned_away SET owed = 0 WHERE id = ? AND sender = ? AND pid = ?"
_RETIRE = """DELETE FROM inbox WHERE row IN (
               SELECT row FROM inbox WHERE status > 0 AND received < :before AND exp < :before AND owed = 0
               LIMIT :limit)"""
_RETIRE_TURNED = "DELETE FROM turned_away WHERE at < :before AND exp < :before"


class Inbox:
    """The table of messages that came in, and the rule that each comes in once."""

    __slots__ = ("_audit", "_conn", "_db")

    def __init__(self, db: Database, audit: Audit) -> None:
        """Work on an open database; what is refused or put off is written into its audit chain."""
        self._db = db
        self._audit = audit
        self._conn: apsw.Connection = db.conn

    def receive(self, copy: Copy, arrivals: Sequence[Arrival], now: int) -> Received:
        """File what a verified parcel brought and say what each envelope gets as its answer (design § 6, Replay).

        `now` in ms since the epoch.
        """
        if not arrivals:
            return Received([], 0, [], [], [])
        received = Reception(self._db, copy, arrivals, now).file()
        record_in(self._audit, copy.sender, arrivals, received, now)
        return received

    def put_local(self, me: str, arrivals: Sequence[Arrival], now: int) -> list[int]:
        """File messages of this node to itself; gives the rows of those that were new.

        Raises Conflict when an id was used for another content; then nothing is filed.
        """
        if not arrivals:
            return []
        ids = apsw.carray(tuple([arrival.envelope.id for arrival in arrivals]))
        known = {id: digest for id, digest, _, _ in self._conn.execute(FIND, (me, ids))}
        fresh: list[Arrival] = []
        for arrival in arrivals:
            id = arrival.envelope.id
            if id not in known:
                fresh.append(arrival)
            if known.setdefault(id, arrival.digest) != arrival.digest:
                raise Conflict(f"the id {id} was used before for another content")
        last = self._conn.execute(CLAIM_ROWS, {"n": len(fresh)}).get
        rows = range(last - len(fresh) + 1, last + 1)
        self._conn.executemany(INSERT, [_own(row, me, arrival, now) for row, arrival in zip(rows, fresh, strict=True)])
        return list(rows)

    def unshown(self, limit: int, all: bool = False) -> list[Mail]:
        """List mail that nobody was shown, oldest first; with `all` the latest `limit` messages of any state."""
        if all:
            return self._select("ORDER BY row DESC LIMIT ?", (limit,))[::-1]
        return self._select("WHERE status = 0 ORDER BY row LIMIT ?", (limit,))

    def unread_of(self, types: Sequence[str], after: int, limit: int) -> list[Mail]:
        """List mail that the daemon itself reads and nobody was shown, of some types, above row `after`, oldest first."""
        return self._select(_OF_TYPES, (after, apsw.carray(tuple(types)), limit))

    def replies(self, sender: str) -> Iterator[Mail]:
        """Go through the latest 1000 replies of one peer, the latest first, whatever their state."""
        for values in self._conn.execute(SELECT + _REPLIES, (sender,)):
            yield mail_of(values)

    def get(self, id: str) -> Mail | None:
        """Find a message by its id; the first that came, should two senders have used the same."""
        return next(iter(self._select("WHERE id = ? ORDER BY row LIMIT 1", (id,))), None)

    def _select(self, where: str, bindings: tuple[Any, ...]) -> list[Mail]:
        return [mail_of(values) for values in self._conn.execute(SELECT + where, bindings)]

    def mark_shown(self, ids: Iterable[str], session: str, now: int) -> list[str]:
        """Note that an agent session was shown messages; gives the ids that were new until now."""
        shown = self._conn.executemany(_SHOW, [(now, session, id) for id in ids])
        return [id for (id,) in shown]

    def mark_done(self, id: str, now: int) -> bool:
        """Note that a message was processed; says whether that was news."""
        return bool(self._conn.execute(_DO, (now, id)).fetchall())

    def owed(self, peer: str | None, limit: int) -> list[Owed]:
        """List at most `limit` receipts that `peer` (None: anyone) must still get, oldest first."""
        found: list[Owed] = []
        for one in self.peers_owed() if peer is None else [peer]:
            for row, id, seq, digest, status, pid, road, said in self._conn.execute(_OWED, (one, limit - len(found))):
                found.append(Owed(row, id, seq, digest, FATES[status], pid, road, one, said))
            for id, seq, digest, fate, pid, road, reason in self._conn.execute(_OWED_TURNED, (one, limit - len(found))):
                found.append(Owed(0, id, seq, digest, Fate(fate), pid, road, one, reason))
        return found

    def peers_owed(self) -> list[str]:
        """Name the peers that must still get a receipt."""
        return [peer for (peer,) in self._conn.execute(_PEERS_OWED)]

    def clear_owed(self, told: Iterable[Owed]) -> None:
        """Note that receipts went out; a message that moved on or came again since then stays owed."""
        for one in told:
            if one.row:
                self._conn.execute(_CLEAR, (one.row, FATES.index(one.fate), one.pid))
            else:
                self._conn.execute(_CLEAR_TURNED, (one.id, one.peer, one.pid))

    def retire(self, before: int, limit: int = RETIRE_LIMIT) -> int:
        """Delete read messages that came and expired before `before` (ms), at most `limit`; says how many."""
        start = self._conn.total_changes()
        self._conn.execute(_RETIRE, {"before": before, "limit": limit})
        self._conn.execute(_RETIRE_TURNED, {"before": before})
        return self._conn.total_changes() - start


def mail_of(values: tuple[Any, ...]) -> Mail:
    """Read one row of SELECT."""
    row, id, sender, type, priority, status, *rest = values
    return Mail(row, id, sender, type, priority, STATES[status], *rest)


def _own(row: int, me: str, arrival: Arrival, now: int) -> tuple[Any, ...]:
    """Lay out a message to oneself: no number, no parcel, no road, and nobody to tell."""
    one = arrival.envelope
    return (
        row, one.id, me, 0, 0, False, one.priority, TRUST_SELF, now, one.exp, "", "", one.type, arrival.digest,
        arrival.content,
    )  # fmt: skip
