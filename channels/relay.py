"""P3, the relay road: hands a sealed parcel to a chief's daemon over an earlier road; custody, never proof.

Settings: the table [channel.relay], and from the daemon
    chiefs   a callable: peer → the chiefs that may keep something for it, the best first (fleet.core.peer.Peer)

It listens to nothing: what a chief forwards comes in over the roads between the chief and this node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fleet.core.channel import Channel, Deliver, Traits
from fleet.core.outcome import Outcome, Word
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.errors import Barred, RoadError, Unreachable

HOP_ROOM = 1024  # bytes a hop frame adds to a parcel
Chiefs = Callable[[Peer], Sequence[Peer]]


class Relay:
    """The relay road of one node."""

    name = "relay"
    traits = Traits(replies=False, pings=False, framed=True)

    def __init__(self, chiefs: Chiefs, roads: Sequence[Channel]) -> None:
        self._chiefs = chiefs
        self._roads = roads

    async def open(self) -> None:
        """Nothing to open: the earlier roads are open."""

    async def send(self, peer: Peer, parcel: Parcel, timeout: float) -> Outcome:
        """Give the parcel to the first chief that takes it."""
        chiefs = self._chiefs(peer)
        if len(parcel) > self.traits.max_bytes + HOP_ROOM:
            raise Barred(f"{len(parcel)} bytes; the limit is {self.traits.max_bytes}")
        if not chiefs:
            raise Barred(
                f"no chief can relay to {peer.id}", address=True, hint=f"fleet peer set {peer.id} relay.via=CHIEF"
            )
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout
        asked = replace(parcel, fleeting=True)  # a chief that is away keeps nothing: the next one is asked
        reasons = []
        unsent = True
        for chief in chiefs:
            for road in self._roads:
                left = deadline - clock()
                if left <= 0:
                    break
                try:
                    outcome = await road.send(chief, asked, left)
                except RoadError as error:
                    reasons.append(f"{chief.id} over {road.name}: {error.message}")
                    unsent = unsent and (not isinstance(error, Unreachable) or error.unsent)
                    continue
                if outcome.word is Word.TAKEN:
                    return Outcome.taken(f"relay {chief.id}")
                return outcome
        raise Unreachable("; ".join(reasons) or "no chief answered in time", unsent=unsent)

    async def listen(self, deliver: Deliver) -> None:
        """Wait for nothing: relayed parcels come in over the other roads."""
        await asyncio.Event().wait()

    async def forget(self, peer: Peer, pids: Sequence[str]) -> None:
        """A chief lets go when the answer passes through it, or at the parcel's expiry."""

    async def close(self) -> None:
        """Nothing to close."""


def build(settings: Mapping[str, Any], earlier: Mapping[str, Channel]) -> Relay:
    """Build the road over the earlier roads that answer at once."""
    chiefs: Chiefs = settings.get("chiefs") or (lambda peer: ())
    return Relay(chiefs, [road for road in earlier.values() if road.traits.replies and road.traits.framed])
