"""One daemon a node: a lock on run/fleetd.pid that the kernel frees however its holder ends; never a guess."""

from __future__ import annotations

import fcntl
import os
from types import TracebackType

from fleet.daemon.paths import Paths
from fleet.errors import FleetError

NAME = "fleetd.pid"


class Lock:
    """Held while a daemon lives; the file's text is its process id, for people and service managers."""

    def __init__(self, paths: Paths) -> None:
        """Remember where the file is."""
        self._path = paths.run / NAME
        self._descriptor = -1

    def __enter__(self) -> Lock:
        """Take the lock. Raises FleetError when a daemon holds it."""
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise FleetError(f"a daemon runs here already ({_read(self._path)})", hint="fleet down") from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give it back; the file stays, so that nobody can lock a file that is being replaced."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def _read(path: os.PathLike[str]) -> str:
    with open(path, encoding="ascii", errors="replace") as file:  # noqa: PTH123
        return f"pid {file.read(32).strip() or 'unknown'}"


def holder(paths: Paths) -> str | None:
    """Say who holds the lock, None when nobody does."""
    path = paths.run / NAME
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two that ask do not take each other for a daemon
    except BlockingIOError:
        return _read(path)
    finally:
        os.close(descriptor)
    return None
