"""What keeps the audit chain while the daemon runs: counts written, heads signed and remembered, the front pruned.

It writes nothing of its own but what the chain says of itself, and reads no message.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fleet import __version__
from fleet.core import policy
from fleet.errors import FleetError, StoreError
from fleet.store import Store
from fleet.store.notary import Notary

if TYPE_CHECKING:
    from fleet.daemon.service import Node

LOOK = "fleet audit verify says where"


class Auditing:
    """The care of one node's chain."""

    def __init__(self, node: Node) -> None:
        """Take the node, whose stores are open."""
        self._node = node
        self._touched = 0
        self.take_keys()

    def take_keys(self) -> None:
        """Let the keys in force vouch for the chain."""
        notary = Notary.of(self._node.ring)
        self._node.store.audit.use(notary)
        self._node.reader.audit.use(notary)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._begin()
        while True:
            await asyncio.sleep(policy.AUDIT_REMEMBER)
            try:
                await self.look()
            except FleetError as error:  # a full disk: the next look's chance
                self._node.log("audit", reason=error.message)

    async def _begin(self) -> None:
        node, now = self._node, self._node.world.now()
        self.take_keys()
        self._touched = node.reader.audit.touched()
        if not await node.writer.run(lambda store: store.audit.begin(now, version=__version__)):
            await self._tell_other()
        self.remember()
        await self.look()

    async def _tell_other(self) -> None:
        await self._node.upkeep.tell("audit", f"the audit chain is not the one remembered beside the keys; {LOOK}")

    async def look(self) -> None:
        """Write what was counted, sign and remember the head, prune what is old, tell of what was touched."""
        node, now = self._node, self._node.world.now()
        before = now - int(node.settings.retention.audit * 1000)

        def keep(store: Store) -> bool:
            same = store.audit.compare(now)
            store.audit.settle(now)
            store.audit.checkpoint(now)
            store.audit.prune(before, now)
            return same

        same = await node.writer.run(keep)
        self.remember()
        if not same:
            await self._tell_other()
        touched = node.reader.audit.touched()
        if touched > self._touched:
            self._touched = touched
            await node.upkeep.tell("audit", f"somebody touched the audit chain before entry {touched}; {LOOK}")

    def remember(self) -> None:
        """Remember the committed head beside the keys."""
        try:
            self._node.reader.audit.remember()
        except StoreError as error:
            self._node.log("audit", reason=error.message)
