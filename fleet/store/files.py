"""Small private files, written whole or not at all; never decides what is in them.

The order is the promise: temporary name, fsync, rename, fsync of the directory. A reader sees the old or the new file.
"""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from fleet.errors import DiskFull, LooseKey, StoreError

try:
    from fcntl import F_FULLFSYNC, fcntl  # type: ignore[attr-defined,unused-ignore]  # macOS only
except ImportError:
    F_FULLFSYNC = None

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def atomic_write(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace the file at `path` by `data`, so that a crash leaves the old or the new content.

    Raises DiskFull when there is no room, StoreError for anything else that the file system says.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        _write_new(temporary, data, mode)
        temporary.rename(path)
        _sync_directory(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise refusal(error, path) from error


def remove(path: Path) -> None:
    """Delete a file for good; it is no mistake when it is gone already. Raises StoreError."""
    try:
        path.unlink(missing_ok=True)
        _sync_directory(path.parent)
    except OSError as error:
        raise refusal(error, path) from error


def make_private(directory: Path) -> None:
    """Make a directory only its owner can enter (0700), parents included; an existing one is left as it is.

    Raises DiskFull or StoreError.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise refusal(error, directory) from error


def check_private(path: Path) -> None:
    """Make sure that nobody else can read or change `path`. Raises LooseKey with the command that mends it."""
    facts = path.stat()
    if os.name != "posix":
        return
    if facts.st_uid != os.geteuid():
        raise LooseKey(f"{path} belongs to user {facts.st_uid}", hint=f"chown {os.geteuid()} {path}")
    if facts.st_mode & 0o077:
        mode = "700" if path.is_dir() else "600"
        raise LooseKey(f"{path} can be read by others (mode {facts.st_mode & 0o777:03o})", hint=f"chmod {mode} {path}")


def refusal(error: OSError, path: Path) -> StoreError:
    """Translate what the file system said about `path`: DiskFull or StoreError."""
    if error.errno in FULL:
        return DiskFull(f"the disk is full: {path} was not written")
    return StoreError(f"{path}: {error.strerror or error}")


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        _sync(file.fileno())


def _sync(descriptor: int) -> None:
    if F_FULLFSYNC is not None:
        fcntl(descriptor, F_FULLFSYNC)
    else:
        os.fsync(descriptor)


def _sync_directory(directory: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
