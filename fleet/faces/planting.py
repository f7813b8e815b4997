"""Manifests put on the disk and taken from it again: backups, whole writes, no way out of the home; decides no content.

Beside a file that was there before lies `NAME.before-fleet` with its bytes. A directory of ours holds a record of what was
written into it, so that what somebody changed or added there is found and kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from fleet.errors import FleetError, StoreError, UsageError
from fleet.faces.manifests import Graft, Tree
from fleet.store.files import atomic_write, refusal, remove

BACKUP = ".before-fleet"
RECORD = ".fleet-install.json"
LARGEST = 4 << 20  # bytes of a file we edit


@dataclass(frozen=True, slots=True)
class Deed:
    """What was done, or would be, with one file: created, changed, unchanged, restored, trimmed, removed, kept."""

    path: Path
    action: str
    backup: Path | None = None


@dataclass(frozen=True, slots=True)
class Garden:
    """The directory nothing leads out of, links included; `dry` changes nothing and tells the same."""

    fence: Path
    dry: bool = False
    mode: int = 0o600

    def install(self, what: Tree | Graft) -> list[Deed]:
        """Write one thing. Raises UsageError where something that is not ours is in the way."""
        return self._install_tree(what) if isinstance(what, Tree) else [self._install_graft(what)]

    def uninstall(self, what: Tree | Graft) -> list[Deed]:
        """Take one thing away."""
        return self._uninstall_tree(what) if isinstance(what, Tree) else self._uninstall_graft(what)

    # ── our part in a file of others ─────────────────────────────────────────────────────────────────────────────────

    def _install_graft(self, graft: Graft) -> Deed:
        path, old = self._read(graft.path)
        try:
            text = _text(path, old or b"")
            new = graft.part.put(text)
            ours = bool(old) and graft.part.present(text)
        except UsageError as error:
            raise _about(path, error) from None
        if old is not None and new.encode() == old:
            return Deed(path, "unchanged")
        backup = _backup(path) if old is not None else None
        if backup and old is not None and not (ours and backup.exists()):
            self._write(backup, old)
        self._write(path, new.encode())
        return Deed(path, "created" if old is None else "changed", backup)

    def _uninstall_graft(self, graft: Graft) -> list[Deed]:
        path, now = self._read(graft.path)
        try:
            if now is None or not graft.part.present(_text(path, now)):
                return []
            before = self._read(_backup(path))[1]
            rest = graft.part.take(_text(path, now))
            untouched = before is not None and graft.part.put(_text(path, before)).encode() == now
            if before is None and graft.part.hollow(rest):
                self._remove(path)
                return [Deed(path, "removed")]
        except UsageError as error:
            raise _about(path, error) from None
        if before is not None and (untouched or rest.encode() == before):
            self._write(path, before)
            self._remove(_backup(path))
            return [Deed(path, "restored")]
        self._write(path, rest.encode())
        return [Deed(path, "trimmed", _backup(path) if before is not None else None)]

    # ── a directory of ours ──────────────────────────────────────────────────────────────────────────────────────────

    def _install_tree(self, tree: Tree) -> list[Deed]:
        root = self._inside(tree.root)
        recorded = self._record(root)
        if recorded is None and root.is_dir() and any(root.iterdir()):
            raise UsageError(f"{root} is there already and fleet install did not make it", hint="move it away")
        deeds = [self._plant(root / name, data, (recorded or {}).get(name)) for name, data in tree.files.items()]
        deeds += self._clear(root, {name: sha for name, sha in (recorded or {}).items() if name not in tree.files})
        record = {name: hashlib.sha256(data).hexdigest() for name, data in tree.files.items()}
        if record != recorded:
            self._write(root / RECORD, (json.dumps({"made by": "fleet install", "files": record}, indent=2) + "\n").encode())
        return deeds

    def _plant(self, path: Path, data: bytes, recorded: str | None) -> Deed:
        path, old = self._read(path)
        if old == data:
            return Deed(path, "unchanged")
        edited = old is not None and hashlib.sha256(old).hexdigest() != recorded
        backup = _backup(path) if edited else None
        if backup and old is not None:
            self._write(backup, old)
        self._write(path, data)
        return Deed(path, "created" if old is None else "changed", backup)

    def _uninstall_tree(self, tree: Tree) -> list[Deed]:
        root = self._inside(tree.root)
        recorded = self._record(root)
        if recorded is None:
            return []
        deeds = self._clear(root, recorded)
        self._remove(root / RECORD)
        self._prune(root)
        return deeds

    def _clear(self, root: Path, recorded: dict[str, str]) -> list[Deed]:
        deeds = []
        for name, sha in recorded.items():
            path, now = self._read(root / name)
            if now is not None and hashlib.sha256(now).hexdigest() == sha:
                self._remove(path)
                deeds.append(Deed(path, "removed"))
            elif now is not None:
                deeds.append(Deed(path, "kept"))
        return deeds

    def _prune(self, root: Path) -> None:
        if self.dry:
            return
        for directory in sorted((path for path in root.rglob("*") if path.is_dir()), reverse=True):
            if not any(directory.iterdir()):
                directory.rmdir()
        if not any(root.iterdir()):
            root.rmdir()

    def _record(self, root: Path) -> dict[str, str] | None:
        """What was written here before; None when nothing of ours was."""
        found = self._read(root / RECORD)[1]
        if found is None:
            return None
        try:
            files = json.loads(found)["files"]
            return {str(name): str(sha) for name, sha in files.items() if _plain(str(name))}
        except (ValueError, KeyError, TypeError, AttributeError):
            return {}

    # ── the disk ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _inside(self, path: Path) -> Path:
        """Follow links as long as they stay within the fence. Raises UsageError when they lead out."""
        real, fence = path.resolve(), self.fence.resolve()
        if not real.is_relative_to(fence):
            raise UsageError(f"{path} leads out of {fence}, to {real}", hint="replace the link by a file of its own")
        return real

    def _read(self, path: Path) -> tuple[Path, bytes | None]:
        real = self._inside(path)
        try:
            facts = real.stat()
            if not stat.S_ISREG(facts.st_mode) or facts.st_size > LARGEST:
                raise UsageError(f"{real} is no plain file of a size that settings have")
            return real, real.read_bytes()
        except FileNotFoundError:
            return real, None
        except OSError as error:
            raise refusal(error, real) from error

    def _write(self, path: Path, data: bytes) -> None:
        if self.dry:
            return
        try:
            path.parent.mkdir(mode=0o700 if self.mode == 0o600 else 0o755, parents=True, exist_ok=True)
            mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else self.mode
        except OSError as error:
            raise refusal(error, path) from error
        atomic_write(path, data, mode)
        os.chmod(path, mode)  # noqa: PTH101 - the umask may have taken bits that the file had

    def _remove(self, path: Path) -> None:
        if not self.dry:
            remove(path)


def _plain(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/")


def _backup(path: Path) -> Path:
    return path.with_name(path.name + BACKUP)


def _text(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError("it is not UTF-8") from None


def _about(path: Path, error: FleetError) -> StoreError:
    return StoreError(f"{path}: {error.message}; nothing was written to it", hint=error.hint or f"look at {path}")
