"""A writer for a process with one thing to do: every job is a transaction of its own, committed before it returns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from fleet.errors import FleetError
from fleet.store import Store

T = TypeVar("T")


class AtOnce:
    """Stands where the daemon has its Writer."""

    def __init__(self, store: Store) -> None:
        """Write into an open store."""
        self._store = store

    def post(self, job: Callable[[Store], T], *, alone: bool = False) -> asyncio.Future[T]:
        """Do a job and commit it; the future is done when this returns. It is always `alone`."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            with self._store.db.transaction():
                future.set_result(job(self._store))
        except FleetError as error:
            future.set_exception(error)
        return future

    async def run(self, job: Callable[[Store], T], *, alone: bool = False) -> T:
        """Do a job and commit it."""
        return await self.post(job, alone=alone)
