"""Takes settled and cancelled parcels back from the roads that hold them, many at once; never one somebody still waits for.

A parcel is taken back when its addressee answered it or when every message in it is final, whichever road settled them.
What is not taken back, because this node stopped or the road did not answer, leaves the mailbox at its expiry.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence

from fleet.core.lifecycle import Status
from fleet.engine.writer import Writer
from fleet.errors import FleetError
from fleet.store.outbox import Applied

LINGER = 1.0  # seconds in which more may be settled: a road that pushes or calls takes all of it back in one go
FINAL = frozenset({Status.DONE, Status.REFUSED, Status.DEAD})

Forget = Callable[[str, str, Sequence[str]], Awaitable[None]]  # peer, road, pids


class TakeBack:
    """What is to be taken back, peer by peer."""

    def __init__(self, writer: Writer, forget: Forget, log: Callable[..., None]) -> None:
        """Take the store's writer and what asks a road to forget."""
        self._writer = writer
        self._forget = forget
        self._log = log
        self._rows: dict[str, set[int]] = defaultdict(set)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def applied(self, changes: Iterable[Applied]) -> None:
        """Note what became final while a road held it."""
        for change in changes:
            if change.held and change.new in FINAL and change.old not in FINAL:
                self.note(change.peer, (change.row,))

    def note(self, peer: str, rows: Iterable[int]) -> None:
        """Note messages of a peer whose parcels may have become needless on the roads that hold them."""
        self._rows[peer].update(rows)
        if self._rows[peer] and peer not in self._tasks:
            task = self._tasks[peer] = asyncio.ensure_future(self._soon(peer))
            task.add_done_callback(lambda done: self._tasks.pop(peer, None))

    async def _soon(self, peer: str) -> None:
        while self._rows[peer]:
            await asyncio.sleep(LINGER)
            await self._work(peer)

    async def _work(self, peer: str) -> None:
        rows = sorted(self._rows.pop(peer, ()))
        try:
            held = await self._writer.run(lambda store: store.ledger.needless(peer, rows))
        except FleetError as error:
            self._log("not taken back", peer=peer, reason=error.message)
            return
        by_road: dict[str, list[str]] = defaultdict(list)
        for pid, road in held:
            by_road[road].append(pid)
        await asyncio.gather(*(self._forget(peer, road, pids) for road, pids in by_road.items()))

    async def close(self) -> None:
        """Take back at once what still waits."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(self._work(peer) for peer in list(self._rows)))
