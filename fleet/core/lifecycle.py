"""The life of an outbound message as a table; step() only looks up and a missing cell is a bug, never a silent no-op.

store/outbox.py applies it; nothing else changes a status. TAKEN, MISSED and LAPSE carry the lease's number: with an old
one they are evidence only and never reach this table.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from types import MappingProxyType

from fleet.errors import IllegalTransition


class Status(IntEnum):
    """Where an outbox row stands; the number is what the database holds."""

    QUEUED = 0
    HELD = 1
    SENDING = 2
    WAITING = 3
    DONE = 4
    REFUSED = 5
    DEAD = 6


OPEN = frozenset({Status.QUEUED, Status.HELD, Status.SENDING, Status.WAITING})
FINAL = frozenset({Status.DONE, Status.REFUSED, Status.DEAD})


class Event(StrEnum):
    """What can happen to an outbox row; the columns of the table."""

    LEASE = "lease"  # a courier takes it along
    HOLD = "hold"  # our own gate: not now
    REFUSE = "refuse"  # our own gate, or the peer's signed gate refusal
    DUE = "due"  # its hold or the roads' patience is over
    TAKEN = "taken"  # a road has it in custody
    MISSED = "missed"  # the walk ended and no road took it
    LAPSE = "lapse"  # the lease ran out: whoever held it is gone
    LATER = "later"  # the peer's signed "not now"
    RECEIPT = "receipt"  # the peer's signed "it is here"
    NACK = "nack"  # a signed expired or closed, or our own cancel
    EXPIRE = "expire"  # its time or its tries are used up
    REVIVE = "revive"  # an operator gives it a new expiry


_Q, _H, _S, _W = Status.QUEUED, Status.HELD, Status.SENDING, Status.WAITING
_DONE, _R, _DEAD = Status.DONE, Status.REFUSED, Status.DEAD
_E = Event


def _row(**cells: Status) -> MappingProxyType[Event, Status]:
    return MappingProxyType({Event[name.upper()]: status for name, status in cells.items()})


# A late receipt wins over DEAD and REFUSED, because the truth is that it arrived.
LIFE: MappingProxyType[Status, MappingProxyType[Event, Status]] = MappingProxyType(
    {
        _Q: _row(
            lease=_S, hold=_H, refuse=_R, taken=_Q, missed=_Q, lapse=_Q, later=_Q, receipt=_DONE, nack=_DEAD, expire=_DEAD
        ),
        _H: _row(
            refuse=_R, due=_Q, taken=_H, missed=_H, lapse=_H, later=_H, receipt=_DONE, nack=_DEAD, expire=_DEAD, revive=_Q
        ),
        _S: _row(refuse=_R, taken=_W, missed=_Q, lapse=_Q, later=_Q, receipt=_DONE, nack=_DEAD),
        _W: _row(refuse=_R, due=_Q, taken=_W, missed=_W, lapse=_W, later=_Q, receipt=_DONE, nack=_DEAD, expire=_DEAD),
        _DONE: _row(refuse=_DONE, taken=_DONE, missed=_DONE, lapse=_DONE, later=_DONE, receipt=_DONE, nack=_DONE),
        _R: _row(refuse=_R, taken=_R, missed=_R, lapse=_R, later=_R, receipt=_DONE, nack=_R, revive=_Q),
        _DEAD: _row(refuse=_DEAD, taken=_DEAD, missed=_DEAD, lapse=_DEAD, later=_DEAD, receipt=_DONE, nack=_DEAD, revive=_Q),
    }
)


def step(status: Status, event: Event) -> Status:
    """Look up where `event` takes a row. Raises IllegalTransition."""
    try:
        return LIFE[status][event]
    except KeyError:
        raise IllegalTransition(f"a {status.name} row has no cell for {event.name}") from None


class What(StrEnum):
    """What is known of a dead letter (the promise)."""

    UNDELIVERED = "undelivered"  # no road took it
    UNCONFIRMED = "unconfirmed"  # a road took it, or may have carried it, and no receipt came: it may have arrived
    REFUSED = "refused"


class State(StrEnum):
    """The words people see, everywhere the same."""

    ACCEPTED = "accepted"
    HELD = "held"
    SENDING = "sending"
    CUSTODY = "custody"
    RECEIVED = "received"
    SHOWN = "shown"
    DONE = "done"
    REFUSED = "refused"
    DEAD = "dead"


_PLAIN = {_H: State.HELD, _S: State.SENDING, _W: State.CUSTODY, _R: State.REFUSED, _DEAD: State.DEAD}


def outside(status: Status, *, taken: bool, reached: State = State.RECEIVED) -> State:
    """Say a status in the outside word: `taken` = a road once took it, `reached` = by the highest receipt."""
    if status is Status.DONE:
        return reached
    if status is Status.QUEUED:
        return State.CUSTODY if taken else State.ACCEPTED
    return _PLAIN[status]
