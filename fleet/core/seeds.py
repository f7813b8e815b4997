"""The names of parcels as files: made of the pid's hex digits alone; never of anything a peer wrote."""

from __future__ import annotations

import re

_PID = re.compile(r"[0-9a-f]{32}\Z").match
_NAME = re.compile(r"[0-9a-f]{32}\.seed\Z").match
_UNFINISHED = re.compile(r"\.[0-9a-f]{32}\.[0-9a-f]{16}\Z").match


def seed_name(pid: str) -> str:
    """Name the file of a parcel; empty when the pid is not 32 hex digits."""
    return f"{pid}.seed" if _PID(pid) else ""


def unfinished_name(pid: str, dice: bytes) -> str:
    """Name the file while it is being written; `dice` = 8 random bytes."""
    return f".{pid}.{dice[:8].hex()}"


def is_seed(name: str) -> bool:
    """Say whether a file name is a parcel's."""
    return _NAME(name) is not None


def is_unfinished(name: str) -> bool:
    """Say whether a file name is that of a parcel being written."""
    return _UNFINISHED(name) is not None
