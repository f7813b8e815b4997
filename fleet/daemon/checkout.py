"""Which branch and commit a directory stands on, read from git's own files; no program is started, nothing is written.

Everything read is bounded, and what cannot be read is simply not known: "".
"""

from __future__ import annotations

import re
from pathlib import Path

UP = 32  # directories looked at above the one that is asked about
SMALL = 4096  # bytes of HEAD, a ref, a pointer to the true directory
PACKED = 4 << 20  # bytes of packed-refs that are read
_COMMIT = re.compile(r"^([0-9a-f]{40}|[0-9a-f]{64})\Z")
_REF = re.compile(r"^refs/heads/[^\x00-\x20\x7f~^:?*\[\\]{1,240}\Z")
UNKNOWN = ("", "")


def stand(directory: str) -> tuple[str, str]:
    """Give (branch, commit); the branch is empty on a detached head, both outside a checkout."""
    try:
        found = _git_directory(Path(directory).expanduser())
        return _head(found) if found is not None else UNKNOWN
    except (OSError, ValueError):
        return UNKNOWN


def _git_directory(directory: Path) -> Path | None:
    at = directory.absolute()
    for place in (at, *list(at.parents)[:UP]):
        git = place / ".git"
        if git.is_dir():
            return git
        if git.is_file():
            word = _read(git, SMALL).strip()
            return (place / word.removeprefix("gitdir:").strip()) if word.startswith("gitdir:") else None
    return None


def _head(git: Path) -> tuple[str, str]:
    word = _read(git / "HEAD", SMALL).strip()
    if not word.startswith("ref:"):
        return ("", word) if _COMMIT.match(word) else UNKNOWN
    ref = word.removeprefix("ref:").strip()
    if not _REF.match(ref) or ".." in ref or ref.endswith("/.invalid"):
        return UNKNOWN
    return ref.removeprefix("refs/heads/"), _commit(git, ref)


def _commit(git: Path, ref: str) -> str:
    """Find what a branch points to: in a file of its own, or among the packed ones; a worktree's lie with its owner."""
    common = git
    if (git / "commondir").is_file():
        common = git / _read(git / "commondir", SMALL).strip()
    loose = common / ref
    word = _read(loose, SMALL).strip() if loose.is_file() else _packed(common, ref)
    return word if _COMMIT.match(word) else ""


def _packed(common: Path, ref: str) -> str:
    packed = common / "packed-refs"
    if not packed.is_file():
        return ""
    lines = _read(packed, PACKED).splitlines()
    return next((line.split(" ", 1)[0] for line in lines if line.endswith(f" {ref}")), "")


def _read(path: Path, limit: int) -> str:
    with path.open("rb") as file:
        return file.read(limit).decode("utf-8")
