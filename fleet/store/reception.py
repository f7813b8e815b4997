"""One parcel being filed: every envelope gets its answer, the inbox its rows, the window its seqs; sends nothing.

The order of the questions is the replay rule (design § 6): a known id is answered by what was stored, before its seq
counts; an unknown one must have an unused seq of a living incarnation, at or above low.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from fleet.core import policy
from fleet.core.budget import UNLIMITED, Limits
from fleet.core.envelope import FREE, Cost, Envelope
from fleet.core.receipt import Entry, Fate
from fleet.core.screened import Found
from fleet.store.accounts import IN
from fleet.store.database import Database
from fleet.store.purse import Purse
from fleet.store.replay import Window

ID_REUSED = "this id came before with another content"
REPEATED = 2  # from this duplicate on the receipt also goes down its own plan


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """One envelope that came in, with what our gates say of it."""

    envelope: Envelope
    content: bytes
    digest: bytes
    refuse: str = ""  # a gate's reason
    expired: bool = False
    later: str = ""  # why an unknown one is put off (clock unsure): its seq stays unused
    level: int = policy.TRUST_CEILING  # of the least trusted of those whose words it is
    found: tuple[Found, ...] = ()  # what the content gate replaced in `content`; `digest` is that of what was sent


class Copy(msgspec.Struct, frozen=True, gc=False):
    """The parcel that brought the envelopes."""

    sender: str
    pid: str
    road: str
    inc: int
    low: int
    owed: bool  # the road has no way back: the receipt must travel by itself
    level: int  # the sender's trust level now
    hops: int = 0  # relays it crossed
    limits: Limits = UNLIMITED  # what the sender may cost, unless the operator said otherwise
    at: int = 0  # timeline ms


class Received(msgspec.Struct, frozen=True):
    """What receiving a parcel came to."""

    entries: list[Entry]
    inc: int  # the highest incarnation known, when an entry says `seq used` or `stale inc`; else 0
    fresh: list[int]  # rows of new mail
    repeated: list[str]  # ids at their second or later duplicate: the receipt also goes down its own plan
    alarms: list[str]  # security events
    micro_usd: int = 0  # debited
    overspent: int = 0  # messages that did not fit into the sender's budget


class _Known(msgspec.Struct, gc=False):
    """What is stored of an id: a row of the inbox, or the answer that was given without one (row 0)."""

    digest: bytes
    row: int = 0
    copies: int = 0
    fate: Fate = Fate.DUPLICATE
    reason: str = ""


CLAIM_ROWS = """INSERT INTO number (name, last) VALUES ('inbox', :n)
                ON CONFLICT (name) DO UPDATE SET last = last + :n RETURNING last"""
INSERT = """INSERT INTO inbox (row, id, sender, inc, seq, status, owed, priority, level, received, exp, pid, road, type,
                               digest, content)
            VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
FIND = "SELECT id, digest, row, copies FROM inbox WHERE sender = ? AND id IN (SELECT value FROM carray(?))"
_FIND_TURNED = """SELECT id, digest, copies, fate, reason FROM turned_away
                  WHERE sender = ? AND id IN (SELECT value FROM carray(?))"""
