"""Reading the audit chain with distrust: where does it stop being what this node wrote? It changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apsw
import msgspec

from fleet.core.audit import BREAKS, GENESIS, KINDS, SIGNED, chained, read_details
from fleet.store.notary import Head, Notary, is_signed

_ALL = "SELECT seq, at, kind, peer, details, hash FROM audit ORDER BY seq"
_PRUNED = "SELECT details FROM audit WHERE kind = 'pruned' ORDER BY seq DESC LIMIT 1"
_HEAD = "SELECT count, hash, epoch, mac FROM audit_head"


class Checked(msgspec.Struct, frozen=True):
    """What a walk came to. `failed_at` = the seq of the first entry that is wrong or missing; None when all is well."""

    ok: bool
    entries: int
    failed_at: int | None = None
    reason: str = ""


class _Wrong(ValueError):
    """The chain is not what this node wrote, from `seq` on."""

    def __init__(self, seq: int, reason: str) -> None:
        super().__init__(reason)
        self.seq = seq


def check(conn: apsw.Connection, notary: Notary, remembered: Head) -> Checked:
    """Walk the chain from its first entry to its head. `remembered` = the head known from outside the database."""
    entries = int(conn.execute("SELECT count(*) FROM audit").get)
    walk = _Walk(notary, remembered)
    try:
        start = _start(conn, notary.node)
        end = walk.through(conn.execute(_ALL), start)
        _check_head(conn.execute(_HEAD).get, end, notary)
        walk.compare(start, end)
    except _Wrong as wrong:
        return Checked(False, entries, wrong.seq, str(wrong))
    except UnicodeDecodeError:
        return Checked(False, entries, walk.seen + 1, "the entry was changed: it holds what is no text")
    return Checked(True, entries)


def _start(conn: apsw.Connection, node: str) -> Head:
    """Find where the chain must begin: at its origin, or behind what this node said that it pruned."""
    text = conn.execute(_PRUNED).get
    if text is None:
        return Head(0, GENESIS)
    try:
        details = read_details(text)
        return Head(int(details["through"]), bytes.fromhex(str(details["hash"])))
    except (ValueError, KeyError) as error:
        raise _Wrong(1, "the entry that says what was pruned is damaged") from error


class _Walk:
    """One way through the chain, and what it met."""

    def __init__(self, notary: Notary, remembered: Head) -> None:
        self._notary = notary
        self._remembered = remembered
        self.seen = 0  # seq of the last entry that was sound
        self._other = False  # the entry remembered from outside has another hash
        self._broken = (0, "")  # the first entry that says the chain was touched before

    def through(self, rows: Iterator[Any], start: Head) -> Head:
        """Follow the chain; gives its end."""
        at = start
        for row in rows:
            at = self._step(at, *row)
        return at

    def _step(self, before: Head, seq: int, at: int, kind: str, peer: str, details: str, hash: bytes) -> Head:
        if seq != before.count + 1:
            raise _Wrong(min(seq, before.count + 1), _gap(before.count + 1, seq))
        if chained(before.hash, seq, at, kind, peer, details) != hash:
            raise _Wrong(seq, "the entry was changed, or does not follow the one before it")
        self._look(before, Head(seq, hash), kind, details)
        self.seen = seq
        return Head(seq, hash)

    def _look(self, before: Head, here: Head, kind: str, details: str) -> None:
        """Look at what an entry says that is whole in itself."""
        if kind in BREAKS and not self._broken[0]:
            self._broken = (here.count, f"{KINDS[kind]}; this entry says when that was seen")
        if kind in SIGNED and not _vouched(self._notary.node, before, kind, details):
            raise _Wrong(here.count, "the signature in this entry does not fit")
        if here.count == self._remembered.count and here.hash != self._remembered.hash:
            self._other = True

    def compare(self, start: Head, end: Head) -> None:
        """Compare with what is known from outside, then with what the chain says of itself."""
        if end.count < self._remembered.count:
            missing = self._remembered.count - end.count
            raise _Wrong(end.count + 1, f"the database is older than it was: {missing} entries are missing")
        if self._other:
            raise _Wrong(self._remembered.count, "this is another chain than the one remembered beside the keys")
        if self._broken[0]:
            raise _Wrong(*self._broken)


def _vouched(node: str, before: Head, kind: str, details: str) -> bool:
    """Say whether a signed entry holds a true signature: of the entry before it, or of the end of what was pruned."""
    try:
        said = read_details(details)
        signed = Head(int(said["through"]), bytes.fromhex(str(said["hash"])))
    except (ValueError, KeyError):
        return False
    if "signature" not in said:
        return kind == "pruned"  # written without keys: the MAC alone vouches
    return (kind == "pruned" or signed == before) and is_signed(node, signed, said)


def _check_head(row: Any, end: Head, notary: Notary) -> None:
    """Compare the head row with the chain's end."""
    if row is None:
        if end.count:
            raise _Wrong(end.count, "the head of the chain is missing")
        return
    head, epoch, mac = Head(row[0], row[1]), row[2], row[3]
    if epoch not in notary.keys:
        raise _Wrong(end.count, "the head was sealed with a key that this node does not have (any more)")
    if not notary.fits(head, epoch, mac):
        raise _Wrong(end.count, "the head was not sealed by this node")
    if head.count > end.count:
        raise _Wrong(end.count + 1, f"the tail was cut off: {head.count - end.count} entries are missing")
    if head != end:
        raise _Wrong(head.count + 1 if head.count < end.count else end.count, "the chain does not end where its head says")


def _gap(wanted: int, found: int) -> str:
    if found < wanted:
        return f"entry {found} stands where {wanted} should"
    return f"entries {wanted} to {found - 1} are missing" if found > wanted + 1 else f"entry {wanted} is missing"
