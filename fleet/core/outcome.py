"""The results of an attempt and what each does to the walk, the link and the message; a table, never a judgement.

A channel says REPLIED, TAKEN or NUDGED (or raises). Only engine/attempt.py turns that into a Result, and DELIVERED or
REJECTED only after it verified the addressee's signature.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from types import MappingProxyType

from fleet.core.health import Evidence
from fleet.core.receipt import Receipt


class Word(Enum):
    """What a channel says after it carried bytes."""

    REPLIED = "replied"  # bytes came back; whether they prove anything is not the channel's to say
    TAKEN = "taken"  # somebody else keeps it now
    NUDGED = "nudged"  # the peer was woken, nothing was carried


@dataclass(frozen=True, slots=True)
class Outcome:
    """A channel's report."""

    word: Word
    data: bytes = b""
    holder: str = ""  # who keeps it, for TAKEN: "relay chief1", "git"

    @classmethod
    def replied(cls, data: bytes) -> Outcome:
        """Report the answer's bytes."""
        return cls(Word.REPLIED, data)

    @classmethod
    def taken(cls, holder: str = "") -> Outcome:
        """Report that the parcel is in somebody's keeping."""
        return cls(Word.TAKEN, holder=holder)

    @classmethod
    def nudged(cls) -> Outcome:
        """Report that the peer was woken."""
        return cls(Word.NUDGED)


class Result(StrEnum):
    """What an attempt came to; the words of `fleet trace`."""

    DELIVERED = "delivered"
    TAKEN = "taken"
    NUDGED = "nudged"
    DEFERRED = "deferred"
    BARRED = "barred"
    REJECTED = "rejected"
    FAULTY = "faulty"


class Walk(Enum):
    """What the cascade does next."""

    STOP = "stop"
    REST = "rest"  # one-way steps are passed over from now on
    AGAIN = "again"  # from the top, once a nudge
    NEXT = "next"


@dataclass(frozen=True, slots=True)
class Effect:
    """One row of the table."""

    walk: Walk
    link: Evidence | None


EFFECTS: MappingProxyType[Result, Effect] = MappingProxyType(
    {
        Result.DELIVERED: Effect(Walk.STOP, Evidence.GOOD),
        Result.TAKEN: Effect(Walk.REST, None),  # custody earns the link nothing
        Result.NUDGED: Effect(Walk.AGAIN, None),
        Result.DEFERRED: Effect(Walk.NEXT, Evidence.BAD),
        Result.BARRED: Effect(Walk.NEXT, None),  # the parcel's fault, not the road's
        Result.REJECTED: Effect(Walk.STOP, Evidence.GOOD),  # a signed no proves the road as well as a yes
        Result.FAULTY: Effect(Walk.NEXT, Evidence.FATAL),
    }
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one parcel on one road, as it is recorded. Times in ms since the epoch; `ms` is how long it took."""

    pid: str
    peer: str
    channel: str
    started_at: int
    ms: float
    result: Result
    reason: str = ""
    retry_after: float = 0.0
    security: bool = False
    homeless: bool = False  # BARRED for want of an address, not for this parcel
    unsent: bool = False  # surely nothing reached the peer
    receipt: Receipt | None = field(default=None, repr=False)
    answer: bytes = field(default=b"", repr=False)  # the signed answer to a parcel of another's, unopened
