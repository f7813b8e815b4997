"""Sequence numbers per peer, never one twice: blocks of them are reserved beside the keys before one is used.

The reserve file outlives a restored database: a store that is behind it was restored from a backup, and its peers get a
new incarnation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import apsw
import msgspec

from fleet.core import policy
from fleet.errors import StoreError
from fleet.store.database import Database
from fleet.store.files import atomic_write

_FIND = "SELECT inc, reserved FROM sequence WHERE peer = ?"
_RESERVE = """INSERT INTO sequence (peer, inc, reserved) VALUES (?, ?, ?)
              ON CONFLICT (peer) DO UPDATE SET inc = excluded.inc, reserved = excluded.reserved"""

_decode = msgspec.json.Decoder(dict[str, tuple[int, int]]).decode


class ReserveFile:
    """Per peer the incarnation and the end of the reserved block, in a file beside the keys (0600)."""

    __slots__ = ("_marks", "path")

    def __init__(self, path: Path) -> None:
        """Name the file; it is read when it is first asked."""
        self.path = path
        self._marks: dict[str, tuple[int, int]] | None = None

    def mark(self, peer: str) -> tuple[int, int]:
        """Give (inc, end of the reserved block) of a peer; (0, 0) when nothing was reserved.

        Raises StoreError when the file is damaged; a missing one is empty.
        """
        return self._read().get(peer, (0, 0))

    def reserve(self, peer: str, inc: int, end: int) -> None:
        """Write a new end down before any number of its block is used. Raises DiskFull or StoreError."""
        marks = {**self._read(), peer: (inc, end)}
        atomic_write(self.path, msgspec.json.encode(marks, order="sorted"))
        self._marks = marks

    def _read(self) -> dict[str, tuple[int, int]]:
        if self._marks is None:
            try:
                self._marks = _decode(self.path.read_bytes())
            except FileNotFoundError:
                self._marks = {}
            except (OSError, msgspec.MsgspecError) as error:
                raise StoreError(f"{self.path} cannot be read: {error}", hint=f"move {self.path} away") from error
        return self._marks


@dataclass(slots=True)
class _Block:
    """What is left of the reserved numbers of one peer."""

    inc: int
    next: int
    end: int  # the last one that may be used


class Sequence:
    """Gives numbers to messages. One instance per process start: each begins a new block."""

    __slots__ = ("_blocks", "_conn", "_reserve", "restored")

    def __init__(self, db: Database, reserve: ReserveFile) -> None:
        """Work on an open database and the reserve file beside the keys."""
        self._conn: apsw.Connection = db.conn
        self._reserve = reserve
        self._blocks: dict[str, _Block] = {}
        self.restored: list[str] = []  # peers for which the database was behind the reserve file

    def current(self, peer: str, now: int) -> int:
        """Give the incarnation in use, beginning one when there is none. `now` in ms since the epoch."""
        return self._block(peer, now).inc

    def next(self, peer: str) -> int:
        """Give the number that the next message gets; 1 before the first use in this process."""
        block = self._blocks.get(peer)
        return block.next if block else 1

    def take(self, peer: str, n: int, now: int) -> tuple[int, int]:
        """Use up n numbers; gives (inc, the first of them). Raises DiskFull or StoreError."""
        block = self._block(peer, now)
        first = block.next
        if first + n - 1 > block.end:
            block.end = self._begin(peer, block.inc, first, n)
        elif self._stored(peer) != (block.inc, block.end):  # the transaction that began the block was rolled back
            self._conn.execute(_RESERVE, (peer, block.inc, block.end))
        block.next = first + n
        return block.inc, first

    def renew(self, peer: str, now: int, above: int = 0) -> int:
        """Begin a new incarnation, higher than any used and than `above`; numbers start at 1 again."""
        known = max(self._stored(peer)[0], self._reserve.mark(peer)[0], above)
        inc = max(now, known + 1)
        self._blocks[peer] = _Block(inc, 1, self._begin(peer, inc, 1))
        return inc

    def _block(self, peer: str, now: int) -> _Block:
        block = self._blocks.get(peer)
        if block is not None:
            return block
        stored, marked = self._stored(peer), self._reserve.mark(peer)
        if stored < marked:
            self.restored.append(peer)
        if stored < marked or stored == (0, 0):
            self.renew(peer, now)
        else:
            inc, end = stored
            self._blocks[peer] = _Block(inc, end + 1, self._begin(peer, inc, end + 1))
        return self._blocks[peer]

    def _begin(self, peer: str, inc: int, first: int, n: int = 0) -> int:
        """Reserve a block from `first` on, in the file and then in the store; gives its end."""
        end = first + max(n, policy.SEQ_BLOCK) - 1
        self._reserve.reserve(peer, inc, end)
        self._conn.execute(_RESERVE, (peer, inc, end))
        return end

    def _stored(self, peer: str) -> tuple[int, int]:
        found = self._conn.execute(_FIND, (peer,)).get
        return (0, 0) if found is None else (int(found[0]), int(found[1]))
