"""The tools that look, and the one that reports spend; they change nothing else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from fleet.core import policy
from fleet.core.budget import MICRO
from fleet.faces.mcp import shapes
from fleet.faces.mcp.desk import Desk

Id = Annotated[str, Field(description="message id, 32 hex digits", pattern="^[0-9a-f]{32}$")]
One = Annotated[str, Field(description="node id; empty: all", max_length=63)]


class SightTools:
    """What is to be seen."""

    def __init__(self, desk: Desk) -> None:
        """Take the way to the daemon."""
        self._desk = desk

    async def peers(self) -> shapes.Peers:
        """List the other machines: on or off, trust level (0 to 4), agents, capabilities, roads."""
        return shapes.Peers(peers=[peer_of(one) for one in await self._desk.ask("peers")])

    async def status(self) -> shapes.Status:
        """Show this machine: unread and waiting mail, notices for the operator, and its peers."""
        found = await self._desk.ask("status")
        return shapes.Status.of(found, peers=[peer_of(one) for one in found["peers"]])

    async def trace(self, id: Id) -> shapes.Trace:
        """Show how far a message is: every attempt on every road, and what its addressee signed."""
        found = await self._desk.ask("trace", id=id)
        return shapes.Trace.of(found, sender=found.get("from", ""))

    async def sessions(self) -> shapes.Sessions:
        """List the agent sessions of all machines: which agent works where. Their names and directories are what they
        say themselves."""
        found = await self._desk.ask("sessions", wait=policy.ASK_PEERS)
        return shapes.Sessions(sessions=[shapes.Session.of(one) for one in found[: shapes.ITEMS]])

    async def trust(self, peer: One = "") -> shapes.Rows:
        """Show trust: level, score and what it is made of."""
        return await self._rows("trust", peer)

    async def budget(self, peer: One = "") -> shapes.Rows:
        """Show what peers may cost in tokens and USD, and have cost in this window."""
        return await self._rows("budget", peer)

    async def breaker(self, peer: One = "") -> shapes.Rows:
        """Show each peer's breaker: active, suspended or evicted, since when and why."""
        return await self._rows("breaker", peer)

    async def _rows(self, verb: str, peer: str) -> shapes.Rows:
        return shapes.Rows(peers=shapes.clean(await self._desk.ask(verb, peer=peer)))

    async def spend(
        self, peer: Annotated[str, Field(description="node id of whom the work was for", max_length=63)],
        tokens: Annotated[int, Field(ge=0, le=10**9)] = 0, usd: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0,
        failed: Annotated[bool, Field(description="the work failed")] = False,
    ) -> shapes.Rows:  # fmt: skip
        """Report what work for a peer really cost. It counts against the peer's budget at once."""
        found = await self._desk.ask("spend", peer=peer, tokens=tokens, micro_usd=round(usd * MICRO), failed=failed)
        return shapes.Rows(peers=[shapes.clean(found)])

    async def audit(
        self, minutes: Annotated[int, Field(description="how far back", ge=1, le=525_600)] = 1440,
        type: Annotated[str, Field(description="one kind of entry, such as refused_in", max_length=32)] = "",
        peer: One = "", limit: Annotated[int, Field(ge=1, le=200)] = 50,
    ) -> shapes.Entries:  # fmt: skip
        """Read the audit chain: what was refused, held or changed, and why. The oldest entry comes first."""
        since = int((time.time() - minutes * 60) * 1000)
        found = await self._desk.ask("audit", since=max(0, since), type=type, peer=peer, limit=limit)
        kept = ("seq", "at", "kind", "peer", "details")
        return shapes.Entries(entries=[shapes.clean({name: one[name] for name in kept}) for one in found])


def peer_of(row: Mapping[str, Any]) -> shapes.Peer:
    """Show one peer with the health of each road."""
    roads = {name: str(link.get("state", "")) for name, link in row.get("channels", {}).items()}
    return shapes.Peer.of(row, roads=shapes.clean(roads))
