"""What `fleet doctor` looks at today: the files of this node, its store, its disk; must never change what it finds."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path
from typing import Any

from fleet.core import policy
from fleet.daemon.paths import Paths
from fleet.errors import StoreError
from fleet.store import Store

OK, WARNING, FAILED = "ok", "warning", "failed"
Finding = dict[str, Any]


def of_node(paths: Paths, store: Store) -> list[Finding]:
    """Look at everything that can be seen from this machine alone."""
    private = [_private(path) for path in (paths.keys, paths.run, *_files(paths.keys))]
    return [_merged("private-files", private), _store(store), _disk(store), _wal(store)]


def _finding(id: str, status: str, why: str = "", fix: str = "") -> Finding:
    return {"id": id, "status": status, "why": why, "fix": fix}


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.is_file()) if directory.is_dir() else []


def _private(path: Path) -> Finding | None:
    if not path.exists():
        return None
    found = path.stat()
    if stat.S_IMODE(found.st_mode) & 0o077 == 0:
        return None
    mode = "700" if path.is_dir() else "600"
    why = f"{path} can be read by others (mode {stat.S_IMODE(found.st_mode):03o})"
    return _finding("private-files", FAILED, why, f"chmod {mode} {shlex.quote(str(path))}")


def _merged(id: str, findings: list[Finding | None]) -> Finding:
    wrong = [finding for finding in findings if finding]
    if not wrong:
        return _finding(id, OK)
    return _finding(id, FAILED, "; ".join(f["why"] for f in wrong), " && ".join(f["fix"] for f in wrong))


def _store(store: Store) -> Finding:
    try:
        damage = store.db.integrity()
    except StoreError as error:
        damage = [error.message]
    if not damage:
        return _finding("store", OK)
    return _finding("store", FAILED, "; ".join(damage[:3]), "fleet down, keep a copy of fleet.db, restore a backup")


def _disk(store: Store) -> Finding:
    free = store.db.free_space()
    if free >= policy.DISK_WATERMARK:
        return _finding("disk", OK)
    return _finding("disk", FAILED, f"{free >> 20} MiB are free, new mail is refused below 64", "make room on the disk")


def _wal(store: Store) -> Finding:
    size = store.db.wal_bytes()
    if size <= 4 * policy.WAL_LIMIT:
        return _finding("wal", OK)
    return _finding("wal", WARNING, f"the write-ahead log has {size >> 20} MiB", "fleet down; fleet up")
