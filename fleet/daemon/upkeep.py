"""Housekeeping of one node: retention, checkpoints, the disk's watermark, other processes' writes; never mail's fate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fleet.core import policy
from fleet.daemon.settings import Settings
from fleet.engine.world import World
from fleet.engine.writer import Writer
from fleet.errors import FleetError, StoreError
from fleet.store import Store

_RETIRE_EVERY = 60.0  # seconds; each round deletes at most a thousand rows of a table
_SPACE_EVERY = 2.0  # seconds between two looks at the disk


class Upkeep:
    """Keeps the store small and watches the disk."""

    def __init__(
        self, writer: Writer, store: Store, settings: Settings, world: World, log: Callable[..., None]
    ) -> None:
        """Take the store and how long things are kept."""
        self._writer = writer
        self._store = store
        self._settings = settings
        self._world = world
        self._log = log
        self.on_foreign_write: Callable[[], None] = lambda: None
        self.room_left = True
        self._version = 0
        self._retired = 0.0
        self._looked = -_SPACE_EVERY

    async def run(self) -> None:
        """Work until cancelled."""
        self._store.db.make_ballast()
        self._version = await self._writer.run(lambda store: store.db.data_version())
        while True:
            await asyncio.sleep(policy.STORE_WATCH)
            await self._watch()
            now = self._world.steady()
            if now - self._looked >= _SPACE_EVERY:
                self._looked = now
                self._measure()
            if now - self._retired >= _RETIRE_EVERY:
                self._retired = now
                await self.retire()

    async def _watch(self) -> None:
        """Notice what `fleet_send` or another command wrote while nobody asked the daemon."""
        version = await self._writer.run(lambda store: store.db.data_version())
        if version != self._version:
            self._version = version
            self.on_foreign_write()

    def _measure(self) -> None:
        """Stop accepting below the watermark; below a tenth of it the ballast is given up."""
        free = self._store.db.free_space()
        enough = free >= self._settings.retention.free
        if enough and not self.room_left:
            self._log("disk", state="room again", free=free)
        if not enough and self.room_left:
            self._log("disk", state="below the watermark: no new mail", free=free)
        self.room_left = enough

    async def retire(self) -> None:
        """Delete what is finished and old, and fold the WAL in when it has grown."""
        before = self._world.now() - int(self._settings.retention.finished * 1000)
        try:
            await self._writer.run(lambda store: _retire(store, before))
            if self._store.db.wal_bytes() > policy.WAL_LIMIT:
                self._store.db.checkpoint()
        except StoreError as error:
            self._log("upkeep", reason=error.message)
        except FleetError as error:
            self._log("upkeep", reason=error.message)


def _retire(store: Store, before: int) -> None:
    store.outbox.retire(before)
    store.inbox.retire(before)
    store.ledger.retire(before)
