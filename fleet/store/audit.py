"""The audit chain: what was refused, held or changed, entry by entry; it decides nothing and changes no entry.

Every method runs inside Database.transaction(); none commits. An entry's hash covers the hash before it; one head row says
how many entries there are and which hash is the last, under a MAC of this node's own key, in the same transaction. An add
never fails because somebody touched the chain: it goes on, and says so in an entry of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw
import msgspec

from fleet.core import policy
from fleet.core.audit import NOTHING, Details, Scalar, bounded_word, chained, read_details, write_details
from fleet.store.audit_check import Checked, check
from fleet.store.database import Database
from fleet.store.notary import Head, HeadFile, Notary

_HEAD = "SELECT count, hash, epoch, mac FROM audit_head"
_AROUND = "SELECT seq, hash FROM audit WHERE seq IN (?, ?)"
_LAST = "SELECT coalesce(max(seq), 0) FROM audit WHERE seq < ?"
_PUT = "INSERT OR REPLACE INTO audit (seq, at, kind, peer, details, hash) VALUES (?, ?, ?, ?, ?, ?)"
_SET_HEAD = """INSERT INTO audit_head (one, count, hash, epoch, mac) VALUES (1, ?, ?, ?, ?) ON CONFLICT (one) DO UPDATE SET
               count = excluded.count, hash = excluded.hash, epoch = excluded.epoch, mac = excluded.mac"""
_LIST = """SELECT seq, at, kind, peer, details, hash FROM audit
           WHERE at >= ? AND (? = '' OR kind = ?) AND (? = '' OR peer = ?) ORDER BY seq DESC LIMIT ?"""
_TALLY = "SELECT since, repeats FROM audit_tally WHERE kind = ? AND peer = ? AND details = ?"
_TALLIED = "SELECT count(*) FROM audit_tally WHERE kind = ? AND peer = ?"
_PUT_TALLY = "INSERT OR REPLACE INTO audit_tally (kind, peer, details, since, repeats) VALUES (?, ?, ?, ?, ?)"
_ENDED = "DELETE FROM audit_tally WHERE since <= ? RETURNING kind, peer, details, since, repeats"
_LATEST = "SELECT seq, at FROM audit WHERE kind = 'checkpoint' ORDER BY seq DESC LIMIT 1"
_TOUCHED = "SELECT coalesce(max(seq), 0) FROM audit WHERE kind = 'chain_touched'"
_FIRST = "SELECT seq, at FROM audit ORDER BY seq LIMIT 1"
_CUT = "SELECT coalesce(min(seq) - 1, (SELECT max(seq) FROM audit)) FROM audit WHERE at >= ?"
_HASH = "SELECT hash FROM audit WHERE seq = ?"
_PRUNE = "DELETE FROM audit WHERE seq <= ?"


class Entry(msgspec.Struct, frozen=True):
    """One entry as it is shown."""

    seq: int
    at: int
    kind: str
    peer: str
    details: dict[str, Scalar]
    hash: str


class Audit:
    """The chain of one node."""

    __slots__ = ("_conn", "_db", "_file", "_notary", "on_tally")

    def __init__(self, db: Database, file: HeadFile) -> None:
        """Work on an open database and the file that remembers the head beside the keys."""
        self._db = db
        self._conn: apsw.Connection = db.conn
        self._file = file
        self._notary = Notary()
        self.on_tally: Callable[[str, Details, int], None] = lambda kind, details, n: None  # for figures; repeats included

    def use(self, notary: Notary) -> None:
        """Let the keys in force vouch for the head from the next entry on."""
        self._notary = notary

    # --- write --------------------------------------------------------------------------------------------------------

    def add(self, kind: str, *, peer: str = "", details: Details = NOTHING, now: int) -> None:
        """Append an entry; `now` in ms. Raises ValueError for a kind or field that core.audit does not name."""
        self._append(self._sound_head(now), kind, peer, write_details(kind, details), now)

    def tally(
        self, kind: str, *, peer: str = "", details: Details = NOTHING, first: Details = NOTHING, n: int = 1, now: int
    ) -> None:  # fmt: skip
        """Append an entry, or count it when an equal one is less than a minute old: a flood becomes one entry a minute.

        `first` goes into the entry alone and makes no difference to what is equal. One peer has at most
        policy.AUDIT_TALLIES different ones a minute; what is beyond is counted without details.
        """
        self.on_tally(kind, details, n)
        text = write_details(kind, details)
        found = self._conn.execute(_TALLY, (kind, peer, text)).get
        if found is None and self._conn.execute(_TALLIED, (kind, peer)).get >= policy.AUDIT_TALLIES:
            text, first = "{}", NOTHING
            found = self._conn.execute(_TALLY, (kind, peer, text)).get
        if found is not None and now - found[0] < policy.AUDIT_MINUTE and found[0] <= now:
            self._conn.execute(_PUT_TALLY, (kind, peer, text, found[0], found[1] + n))
            return
        if found is not None:
            self._tell_tally(kind, peer, text, found[0], found[1], now)
        self._conn.execute(_PUT_TALLY, (kind, peer, text, now, n - 1))
        self.add(kind, peer=peer, details={**read_details(text), **first}, now=now)

    def settle(self, now: int) -> None:
        """Write the counts whose minute is over, each as one entry."""
        ended: list[Any] = self._conn.execute(_ENDED, (now - policy.AUDIT_MINUTE,)).fetchall()
        for kind, peer, text, since, repeats in ended:
            self._tell_tally(kind, peer, text, since, repeats, now)

    def _tell_tally(self, kind: str, peer: str, text: str, since: int, repeats: int, now: int) -> None:
        if repeats > 0:
            details = {**read_details(text), "count": repeats, "since": since}
            self._append(self._sound_head(now), kind, peer, write_details(kind, details), now)

    def _append(self, head: Head, kind: str, peer: str, details: str, now: int) -> Head:
        seq, peer = head.count + 1, bounded_word(peer)
        new = Head(seq, chained(head.hash, seq, now, kind, peer, details))
        self._conn.execute(_PUT, (seq, now, kind, peer, details, new.hash))
        self._conn.execute(_SET_HEAD, (new.count, new.hash, self._notary.epoch, self._notary.mac(new)))
        return new

    def _sound_head(self, now: int) -> Head:
        """Give the head to continue; one that is not as this node left it is named in the chain first."""
        found = self._conn.execute(_HEAD).get
        if found is None and self._conn.execute(_FIRST).get is None:
            return Head()
        if found is not None and self._is_sound(*found):
            return Head(found[0], found[1])
        last = int(self._conn.execute(_LAST, (policy.SAFE_INTEGER,)).get)
        said, before = (0, Head().hash) if found is None else (found[0], found[1])
        return self._append(
            Head(last, before), "chain_touched", "", write_details("chain_touched", {"found": last, "known": said}), now
        )

    def _is_sound(self, count: int, hash: bytes, epoch: str, mac: bytes) -> bool:
        """Say whether the head is this node's and the chain ends where it says."""
        if not self._notary.fits(Head(count, hash), epoch, mac):
            return False
        return self._conn.execute(_AROUND, (count, count + 1)).fetchall() == [(count, hash)]

    # --- the outside --------------------------------------------------------------------------------------------------

    def begin(self, now: int, **words: str) -> bool:
        """Say that the daemon starts; gives what compare() gives."""
        same = self.compare(now)
        self.add("started", details=words, now=now)
        return same

    def compare(self, now: int) -> bool:
        """Say whether the chain is the one remembered or grew from it; if not, an entry says so as well."""
        known = self._file.read()
        same = self._extends(known)
        if not same:
            self.add("chain_behind", details={"found": self.head().count, "remembered": known.count}, now=now)
        return same

    def _extends(self, known: Head) -> bool:
        """Say whether the chain is the one remembered, or longer; what was pruned since cannot be compared any more."""
        if self.head().count < known.count:
            return False
        hash = self._conn.execute(_HASH, (known.count,)).get
        return hash is None or hash == known.hash

    def remember(self) -> None:
        """Remember the head beside the keys, if it is another. Raises DiskFull or StoreError."""
        head = self.head()
        if head != self._file.read():
            self._file.write(head)

    def checkpoint(self, now: int) -> bool:
        """Sign the head, unless nothing came since the last time or that was a short while ago; says whether it did."""
        head = self.head()
        seq, at = self._conn.execute(_LATEST).get or (0, 0)
        fresh = now - at < policy.AUDIT_SIGN_EVERY and head.count - seq < policy.AUDIT_SIGN_ENTRIES
        if head.count == seq or (seq and fresh):
            return False
        signed = self._notary.sign(head)
        if signed:
            self.add("checkpoint", details={"through": head.count, "hash": head.hash.hex(), **signed}, now=now)
        return bool(signed)

    def prune(self, before: int, now: int) -> int:
        """Delete what is older than `before` from the front, under a signed entry that says how far; says how many.

        At most once a day, so that the entries about it stay few.
        """
        seq, at = self._conn.execute(_FIRST).get or (0, now)
        cut = int(self._conn.execute(_CUT, (before,)).get) if at < before - policy.AUDIT_DAY else 0
        if cut < max(seq, 1):
            return 0
        end = Head(cut, self._conn.execute(_HASH, (cut,)).get)
        self.add("pruned", details={"through": cut, "hash": end.hash.hex(), **self._notary.sign(end)}, now=now)
        self._conn.execute(_PRUNE, (cut,))
        return cut - seq + 1

    # --- read ---------------------------------------------------------------------------------------------------------

    def head(self) -> Head:
        """Give how many entries there ever were, and the hash of the last."""
        found = self._conn.execute(_HEAD).get
        return Head() if found is None else Head(found[0], found[1])

    def touched(self) -> int:
        """Give the seq of the last entry that says that somebody touched the chain; 0 = never."""
        return int(self._conn.execute(_TOUCHED).get)

    def entries(self, *, since: int = 0, kind: str = "", peer: str = "", limit: int = -1) -> list[Entry]:
        """List the latest entries, the oldest of them first; `since` in ms, -1 = without limit."""
        rows: list[Any] = self._conn.execute(_LIST, (since, kind, kind, peer, peer, limit)).fetchall()
        return [
            Entry(seq, at, kind, peer, _shown(details), hash.hex()) for seq, at, kind, peer, details, hash in reversed(rows)
        ]

    def verify(self) -> Checked:
        """Walk the whole chain: what was edited, removed, inserted, reordered or cut off shows, and where."""
        return check(self._conn, self._notary, self._file.read())


def _shown(details: str) -> dict[str, Scalar]:
    try:
        return read_details(details)
    except ValueError:
        return {"reason": "the details of this entry are damaged"}