_TURN_AWAY = """INSERT INTO turned_away (id, sender, seq, digest, fate, reason, owed, pid, road, at, exp)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_REPEAT = "UPDATE inbox SET copies = ?, owed = max(owed, ?), pid = ?, road = ? WHERE id = ? AND sender = ?"
_REPEAT_TURNED = _REPEAT.replace("inbox", "turned_away")


class Reception:
    """Looks everything up once, judges envelope by envelope, writes everything once."""

    __slots__ = ("_alarms", "_arrivals", "_conn", "_copy", "_known", "_now", "_overspent", "_purse", "_repeats", "_row",
                 "_rows", "_turned", "_window")  # fmt: skip

    def __init__(self, db: Database, copy: Copy, arrivals: Sequence[Arrival], now: int) -> None:
        """Look up what the database knows of the parcel's ids. `now` in ms since the epoch."""
        self._conn: apsw.Connection = db.conn
        self._copy = copy
        self._arrivals = arrivals
        self._now = now
        self._window = Window(db, copy.sender, copy.inc, copy.low)
        self._purse = Purse(db, copy.sender, IN, copy.limits, copy.at)
        self._overspent = 0
        self._known = self._look_up()
        self._row: int = self._conn.execute(CLAIM_ROWS, {"n": len(arrivals)}).get - len(arrivals)
        self._rows: list[tuple[Any, ...]] = []
        self._turned: list[tuple[Any, ...]] = []
        self._repeats: dict[str, _Known] = {}
        self._alarms: list[str] = []

    def _look_up(self) -> dict[str, _Known]:
        ids = apsw.carray(tuple([arrival.envelope.id for arrival in self._arrivals]))
        known = {
            id: _Known(digest, 0, copies, Fate(fate), reason)
            for id, digest, copies, fate, reason in self._conn.execute(_FIND_TURNED, (self._copy.sender, ids))
        }
        for id, digest, row, copies in self._conn.execute(FIND, (self._copy.sender, ids)):
            known[id] = _Known(digest, row, copies)
        return known

    def file(self) -> Received:
        """Judge and write. Everything or nothing: the caller's transaction."""
        entries = [self._judge(arrival) for arrival in self._arrivals]
        self._conn.executemany(INSERT, self._rows)
        if self._turned:
            self._conn.executemany(_TURN_AWAY, self._turned)
        if self._repeats:
            self._repeat()
        self._window.save()
        self._purse.save()
        return Received(
            entries,
            self._window.highest() if self._window.disputes else 0,
            [values[0] for values in self._rows],
            [id for id, known in self._repeats.items() if known.copies >= REPEATED],
            self._alarms + self._window.alarms,
            self._purse.micro_usd,
            self._overspent,
        )

    def _repeat(self) -> None:
        """Count the duplicates; they are owed a receipt again where the answer has no way back or did not help."""
        copy = self._copy
        for id, known in self._repeats.items():
            values = (known.copies, copy.owed or known.copies >= REPEATED, copy.pid, copy.road, id, copy.sender)
            self._conn.execute(_REPEAT if known.row else _REPEAT_TURNED, values)

    def _judge(self, arrival: Arrival) -> Entry:
        envelope = arrival.envelope
        known = self._known.get(envelope.id)
        if known is not None:
            return self._again(arrival, known)
        refusal = self._window.refusal(envelope.seq)
        if refusal is None and arrival.later:
            refusal = Fate.LATER, arrival.later
        if refusal is not None:
            fate, reason = refusal
            if fate is Fate.LATER:
                return Entry(envelope.id, envelope.seq, arrival.digest, fate, reason, policy.BACKOFF_CAP)
            return Entry(envelope.id, envelope.seq, arrival.digest, fate, reason)
        self._window.use(envelope.seq)
        if arrival.expired or arrival.refuse:
            return self._turn_away(arrival, arrival.refuse)
        if envelope.cost is not FREE or self._copy.hops:
            over = self._charge(envelope.cost)
            if over:
                return self._turn_away(arrival, over)
        return self._store(arrival)

    def _charge(self, cost: Cost) -> str:
        """Debit a message; gives the reason for which it does not fit into its sender's budget."""
        shortage = self._purse.shortage(cost, self._copy.hops)
        if shortage is None:
            self._purse.take(cost)
            return ""
        self._overspent += 1
        return f"budget: {shortage.reason}; fleet budget {self._copy.sender}, at the addressee"

    def _again(self, arrival: Arrival, known: _Known) -> Entry:
        """Answer an id that came before: the same content as then, another one as an attack."""
        id, seq, digest = arrival.envelope.id, arrival.envelope.seq, arrival.digest
        if digest != known.digest:
            self._alarms.append(f"{self._copy.sender}: {id} came again with another content")
            return Entry(id, seq, digest, Fate.REFUSED, ID_REUSED)
        known.copies += 1
        self._repeats[id] = known
        return Entry(id, seq, digest, known.fate, known.reason)

    def _turn_away(self, arrival: Arrival, why: str) -> Entry:
        envelope, copy = arrival.envelope, self._copy
        fate, reason = (Fate.EXPIRED, "") if arrival.expired else (Fate.REFUSED, why)
        self._turned.append(
            (
                envelope.id, copy.sender, envelope.seq, arrival.digest, fate.value, reason, copy.owed, copy.pid,
                copy.road, self._now, envelope.exp,
            )
        )  # fmt: skip
        self._known[envelope.id] = _Known(arrival.digest, 0, 0, fate, reason)
        return Entry(envelope.id, envelope.seq, arrival.digest, fate, reason)

    def _store(self, arrival: Arrival) -> Entry:
        envelope, copy = arrival.envelope, self._copy
        self._row += 1
        self._rows.append(
            (
                self._row, envelope.id, copy.sender, copy.inc, envelope.seq, copy.owed, envelope.priority,
                min(copy.level, arrival.level), self._now, envelope.exp, copy.pid, copy.road, envelope.type,
                arrival.digest, arrival.content,
            )
        )  # fmt: skip
        self._known[envelope.id] = _Known(arrival.digest, self._row)
        return Entry(envelope.id, envelope.seq, arrival.digest, Fate.STORED)
