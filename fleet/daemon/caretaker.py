"""Looks after the sessions of a node: drops ghosts, keeps their agents' names in the manifest, tells a new one who is here.

The manifest changes only with the set of names, at most once a minute: every change is told to the whole fleet.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fleet.core import policy
from fleet.core.framing import Other, presence

if TYPE_CHECKING:
    from fleet.daemon.service import Node


class Caretaker:
    """The housekeeping of sessions."""

    def __init__(self, node: Node) -> None:
        """Take the node whose sessions these are."""
        self._node = node
        self._named = -policy.NAMES_PAUSE

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self.sweep()
            await self.name()
            self._node.agents.handover.news()  # leases and the wake window end without anybody's word
            await asyncio.sleep(policy.SESSION_LOOK)

    def sweep(self) -> None:
        """Drop the sessions that are no more."""
        for id in self._node.agents.sessions.sweep():
            self._node.log("session gone", session=id)
            self._node.agents.handover.forget(id)

    async def name(self) -> None:
        """Bring the manifest up to date with the agents that are here."""
        node = self._node
        now = node.world.steady()
        since = node.world.now() - policy.NAMES_LINGER
        names = set(node.settings.node.agents) | set(node.reader.sessions.names(since))
        if names != set(node.roster.me.read_manifest().agents) and now - self._named >= policy.NAMES_PAUSE:
            self._named = now
            await node.rotation.describe_anew()

    def presence(self, session: str) -> str:
        """Say to a session who is on the fleet; what the others do is asked for meanwhile, for the next one."""
        node = self._node
        node.task(node.agents.queries.refresh())
        one = node.agents.sessions.open.get(session)
        if one is None:
            return ""
        peers = [(peer, node.sight.peer(peer)["state"]) for peer in node.roster.peers() if peer.enabled]
        others = [Other(peer.id, state, peer.agents, self._doing(peer.id)) for peer, state in peers]
        others.sort(key=lambda other: other.state != "on")
        return presence(node.id, session, one.agent, others)

    def _doing(self, peer: str) -> tuple[str, ...]:
        """Say in few words what the sessions of a peer do, as far as it told."""
        words = []
        for one in self._node.agents.queries.told(peer):
            place = one.get("cwd", "").rstrip("/").rpartition("/")[2]
            state = f"idle {one['idle_ms'] // 60_000} min" if one["state"] == "idle" else "busy"
            words.append(f"{one['agent']} {state}" + (f" in {place}" if place else ""))
        return tuple(words)
