"""Housekeeping of one node: retention, checkpoints, the disk's watermark, other processes' writes; never mail's fate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fleet.core import policy
from fleet.core.audit import KINDS
from fleet.daemon.clockwatch import ClockWatch
from fleet.daemon.settings import Settings
from fleet.engine.world import World
from fleet.engine.writer import Writer
from fleet.errors import FleetError, StoreError
from fleet.store import Store
from fleet.store.milestones import Milestones

_RETIRE_EVERY = 60.0  # seconds; each round deletes at most a thousand rows of a table
_SPACE_EVERY = 2.0  # seconds between two looks at the disk
_SET_BACK = 1.0  # seconds; a wall clock that lost more than so much against the steady one was set, not slewed


class Upkeep:
    """Keeps the store small and watches the disk."""

    def __init__(
        self, writer: Writer, store: Store, settings: Settings, world: World, clock: ClockWatch,
        log: Callable[..., None], mark: str = "",
    ) -> None:  # fmt: skip
        """Take the store and how long things are kept; `mark` names this machine, empty = do not compare."""
        self._writer = writer
        self._store = store
        self._settings = settings
        self._world = world
        self._clock = clock
        self._log = log
        self._mark = mark
        self._restored: set[str] = set()
        self.on_foreign_write: Callable[[], None] = lambda: None
        self.room_left = True
        self._version = 0
        self._retired = 0.0
        self._looked = -_SPACE_EVERY
        self._clocks = (world.now(), world.steady())

    async def run(self) -> None:
        """Work until cancelled."""
        self._version = await self._writer.run(lambda store: store.db.data_version())
        await self._writer.run(self._clock.wake)
        await self._compare_mark()
        while True:
            await asyncio.sleep(policy.STORE_WATCH)
            await self._watch()
            await self._tell_restored()
            await self._watch_clock()
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

    async def _compare_mark(self) -> None:
        """Notice that this home lies on another machine than it did: moved, or a clone whose original still runs."""
        if not self._mark:
            return
        known = await self._writer.run(lambda store: store.members.meta("mark"))
        if known == self._mark:
            return
        await self._writer.run(lambda store: store.members.set_meta("mark", self._mark))
        if known is not None:
            await self.tell("clone", "this home comes from another machine: if that one still runs as the same node, "
                            "remove this home and join anew (fleet join LINK)")  # fmt: skip

    async def _tell_restored(self) -> None:
        """Notice that the database is older than what was sent: its peers were given a new incarnation."""
        fresh = set(self._store.sequence.restored) - self._restored
        if fresh:
            self._restored |= fresh
            await self.tell("restored", f"the database is older than the mail sent to {', '.join(sorted(fresh))}: "
                            "it was restored from a backup; what was accepted since then is not in it")  # fmt: skip

    async def tell(self, kind: str, text: str) -> None:
        """Leave a notice for the operator, once."""
        self._log("notice", kind=kind, reason=text)
        now = self._world.now()

        def keep(store: Store) -> None:
            store.ledger.notice(kind, text, now)
            store.audit.add(kind if kind in KINDS else "notice", details={"reason": text}, now=now)

        await self._writer.run(keep)

    async def _watch_clock(self) -> None:
        """Notice a wall clock that was set back: what waits until a time of the old clock would wait so much longer."""
        self._clock.look()
        (wall, steady), self._clocks = self._clocks, (self._world.now(), self._world.steady())
        moved = self._clocks[0] - wall - int((self._clocks[1] - steady) * 1000)
        if moved < -_SET_BACK * 1000:
            self._log("clock", state="set back", seconds=-moved / 1000)
            await self._writer.run(lambda store: store.outbox.shift(moved))
            self.on_foreign_write()

    def _measure(self) -> None:
        """Stop accepting below the watermark; below a tenth of it the ballast is given up and the WAL folded in."""
        free = self._store.db.free_space()
        enough = free >= self._settings.retention.free
        if enough and not self.room_left:
            self._log("disk", state="room again", free=free)
        if not enough and self.room_left:
            self._log("disk", state="below the watermark: no new mail", free=free)
        self.room_left = enough
        try:
            if enough:
                self._store.db.make_ballast()
            elif free < self._settings.retention.free // 10 and self._store.db.relieve():
                self._log("disk", state="full: what was put aside is given up, so that accepted mail can go on", free=free)
        except StoreError as error:
            self._log("upkeep", reason=error.message)

    async def retire(self) -> None:
        """Delete what is finished and old, and fold the WAL in when it has grown; nothing ages by a clock in doubt."""
        before = self._world.now() - int(self._settings.retention.finished * 1000)
        try:
            now = self._world.now()
            await self._writer.run(self._clock.keep)
            if not self._clock.unsure():
                await self._writer.run(lambda store: _retire(store, before, now))
            if self._store.db.wal_bytes() > policy.WAL_LIMIT:
                self._store.db.checkpoint()
        except StoreError as error:
            self._log("upkeep", reason=error.message)
        except FleetError as error:
            self._log("upkeep", reason=error.message)


def _retire(store: Store, before: int, now: int) -> None:
    store.custody.retire(now, before)
    store.outbox.retire(before)
    store.inbox.retire(before)
    store.sessions.retire(before)
    store.mending.retire(before)
    store.ledger.retire(before)
    Milestones(store.db).retire(before)
    store.members.expire_invites(before)
