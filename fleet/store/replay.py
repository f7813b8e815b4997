"""The replay window of one sender in the store: which incarnations and seqs were seen; never looks at an id or a clock.

A Window lives for one call of Inbox.receive: opened, asked for each envelope, saved in the same transaction.
"""

from __future__ import annotations

import apsw
import msgspec

from fleet.core import policy
from fleet.core.receipt import SEQ_USED, STALE_INC, WINDOW_FULL, Fate
from fleet.core.window import Ranges
from fleet.store.database import Database

_FIND = "SELECT low, ranges FROM window WHERE sender = ? AND inc = ?"
_FIND_SENDER = "SELECT floor, disputed FROM sender WHERE sender = ?"
_KEPT = "SELECT inc FROM window WHERE sender = ? ORDER BY inc"
_SAVE = """INSERT INTO window (sender, inc, low, ranges) VALUES (?, ?, ?, ?)
           ON CONFLICT (sender, inc) DO UPDATE SET low = excluded.low, ranges = excluded.ranges"""
_DROP = "DELETE FROM window WHERE sender = ? AND inc = ?"
_SAVE_SENDER = """INSERT INTO sender (sender, floor, disputed) VALUES (?, ?, ?)
                  ON CONFLICT (sender) DO UPDATE SET floor = excluded.floor, disputed = excluded.disputed"""

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(list[tuple[int, int]]).decode

BELOW_LOW = "below low"


class Window:
    """What is known of one incarnation of one sender, and whether it is one that may still send."""

    __slots__ = ("_conn", "_dirty", "_disputed", "_floor", "_kept", "_low", "_ranges", "alarms", "disputes", "inc",
                 "sender")  # fmt: skip

    def __init__(self, db: Database, sender: str, inc: int, low: int) -> None:
        """Load the window and raise its low to what the parcel promises; save() writes it back."""
        self._conn: apsw.Connection = db.conn
        self.sender = sender
        self.inc = inc
        self.alarms: list[str] = []  # what only a thief or a broken sender does
        self.disputes = False  # a seq or an incarnation was answered `closed`: the sender needs the highest inc
        whole = self._conn.execute(_FIND_SENDER, (sender,)).get or (0, 0)
        self._floor, self._disputed = int(whole[0]), int(whole[1])
        found = self._conn.execute(_FIND, (sender, inc)).get
        self._low = int(found[0]) if found else low
        self._ranges = Ranges(_decode(found[1]) if found else ())
        self._kept: list[int] = [] if found else [kept for (kept,) in self._conn.execute(_KEPT, (sender,))]
        self._dirty = False
        if low > self._low:
            self._low = low
            self._ranges.forget_below(low)
            self._dirty = found is not None

    def refusal(self, seq: int) -> tuple[Fate, str] | None:
        """Say why an unknown id must not use `seq`; None when it may."""
        if self._stale():
            return self._dispute(STALE_INC)
        if seq < self._low:
            return Fate.CLOSED, BELOW_LOW
        if seq in self._ranges:
            return self._dispute(SEQ_USED)
        full = len(self._ranges) >= policy.WINDOW_RANGES
        if full and seq - 1 not in self._ranges and seq + 1 not in self._ranges:
            return Fate.LATER, WINDOW_FULL
        return None

    def use(self, seq: int) -> None:
        """Remember that `seq` was seen."""
        self._ranges.add(seq)
        self._dirty = True

    def highest(self) -> int:
        """Give the highest incarnation known of the sender."""
        kept = [kept for (kept,) in self._conn.execute(_KEPT, (self.sender,))]
        return int(max([self._floor, *kept]))

    def save(self) -> None:
        """Write back what changed; a new incarnation pushes the lowest out when there are too many."""
        if self._dirty:
            self._conn.execute(_SAVE, (self.sender, self.inc, self._low, _encode(self._ranges.pairs()).decode()))
            if len(self._kept) >= policy.INCS_KEPT:
                self._floor = self._kept[0]
                self._conn.execute(_DROP, (self.sender, self._floor))
                self._save_sender()

    def _stale(self) -> bool:
        """At or below the floor, or lower than every one of a full set."""
        return self.inc <= self._floor or (len(self._kept) >= policy.INCS_KEPT and self.inc < self._kept[0])

    def _dispute(self, reason: str) -> tuple[Fate, str]:
        """Close it; the first time may be a restored backup, again under a newer incarnation is an alarm."""
        self.disputes = True
        if not self._disputed:
            self._disputed = self.inc
            self._save_sender()
        elif self.inc > self._disputed:
            self.alarms.append(f"{self.sender}: {reason} again, in incarnation {self.inc}")
        return Fate.CLOSED, reason

    def _save_sender(self) -> None:
        self._conn.execute(_SAVE_SENDER, (self.sender, self._floor, self._disputed))
