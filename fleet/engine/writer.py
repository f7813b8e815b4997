"""The one writer: everything that waits is committed together, then each caller wakes; never two transactions at once.

Jobs are plain functions of the store. They run one after another inside one transaction, each in a savepoint of its own,
so that one that raises a FleetError undoes only itself. Only the COMMIT, which waits for the disk, leaves the loop's
thread: rows are written where the loop runs, because handing the interpreter lock over for every row costs more than the
row. A simulation commits inline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fleet.core import policy
from fleet.errors import Busy, FleetError
from fleet.store import Store

GATHER = 3  # turns of the loop a commit waits for company: a courier woken by new mail leases it in the same commit
T = TypeVar("T")
Job = Callable[[Store], Any]


class Writer:
    """Runs jobs against the store in group commits."""

    def __init__(self, store: Store, *, inline: bool = False) -> None:
        """Take the store; `inline` commits on the loop's own thread, for simulations."""
        self._store = store
        self._waiting: list[tuple[Job, asyncio.Future[Any]]] = []
        self._wake = asyncio.Event()
        self._thread = None if inline else ThreadPoolExecutor(1, "fleet-commit")
        self.commits = 0
        self.jobs = 0

    def post(self, job: Callable[[Store], T]) -> asyncio.Future[T]:
        """Put `job` into the next commit; the future has its result once that is on disk.

        It fails with what the job raised, with StoreError or DiskFull when the commit failed. Raises Busy when too much
        waits already.
        """
        if len(self._waiting) >= policy.WRITER_QUEUE:
            raise Busy("the disk does not keep up; try again in a second")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        self._wake.set()
        return future

    async def run(self, job: Callable[[Store], T]) -> T:
        """Do `job` in the next commit and give its result once that is on disk. Raises what post() says."""
        return await self.post(job)

    async def serve(self) -> None:
        """Commit what waits until cancelled; then commit what still waits."""
        try:
            while True:
                await self._wake.wait()
                for _ in range(GATHER):
                    await asyncio.sleep(0)
                self._wake.clear()
                await self._commit_waiting()
        finally:
            self._finish()

    async def _commit_waiting(self) -> None:
        jobs, self._waiting = self._waiting, []
        jobs = [(job, future) for job, future in jobs if not future.cancelled()]
        if not jobs:
            return
        try:
            results = self._perform(jobs)
            if self._thread is None:
                self._store.db.commit()
            else:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._store.db.commit)
        except FleetError as error:
            self._store.db.rollback()
            _fail(jobs, error)
            return
        self.commits += 1
        self.jobs += len(jobs)
        for (_, future), result in zip(jobs, results, strict=True):
            _resolve(future, result)

    def _perform(self, jobs: list[tuple[Job, asyncio.Future[Any]]]) -> list[Any]:
        """Run the jobs in one open transaction; a FleetError is a job's result."""
        self._store.db.begin()
        results = []
        for job, _ in jobs:
            try:
                with self._store.db.transaction():
                    results.append(job(self._store))
            except FleetError as error:
                results.append(error)
        return results

    def _finish(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=True)  # a commit under way ends first
        jobs, self._waiting = self._waiting, []
        self._store.db.rollback()
        _fail(jobs, Busy("the daemon is stopping"))


def _resolve(future: asyncio.Future[Any], result: Any) -> None:
    if future.done():
        return
    if isinstance(result, FleetError):
        future.set_exception(result)
    else:
        future.set_result(result)


def _fail(jobs: list[tuple[Job, asyncio.Future[Any]]], error: FleetError) -> None:
    for _, future in jobs:
        _resolve(future, error)
