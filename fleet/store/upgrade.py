"""Before an older database is brought up to date, a copy of it is put beside it: an upgrade can be taken back by hand."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import apsw

from fleet.store.files import refusal


def copy_of(path: Path, version: int) -> Path:
    """Say where the copy of a version lies."""
    return path.with_name(f"{path.name}.v{version}")


def keep_copy(conn: apsw.Connection, path: Path, version: int) -> Path:
    """Copy the database as it is committed, whole and on the disk before its name is there; an older copy is replaced.

    Raises DiskFull or StoreError: without a copy nothing is upgraded. SQLite's own errors pass through.
    """
    kept = copy_of(path, version)
    temporary = kept.with_name(f".{kept.name}.{secrets.token_hex(6)}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # VACUUM INTO takes an empty file
        conn.execute("VACUUM INTO ?", (str(temporary),))
        _sync(temporary)
        temporary.rename(kept)
        _sync(path.parent)
    except OSError as error:
        raise refusal(error, kept) from error
    finally:
        temporary.unlink(missing_ok=True)
    return kept


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
