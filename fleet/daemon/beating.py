"""What this node's heartbeats are made of, and what follows from those of others; it sends none itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fleet.daemon import checkout
from fleet.engine.heartbeats import Heartbeats, Pulse

if TYPE_CHECKING:
    from fleet.daemon.service import Node

PATIENCE = 1.0  # seconds the file system has to say where a checkout stands


class Workplace:
    """Where the work on this machine stands: the directory of the settings, else that of the newest live session."""

    def __init__(self, node: Node) -> None:
        """Take the node whose settings and sessions say where the work is."""
        self._node = node
        self._looking: asyncio.Task[tuple[str, str]] | None = None
        self._known = checkout.UNKNOWN

    async def stand(self) -> tuple[str, str]:
        """Give branch and commit; a file system that does not answer gives what was known before."""
        directory = self._directory()
        if not directory:
            return checkout.UNKNOWN
        if self._looking is None:
            self._looking = asyncio.ensure_future(asyncio.to_thread(checkout.stand, directory))
        done, _ = await asyncio.wait({self._looking}, timeout=PATIENCE)
        if done:
            self._known, self._looking = self._looking.result(), None
        return self._known

    def _directory(self) -> str:
        return self._node.settings.node.work or newest_directory(self._node)


def newest_directory(node: Node) -> str:
    """Name the directory of the session that gave the last sign of life; empty when none is open."""
    sessions = node.reader.sessions.open_ones()
    return max(sessions, key=lambda one: one.seen).cwd if sessions else ""


def heartbeats_of(node: Node) -> Heartbeats:
    """Put a node's heartbeats together."""

    def fault(peer: str, reason: str) -> None:
        node.exchange.count("alarm")
        node.log("alarm", peer=peer, reason=reason)

    beats = Heartbeats(
        Pulse(
            node.roads.channels, node.attempts, node.links, node.roster, node.introductions, node.writer, node.world,
            node.reader.audit.head, Workplace(node).stand, fault, node.log,
        )
    )  # fmt: skip
    beats.load(node.reader.beats.all())
    return beats
