"""Which branch and commit a directory stands on, compared with what git says of real checkouts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fleet.daemon.checkout import UNKNOWN, stand

GIT = {
    "PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t",
}  # fmt: skip


def git(at: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(at), *words], env=GIT, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.strip()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A checkout with one commit on main."""
    at = tmp_path / "work"
    at.mkdir()
    git(at, "init", "-q", "-b", "main")
    git(at, "commit", "-q", "--allow-empty", "-m", "one")
    return at


def said(at: Path) -> tuple[str, str]:
    """What git itself says."""
    return git(at, "branch", "--show-current"), git(at, "rev-parse", "HEAD")


def test_a_branch_is_read_as_git_says(work: Path) -> None:
    assert stand(str(work)) == said(work)
    git(work, "checkout", "-q", "-b", "feature/deep/name")
    git(work, "commit", "-q", "--allow-empty", "-m", "two")
    assert stand(str(work)) == said(work)


def test_packed_refs_are_read(work: Path) -> None:
    for n in range(20):
        git(work, "branch", f"other{n}")
    git(work, "pack-refs", "--all")
    assert not (work / ".git/refs/heads/main").exists()
    assert stand(str(work)) == said(work)


def test_a_detached_head_has_a_commit_and_no_branch(work: Path) -> None:
    git(work, "checkout", "-q", "--detach")
    assert stand(str(work)) == ("", git(work, "rev-parse", "HEAD"))


def test_a_directory_below_and_a_second_worktree_are_found(work: Path, tmp_path: Path) -> None:
    (work / "a/b").mkdir(parents=True)
    assert stand(str(work / "a/b")) == said(work)
    git(work, "worktree", "add", "-q", "-b", "second", str(tmp_path / "second"))
    assert stand(str(tmp_path / "second")) == said(tmp_path / "second")


def test_a_branch_without_a_commit_has_a_name(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "empty")
    assert stand(str(tmp_path)) == ("empty", "")


@pytest.mark.parametrize("head", ["", "ref: ../../../etc/passwd", "ref: refs/heads/../../../x", "ref: refs/tags/x", "zz",
                                  "ref: refs/heads/\x1b[31m", "ref: refs/heads/" + "x" * 300, "\xff\xfe"])  # fmt: skip
def test_a_head_that_is_none_is_not_known(tmp_path: Path, head: str) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_text(head, encoding="latin-1")
    assert stand(str(tmp_path)) == UNKNOWN


def test_what_is_no_checkout_not_there_or_not_readable_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/.git").write_text("gitdir: /nonexistent")
    for name in ("bare", "gone", "file", "odd", "nul\0"):
        assert stand(str(tmp_path / name)) == UNKNOWN


def test_a_ref_that_holds_no_commit_is_not_believed(work: Path) -> None:
    (work / ".git/refs/heads/main").write_text("not a commit\n")
    assert stand(str(work)) == ("main", "")


def test_a_huge_head_is_not_read_whole(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    with (tmp_path / ".git/HEAD").open("wb") as file:
        file.truncate(1 << 32)
    assert stand(str(tmp_path)) == UNKNOWN
