"""The one writer: everything that waits is committed together, then each caller wakes; never two transactions at once.

Jobs are plain functions of the store that may be run again. They run one after another inside one transaction; should one
raise a FleetError, all run anew, each in a savepoint of its own, so that it undoes only itself. Only the COMMIT, which
waits for the disk, leaves the loop's thread: rows are written where the loop runs, because handing the interpreter lock
over for every row costs more than the row. A simulation commits inline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fleet.core import policy
from fleet.errors import Busy, FleetError, StoreError
from fleet.store import Store
from fleet.store.folder import Folder

GATHER = 3  # turns of the loop a commit waits for company: a courier woken by new mail leases it in the same commit
T = TypeVar("T")
Job = Callable[[Store], Any]


class Writer:
    """Runs jobs against the store in group commits."""

    def __init__(self, store: Store, *, inline: bool = False) -> None:
        """Take the store; `inline` commits on the loop's own thread, for simulations."""
        self._store = store
        self._waiting: list[tuple[Job, asyncio.Future[Any]]] = []
        self._gather = True
        self._closed = False
        self._wake = asyncio.Event()
        self._thread = None if inline else ThreadPoolExecutor(1, "fleet-commit")
        self._folder = Folder(store.db, inline=inline)
        self.commits = 0
        self.jobs = 0

    def post(self, job: Callable[[Store], T], *, alone: bool = False) -> asyncio.Future[T]:
        """Put `job` into the next commit; the future has its result once that is on disk.

        A job that may be `alone` does not wait for company: a received parcel's receipt shall not wait for the next one.

        It fails with what the job raised, with StoreError or DiskFull when the commit failed. Raises Busy when too much
        waits already, or after close().
        """
        if self._closed:
            raise Busy("the daemon is stopping")
        if len(self._waiting) >= policy.WRITER_QUEUE:
            raise Busy("the disk does not keep up; try again in a second")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        self._gather = self._gather and not alone
        self._wake.set()
        return future

    async def run(self, job: Callable[[Store], T], *, alone: bool = False) -> T:
        """Do `job` in the next commit and give its result once that is on disk. Raises what post() says."""
        return await self.post(job, alone=alone)

    async def serve(self) -> None:
        """Commit what waits until cancelled; whoever runs it starts it again should a job have a bug."""
        while True:
            await self._wake.wait()
            for _ in range(GATHER):
                if self._gather:
                    await asyncio.sleep(0)
            self._wake.clear()
            self._gather = True
            await self._commit_waiting()

    async def _commit_waiting(self) -> None:
        jobs, self._waiting = self._waiting, []
        jobs = [(job, future) for job, future in jobs if not future.cancelled()]
        if not jobs:
            return
        error: FleetError | None = StoreError("the commit was broken off; whether it counts, the store will say")
        try:
            results = self._perform(jobs)
            if self._thread is None:
                self._store.db.commit()
            else:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._store.db.commit)
            error = None
        except FleetError as refused:
            error = refused
        finally:  # also for a bug or a cancellation, which pass on
            if error is not None:
                _fail(jobs, error)
        if error is not None:
            return
        self._folder.look()
        self.commits += 1
        self.jobs += len(jobs)
        for (_, future), result in zip(jobs, results, strict=True):
            _resolve(future, result)

    def _perform(self, jobs: list[tuple[Job, asyncio.Future[Any]]]) -> list[Any]:
        """Run the jobs in one open transaction; when one raises, all run again, each in a savepoint of its own."""
        db, store = self._store.db, self._store
        db.rollback()  # what an earlier commit may have left open
        db.begin()
        try:
            return [job(store) for job, _ in jobs]
        except FleetError:
            db.rollback()
        db.begin()
        return [self._apart(job) for job, _ in jobs]

    def _apart(self, job: Job) -> Any:
        """Run one job so that it can fail alone; its FleetError is its result."""
        try:
            with self._store.db.transaction():
                return job(self._store)
        except FleetError as error:
            return error

    def close(self) -> None:
        """Let a commit under way end, undo what is open, and refuse what still waits or comes."""
        self._closed = True
        if self._thread is not None:
            self._thread.shutdown(wait=True)
        self._folder.close()
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
