"""The directory in which this node's seeds lie: what waits, read without following anything, gone when it is taken in.

Names are checked before a file is opened, links are never followed, everything happens relative to the directory that
was opened. What the receiver could not take now lies on; what it broke on is not handed over again before a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import time
from pathlib import Path

from fleet.core.channel import Answer, AnswerKind, Deliver
from fleet.core.seeds import is_seed, is_unfinished
from fleet.errors import Faulty, Unreachable

UNFINISHED_LIFE = 3600.0  # seconds after which a file that nobody finished is removed
LIFE = 8 * 86_400.0  # …and one that nobody could take in
BUSY_MOST = 60.0  # how long a receiver may let a file lie before it is asked again
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Bed:
    """One directory of seeds."""

    def __init__(self, directory: Path, limit: int) -> None:
        """Take the directory and the size of the largest parcel."""
        self._directory = directory
        self._limit = limit
        self._broken: set[str] = set()  # the receiver has a bug with these
        self._later: dict[str, float] = {}  # …was too busy for these until then

    @property
    def pause(self) -> float:
        """Say in how many seconds the first file that was put off is due."""
        return max(0.01, min(self._later.values(), default=BUSY_MOST + time.monotonic()) - time.monotonic())

    def prepare(self) -> None:
        """Make the directory, unless it stands. Raises Faulty when it is not ours alone, Unreachable when it cannot be."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = os.lstat(self._directory)
        except OSError as error:
            raise Unreachable(f"{self._directory}: {error.strerror}") from None
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o022:
            raise Faulty(f"others can write to {self._directory}", hint=f"chmod 700 {self._directory}")

    async def sweep(self, deliver: Deliver) -> int:
        """Hand over what lies there, oldest first; says how many files were taken in."""
        taken = 0
        with contextlib.suppress(FileNotFoundError):
            directory = os.open(self._directory, _DIRECTORY)
            try:
                for name in self._waiting(directory):
                    taken += await self._hand_over(directory, name, deliver)
            finally:
                os.close(directory)
        return taken

    async def _hand_over(self, directory: int, name: str, deliver: Deliver) -> int:
        data = self._read(directory, name)
        if data is None:
            return 0
        task = asyncio.ensure_future(deliver(data))
        try:
            await asyncio.wait({task})
        finally:  # who was cancelled just when the answer came has still been answered
            taken = self._settle(directory, name, task) if task.done() else not task.cancel()
        return taken

    def _settle(self, directory: int, name: str, task: asyncio.Future[Answer]) -> bool:
        error = task.exception()
        if error is not None:
            self._broken.add(name)
            words = {"message": "seed: a parcel could not be received", "exception": error}
            task.get_loop().call_exception_handler(words)
            return False
        answer = task.result()
        if answer.kind is AnswerKind.BUSY:
            self._later[name] = time.monotonic() + min(answer.retry_after, BUSY_MOST)
            return False
        self._remove(directory, name)
        return answer.kind is not AnswerKind.NONE

    def _waiting(self, directory: int) -> list[str]:
        """List the files to hand over; what nobody finished or could take in leaves in time."""
        now, names = time.time(), set()
        found: list[tuple[int, str]] = []
        with os.scandir(directory) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    self._look(directory, entry, now, found)
                names.add(entry.name)
        self._broken &= names
        self._later = {name: until for name, until in self._later.items() if name in names and until > time.monotonic()}
        return [name for _, name in sorted(found) if name not in self._broken and name not in self._later]

    def _look(self, directory: int, entry: os.DirEntry[str], now: float, found: list[tuple[int, str]]) -> None:
        ours = is_seed(entry.name)
        if not ours and not is_unfinished(entry.name):
            return
        facts = entry.stat(follow_symlinks=False)
        if now - facts.st_mtime > (LIFE if ours else UNFINISHED_LIFE):
            self._remove(directory, entry.name)
        elif ours:
            found.append((facts.st_mtime_ns, entry.name))

    def _read(self, directory: int, name: str) -> bytes | None:
        """Read a file; what is no plain file of ours, or too large, is removed unread."""
        try:
            descriptor = os.open(name, _FILE, dir_fd=directory)
        except FileNotFoundError:
            return None
        except OSError:  # a link, a socket, no permission: nothing that a road put there
            self._remove(directory, name)
            return None
        facts = os.fstat(descriptor)
        plain = stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid() and facts.st_nlink == 1
        if plain and 0 < facts.st_size <= self._limit:
            with os.fdopen(descriptor, "rb") as file:
                return file.read(self._limit)
        os.close(descriptor)
        self._remove(directory, name)
        return None

    def _remove(self, directory: int, name: str) -> None:
        try:
            os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            return
        except OSError:  # a directory of this name, or a read-only disk: it is not read again
            self._broken.add(name)
