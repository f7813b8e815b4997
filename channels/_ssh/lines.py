"""One line per peer, made when it is first needed and kept warm; work runs in threads that end when nobody waits any more.

A login that is under way is shared by everybody who needs it and outlives whoever asked first: the next one finds it open.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from channels._ssh.line import Job, Late, Line, Stale
from channels._ssh.login import Login, way_of
from channels._ssh.program import Program
from channels._ssh.warm import connect
from fleet.errors import Faulty, Unreachable

LOGIN = 9.0  # seconds a login may take; shorter than the house's deadline of a step
MARGIN = 0.95  # of a step's deadline is what a thread may take
SILENCE = 5.0  # seconds without an answer after which a line that is late again is given up
IDLE = 600.0  # seconds after which an unused line is closed
T = TypeVar("T")


class _Kept:
    """A line, the threads that use it, and when it was last of use."""

    def __init__(self, line: Line, workers: int) -> None:
        self.line = line
        self.pool = ThreadPoolExecutor(workers, "fleet-ssh")
        self.at_work = 0
        self.retired = False
        self.answered = self.used = time.monotonic()

    def end(self) -> None:
        """Close the line; what still runs on it breaks off."""
        self.line.close()
        self.pool.shutdown(wait=False, cancel_futures=True)


class Lines:
    """The lines of one road."""

    def __init__(self, directory: Path, config: str, workers: int) -> None:
        """Keep known_hosts files in `directory`; `config` = the user's SSH configuration; `workers` at once per peer."""
        self._directory = directory
        self.config = config
        self._workers = workers
        self._lines: dict[Login, asyncio.Task[_Kept]] = {}
        self._logins = ThreadPoolExecutor(4, "fleet-ssh-login")
        self._jobs: set[Job] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def use(self, login: Login, work: Callable[[Line, Job], T], timeout: float) -> T:
        """Do `work` in a thread on the peer's line. Raises RoadError."""
        job = Job(time.monotonic() + timeout * MARGIN)
        for last in (False, True):
            kept = await self._line(login, job)
            try:
                return await self._at_work(kept, work, job)
            except Stale:
                self._retire(login, kept)
                if last:
                    raise
            except Late:
                if time.monotonic() - kept.answered > SILENCE:  # the next one shall not wait for it
                    self._retire(login, kept)
                raise
        raise Stale("the session broke")

    async def _line(self, login: Login, job: Job) -> _Kept:
        if self._closed:
            raise Unreachable("the road is closed")
        task = self._lines.get(login)
        if task is not None and task.done():
            if task.exception() is None and task.result().line.alive():
                return task.result()
            if task.exception() is None:
                self._retire(login, task.result())
            task = None
        if task is None:
            task = self._lines[login] = asyncio.ensure_future(self._log_in(login))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            async with asyncio.timeout(job.left()):
                return await asyncio.shield(task)
        except TimeoutError:
            raise Late(f"no login at {login.host} in time", unsent=True) from None
        except asyncio.CancelledError:
            if task.cancelled():
                raise Unreachable("the road was closed meanwhile") from None
            raise

    async def _log_in(self, login: Login) -> _Kept:
        job = Job(time.monotonic() + LOGIN)

        def make() -> Line:
            way = way_of(login, self.config)
            if way.proxied:
                return Program(login, self.config, self._directory)
            line = connect(login, way, job)
            if job.stopped:
                line.close()
            return line

        line = await self._in_thread(self._logins, make, job)
        self._sweep_later()
        return _Kept(line, self._workers)

    async def _at_work(self, kept: _Kept, work: Callable[[Line, Job], T], job: Job) -> T:
        kept.at_work += 1
        try:
            done = await self._in_thread(kept.pool, lambda: work(kept.line, job), job)
            kept.answered = time.monotonic()
            return done
        finally:
            kept.at_work -= 1
            kept.used = time.monotonic()
            if kept.retired and not kept.at_work:
                self._dispose(kept)

    async def _in_thread(self, pool: ThreadPoolExecutor, work: Callable[[], T], job: Job) -> T:
        self._jobs.add(job)
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work)
        except asyncio.CancelledError:
            job.stop()
            if self._closed:
                raise Unreachable("the road was closed meanwhile") from None
            raise
        except RuntimeError as error:  # the pool was shut down
            raise Unreachable("the road was closed meanwhile") from error
        finally:
            self._jobs.discard(job)

    def _retire(self, login: Login, kept: _Kept) -> None:
        """Let nobody begin on this line; it is closed when the last one is done."""
        task = self._lines.get(login)
        if task is not None and task.done() and task.exception() is None and task.result() is kept:
            del self._lines[login]
        if not kept.retired:
            kept.retired = True
            if not kept.at_work:
                self._dispose(kept)

    def _dispose(self, kept: _Kept) -> None:
        if not self._closed:
            self._logins.submit(kept.end)

    def _sweep_later(self) -> None:
        if self._sweeper is None and not self._closed:
            self._sweeper = asyncio.get_running_loop().call_later(IDLE / 4, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        for login, task in list(self._lines.items()):
            if task.done() and task.exception() is None:
                kept = task.result()
                if not kept.at_work and time.monotonic() - kept.used > IDLE:
                    self._retire(login, kept)
        if self._lines:
            self._sweep_later()

    def renew(self) -> None:
        """Let every session end with what runs on it: the next one logs in."""
        for login, task in list(self._lines.items()):
            if task.done() and not task.cancelled() and task.exception() is None:
                self._retire(login, task.result())

    async def close(self) -> None:
        """Hang up everywhere; whoever still waits is told."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for job in list(self._jobs):
            job.stop()
        tasks, self._lines = list(self._lines.values()), {}
        for task in tasks:
            if task.done() and task.exception() is not None:
                continue
            with contextlib.suppress(Faulty, Unreachable):
                kept = await task
                await asyncio.to_thread(kept.end)
        self._logins.shutdown(wait=False, cancel_futures=True)
