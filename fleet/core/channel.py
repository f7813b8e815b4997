"""The seam between the engine and the roads: one verb, values through it; never an implementation.

A channel carries opaque bytes to one peer and reports what happened. It does not verify, retry, decide or know what a
message is. `send` raises Unreachable, Barred or Faulty; TimeoutError and OSError count as Unreachable; anything else is
recorded as a bug of the channel and the cascade goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from fleet.core import policy
from fleet.core.outcome import Outcome
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer


class AnswerKind(Enum):
    """What the receiver gives a road to send back."""

    SIGNED = "signed"  # bytes of a signed parcel
    CUSTODY = "custody"  # taken; nothing is proven
    BUSY = "busy"  # come again after retry_after seconds
    NONE = "none"  # not authenticated: say nothing


@dataclass(frozen=True, slots=True)
class Answer:
    """The receiver's answer to bytes that came in, framed already where the road is framed."""

    kind: AnswerKind
    data: bytes = b""
    retry_after: float = 0.0


Deliver = Callable[[bytes], Awaitable[Answer]]  # bound to the road that heard the bytes


@dataclass(frozen=True, slots=True)
class Traits:
    """What the engine must know about a road to plan with it."""

    carries: bool = True  # False: it only wakes or announces
    replies: bool = True  # the answer comes back inside send(); False: one-way
    pings: bool = True  # cheap enough to prove a link with
    hedges: bool = True  # may run beside another attempt
    spare: bool = False  # only on request or when nothing else can
    framed: bool = False  # wrapped in the hop frame
    keeps: bool = False  # replies, and lays parcels that are not fleeting into a mailbox when the peer is away
    max_bytes: int = policy.PARCEL_LIMIT


class Channel(Protocol):
    """One road. Its constructor is the module's `build(settings, earlier)`.

    A road whose traits say `keeps` has `drain(deliver)` beside listen(): it hands over what lies in this node's own
    mailbox, from which no answer goes back; runs until cancelled.
    """

    name: str
    traits: Traits

    async def open(self) -> None:
        """Make ready to send and listen; called once. A road that cannot raises, the daemon lives on without it."""

    async def send(self, peer: Peer, parcel: Parcel, timeout: float) -> Outcome:
        """Carry the parcel's bytes within `timeout` seconds and say what came back, or raise a RoadError."""
        ...

    async def listen(self, deliver: Deliver) -> None:
        """Hand every parcel that comes in to `deliver` and send its answer back; runs until cancelled."""

    async def forget(self, peer: Peer, pids: Sequence[str]) -> None:
        """Take back parcels that were settled or cancelled, where the road can."""

    async def close(self) -> None:
        """Let go of everything that open() took; called once, also after a failed open()."""


Build = Callable[[Mapping[str, Any], Mapping[str, Channel]], Channel]
