"""A disk that loses its cache: every write and sync is remembered, and the files can be rebuilt as a power cut left them.

    disk = Disk("cut")                          # an apsw VFS by this name, over the real files
    store = open_store(home, vfs=disk.name)
    …                                           # len(disk.log) is the moment
    for at, files in disk.crashes(range(0, len(disk.log)), random.Random(7)): …

What was synced is there; of what was written since, each piece is there, is not, or is torn at a sector. It cannot simulate
a drive that lies about a sync, nor the -shm file, which nobody needs after a cut. `fail` makes single operations fail.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

SECTOR = 512


@dataclass(frozen=True, slots=True)
class Op:
    """One thing that was asked of the disk."""

    kind: str  # write, truncate, sync, delete, replace (a whole file at once, and for good)
    file: str
    offset: int = 0  # of a write; the size of a truncate
    data: bytes = b""


@dataclass(slots=True)
class _State:
    """One file: what surely survives, and what may."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Op] = field(default_factory=list)

    def sync(self) -> None:
        for op in self.pending:
            _perform(self.durable, op)
        self.pending = []

    def whole(self) -> bytes:
        data = bytearray(self.durable)
        for op in self.pending:
            _perform(data, op)
        return bytes(data)

    def after_cut(self, dice: random.Random) -> bytes:
        data = bytearray(self.durable)
        mood = dice.random()  # all gone, all there, or each piece by itself
        for op in self.pending:
            if mood < 0.2:
                continue
            kept = op if mood > 0.9 else _torn(op, dice)
            if kept is not None:
                _perform(data, kept)
        return bytes(data)


def _perform(data: bytearray, op: Op) -> None:
    if op.kind == "truncate":
        del data[op.offset :]
        data.extend(bytes(op.offset - len(data)))
    else:
        data.extend(bytes(max(0, op.offset - len(data))))
        data[op.offset : op.offset + len(op.data)] = op.data


def _torn(op: Op, dice: random.Random) -> Op | None:
    """What a cut leaves of one unsynced operation."""
    luck = dice.random()
    if luck < 0.4:
        return None
    if luck < 0.7 or op.kind == "truncate":
        return op
    return Op(op.kind, op.file, op.offset, op.data[: SECTOR * dice.randint(0, len(op.data) // SECTOR)])


class Disk:
    """A VFS that remembers. Unregister it with close()."""

    def __init__(self, name: str, name_of: Callable[[Path], str] = lambda path: path.name) -> None:
        self.name = name
        self.name_of = name_of  # what a file is called in the log
        self.log: list[Op] = []
        self.fail: Callable[[Op], None] = lambda op: None  # may raise apsw.FullError or apsw.IOError
        self._vfs = _Vfs(self)

    def close(self) -> None:
        """Take the VFS out of SQLite's list."""
        self._vfs.unregister()

    def record(self, op: Op) -> None:
        """Remember an operation that is about to be done, unless it fails."""
        self.fail(op)
        self.log.append(op)

    def syncs(self) -> list[int]:
        """The positions of all syncs in the log."""
        return [at for at, op in enumerate(self.log) if op.kind == "sync"]

    def crashes(
        self, points: Iterable[int], dice: random.Random, spared: Callable[[], Callable[[str], bool]] = lambda: nothing
    ) -> Iterator[tuple[int, dict[str, bytes]]]:
        """For each point (the number of operations done, rising) the files as a power cut there leaves them.

        `spared` is asked once for each point: it says which files had power, so that nothing of them is gone.
        """
        files: dict[str, _State] = {}
        done = 0
        for point in sorted(points):
            for op in self.log[done:point]:
                _follow(files, op)
            done = point
            safe = spared()
            yield point, {name: state.whole() if safe(name) else state.after_cut(dice) for name, state in files.items()}


def nothing(file: str) -> bool:
    """Spare no file."""
    return False


def _follow(files: dict[str, _State], op: Op) -> None:
    if op.kind == "delete":
        files.pop(op.file, None)
        return
    state = files.setdefault(op.file, _State())
    if op.kind == "sync":
        state.sync()
    elif op.kind == "replace":
        files[op.file] = _State(bytearray(op.data))
    else:
        state.pending.append(op)


def restore(files: dict[str, bytes], home: Path) -> None:
    """Write the files of a crash into a directory."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, data in files.items():
        (home / name).write_bytes(data)


class _Vfs(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        super().__init__(disk.name, base="")
        self._disk = disk

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _File(self._disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self._disk.record(Op("delete", self._disk.name_of(Path(filename))))
        super().xDelete(filename, syncdir)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        path = name if isinstance(name, str) or name is None else name.filename()
        self._disk = disk
        self._name = disk.name_of(Path(path)) if path else "temporary"

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.record(Op("write", self._name, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self._disk.record(Op("truncate", self._name, newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        self._disk.record(Op("sync", self._name))
        super().xSync(flags)
