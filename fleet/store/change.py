"""What one event does to one outbox row, as a pure rule; never reads or writes the database.

The status comes from core.lifecycle alone. Here stand the fields that go with it: when the row is due, which road
holds it, what is known of a dead letter, how far the addressee got.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fleet.core.lifecycle import FINAL, Event, State, Status, What, step

EVIDENCE = frozenset({Event.TAKEN, Event.MISSED, Event.LAPSE})  # with an old lease they prove nothing about the row
RANK = {"": 0, State.RECEIVED.value: 1, State.SHOWN.value: 2, State.DONE.value: 3}

STATUSES = tuple(Status)  # by number: faster than Status(number), which searches

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(dict[str, int]).decode


class Change(msgspec.Struct, frozen=True, gc=False):
    """One event for one row. Times in ms since the epoch; a field that the event does not use is ignored."""

    row: int
    event: Event
    lease: int = 0  # the lease the event speaks of; 0 = whichever
    due: int = 0  # MISSED, LATER, LAPSE, HOLD: when the row is looked at again; 0 = now
    road: str = ""  # TAKEN: who holds it; LATER: who does not hold it any more
    until: int = 0  # TAKEN: when that road's patience is over; REVIVE: the new expiry
    reason: str = ""
    what: str = ""  # NACK, EXPIRE: a core.lifecycle.What; "" = judge by what was taken
    reached: str = ""  # RECEIPT: received, shown, done; "" = received
    count_try: bool = False
    unsure: bool = False  # of a row that is SENDING: bytes may have reached the peer all the same


class Applied(msgspec.Struct, frozen=True, gc=False):
    """What a change came to; `old` and `new` are the same when it was only evidence."""

    row: int
    id: str
    peer: str
    old: Status
    new: Status
    reached: str
    held: bool = False  # a road has, or had, a parcel with it


class Standing(msgspec.Struct, gc=False):
    """The fields of a row that events change, in the order of outbox's statements."""

    row: int
    id: str
    peer: str
    status: int
    due: int
    exp: int
    inc: int
    seq: int
    lease: int
    tries: int
    taken: str
    reason: str
    what: str
    reached: str
    final_at: int
    unsure: int


def read_taken(text: str) -> dict[str, int]:
    """Read the `taken` column: channel -> when its patience is over, ms."""
    return _decode(text) if text else {}


def move_taken(text: str, by: int) -> str:
    """Move the times in the `taken` column by so many ms."""
    return _encode({road: until + by for road, until in read_taken(text).items()}).decode()


def turn(at: Standing, change: Change, now: int) -> Applied:
    """Bring the standing of a row to what it is after the change. Raises IllegalTransition."""
    old = STATUSES[at.status]
    event = change.event
    if event is Event.TAKEN:
        at.taken = _with_road(at.taken, change.road, change.until)
    if event in EVIDENCE and change.lease not in (0, at.lease):
        return Applied(at.row, at.id, at.peer, old, old, at.reached, bool(at.taken))
    if old is Status.SENDING and (change.unsure or event is Event.LAPSE):  # whoever had it may have sent it
        at.unsure = 1
    new = step(old, event)
    at.status = new.value
    if change.count_try and new not in FINAL:
        at.tries += 1
    _ACTS[event](at, change, now, new is not old)
    return Applied(at.row, at.id, at.peer, old, new, at.reached, bool(at.taken))


def arrived(changes: Sequence[Change], applied: Sequence[Applied], rows: int) -> str:
    """Say how far all rows came when every change is the first receipt of its row: one statement can write that.

    Empty when they differ in anything.
    """
    if not applied or not len(changes) == len(applied) == rows:
        return ""
    reached = applied[0].reached
    same = all(
        change.event is Event.RECEIPT and not change.reason and one.old is not one.new and one.reached == reached
        for change, one in zip(changes, applied, strict=True)
    )
    return reached if same else ""


def _receipt(at: Standing, change: Change, now: int, moved: bool) -> None:
    reached = change.reached or State.RECEIVED.value
    if RANK[reached] > RANK[at.reached]:
        at.reached = reached
    if moved:
        at.final_at, at.what, at.reason = now, "", ""
    at.reason = change.reason or at.reason


def _end(at: Standing, change: Change, now: int, moved: bool) -> None:
    if moved:
        at.final_at, at.reason = now, change.reason
        at.what = change.what or (What.UNCONFIRMED if at.taken or at.unsure else What.UNDELIVERED).value


def _refuse(at: Standing, change: Change, now: int, moved: bool) -> None:
    if moved:
        at.final_at, at.reason, at.what = now, change.reason, What.REFUSED.value


def _hold(at: Standing, change: Change, now: int, moved: bool) -> None:
    at.due, at.reason = _within(at, change.due, now), change.reason


def _taken(at: Standing, change: Change, now: int, moved: bool) -> None:
    if moved:
        at.due = _within(at, change.until, now)


def _back(at: Standing, change: Change, now: int, moved: bool) -> None:
    """MISSED and LATER: a row that is in the queue again waits until `due`."""
    if change.event is Event.LATER and change.road and at.taken:
        at.taken = _without_road(at.taken, change.road)
        at.unsure = 1  # one copy was put off; others of it may still be on their way
    if at.status == Status.QUEUED:
        at.due = _within(at, change.due, now)
        at.reason = change.reason or at.reason


def _free(at: Standing, change: Change, now: int, moved: bool) -> None:
    """DUE and LAPSE: back into the queue at once."""
    if moved:
        at.due = _within(at, change.due, now)
        at.reason = ""


def _revive(at: Standing, change: Change, now: int, moved: bool) -> None:
    at.exp = change.until or at.exp
    at.due = _within(at, change.due, now)
    at.unsure = int(bool(at.unsure or at.taken))
    at.inc = at.seq = at.lease = at.tries = at.final_at = 0
    at.taken = at.reason = at.what = ""


_ACTS = {
    Event.HOLD: _hold,
    Event.REFUSE: _refuse,
    Event.DUE: _free,
    Event.TAKEN: _taken,
    Event.MISSED: _back,
    Event.LAPSE: _free,
    Event.LATER: _back,
    Event.RECEIPT: _receipt,
    Event.NACK: _end,
    Event.EXPIRE: _end,
    Event.REVIVE: _revive,
}


def _within(at: Standing, due: int, now: int) -> int:
    """A row is looked at again at its expiry at the latest."""
    return min(due or now, at.exp)


def _with_road(taken: str, road: str, until: int) -> str:
    roads = read_taken(taken)
    roads[road] = max(until, roads.get(road, 0))
    return _encode(roads).decode()


def _without_road(taken: str, road: str) -> str:
    roads = read_taken(taken)
    roads.pop(road, None)
    return _encode(roads).decode() if roads else ""
