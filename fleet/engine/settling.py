"""What a verified receipt does to outbox rows; pure but for the rows it is given. It settles nothing a digest denies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fleet.core.lifecycle import Event, State
from fleet.core.receipt import GOOD, NO_SESSION, SEQ_USED, STALE_INC, Entry, Fate, Receipt
from fleet.store import Store
from fleet.store.outbox import Applied, Change, Row

_REACHED = {Fate.SHOWN: State.SHOWN, Fate.DONE: State.DONE}
AWAY = f"later: {NO_SESSION}"  # the reason of a row that waits for a session at the addressee
CHIEF = "relay"  # … by this road
LATER_DEFAULT = 5.0  # seconds, for a signed "later" that names no time


@dataclass(slots=True)
class Settlement:
    """The changes a receipt makes, and what it says about the peer."""

    changes: list[Change] = field(default_factory=list)
    settled: set[int] = field(default_factory=set)  # rows it says something about
    renew_above: int = -1  # take an incarnation above this one
    wrong: int = 0  # entries with another digest: a proof against the peer
    refused: int = 0  # messages that a gate of the peer refused


def settle(receipt: Receipt, rows: Iterable[Row], now: int, *, fresh: bool = True) -> Settlement:
    """Read what a receipt says about `rows`, those its parcel carried.

    Good fates settle a row whatever its seq. refused, later, expired and closed count for the current seq only and once
    per parcel: `fresh` = no receipt of this pid was settled before.
    """
    made = Settlement()
    if not receipt.entries:
        for row in rows:
            _apply(made, row, Entry(row.id, row.seq, row.digest, receipt.fate, receipt.reason, receipt.retry_after), now,
                   receipt, fresh)  # fmt: skip
        return made
    by_id: Mapping[str, Row] = {row.id: row for row in rows}
    for entry in receipt.entries:
        known = by_id.get(entry.id)
        if known is None:
            continue
        if entry.digest != known.digest:
            made.wrong += 1
            continue
        _apply(made, known, entry, now, receipt, fresh)
    return made


def _apply(made: Settlement, row: Row, entry: Entry, now: int, receipt: Receipt, fresh: bool) -> None:
    if entry.fate in GOOD:
        reached = _REACHED.get(entry.fate, State.RECEIVED)
        made.changes.append(Change(row.row, Event.RECEIPT, reached=reached, reason=entry.reason))
        made.settled.add(row.row)
    elif fresh and entry.seq == row.seq:
        made.changes.append(_bad(made, row, entry, now, receipt))
        made.settled.add(row.row)


def _bad(made: Settlement, row: Row, entry: Entry, now: int, receipt: Receipt) -> Change:
    """Say what a "no" does; whatever it is, the road that brought the copy does not hold it any more."""
    if entry.fate is Fate.REFUSED:
        made.refused += 1
        return Change(row.row, Event.REFUSE, reason=f"the peer: {entry.reason}")
    due = now + int((entry.retry_after or LATER_DEFAULT) * 1000)
    if entry.fate is Fate.LATER and entry.reason == NO_SESSION:  # a chief keeps it until somebody is there
        return Change(row.row, Event.LATER, due=now, road=receipt.road, reason=AWAY)
    if entry.fate is Fate.LATER:
        return Change(row.row, Event.LATER, due=due, road=receipt.road, reason=f"later: {entry.reason}")
    if entry.fate is Fate.CLOSED and entry.reason in (SEQ_USED, STALE_INC):
        made.renew_above = max(made.renew_above, receipt.inc, row.inc)
        return Change(row.row, Event.LATER, due=now, road=receipt.road, reason=f"later: {entry.reason}")
    return Change(row.row, Event.NACK, reason=f"the peer: {entry.fate} {entry.reason}".strip())


def settle_late(store: Store, peer: str, receipt: Receipt, now: int) -> tuple[Settlement, list[Applied]]:
    """Settle a receipt that came by itself, in a transaction; one for mail that was another's settles nothing."""
    parcel = store.ledger.parcel(receipt.pid)
    if parcel is None or parcel.peer != peer:
        return Settlement(wrong=0 if parcel is None else 1), []
    settlement = settle(receipt, store.outbox.by_rows(parcel.rows), now, fresh=not parcel.answered)
    store.ledger.answered(parcel.number)
    if settlement.renew_above >= 0:
        store.sequence.renew(peer, now, settlement.renew_above)
    return settlement, store.outbox.apply(settlement.changes, now)
