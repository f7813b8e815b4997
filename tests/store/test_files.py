"""fleet/store/files.py: whole or not at all, and private."""

import errno
import os
from pathlib import Path

import pytest

from fleet.errors import DiskFull, LooseKey, StoreError
from fleet.store import files
from fleet.store.files import atomic_write, check_private, make_private, refusal, remove


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_file_is_written_private_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    atomic_write(tmp_path / "a.key", b"one")
    atomic_write(tmp_path / "a.key", b"two")
    assert (tmp_path / "a.key").read_bytes() == b"two"
    assert mode(tmp_path / "a.key") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a.key"]


def test_the_mode_can_be_another_one(tmp_path: Path) -> None:
    atomic_write(tmp_path / "a", b"", 0o644)
    assert mode(tmp_path / "a") == 0o644


def test_the_bytes_and_the_name_are_synced_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def spy_fsync(descriptor: int) -> None:
        seen.append("directory" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "bytes")
        fsync(descriptor)

    def spy_rename(self: Path, target: Path) -> Path:
        seen.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(Path, "rename", spy_rename)
    atomic_write(tmp_path / "a", b"x")
    assert seen == ["bytes", "rename", "directory"]


def test_macos_syncs_through_the_drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(files, "F_FULLFSYNC", 51)
    monkeypatch.setattr(files, "fcntl", lambda descriptor, command: seen.append(command), raising=False)
    atomic_write(tmp_path / "a", b"x")
    assert seen == [51]


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EIO, StoreError)])
def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[StoreError]
) -> None:
    atomic_write(tmp_path / "a", b"old")

    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(kind) as caught:
        atomic_write(tmp_path / "a", b"new")
    assert type(caught.value) is kind
    assert str(tmp_path / "a") in caught.value.message
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        atomic_write(tmp_path / "no" / "a", b"x")


def test_remove_is_content_with_nothing_to_remove(tmp_path: Path) -> None:
    atomic_write(tmp_path / "a", b"x")
    remove(tmp_path / "a")
    remove(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreError):
        remove(tmp_path / "no" / "a")


def test_a_private_directory_is_made_with_its_parents_and_an_old_one_is_left(tmp_path: Path) -> None:
    make_private(tmp_path / "a" / "b")
    assert mode(tmp_path / "a" / "b") == 0o700
    (tmp_path / "c").mkdir(mode=0o755)
    make_private(tmp_path / "c")
    assert mode(tmp_path / "c") == 0o755
    atomic_write(tmp_path / "file", b"")
    with pytest.raises(StoreError):
        make_private(tmp_path / "file")


def test_a_loose_file_or_directory_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    atomic_write(tmp_path / "a", b"", 0o640)
    with pytest.raises(LooseKey) as caught:
        check_private(tmp_path / "a")
    assert caught.value.hint == f"chmod 600 {tmp_path / 'a'}"
    (tmp_path / "d").mkdir(mode=0o750)
    with pytest.raises(LooseKey) as caught:
        check_private(tmp_path / "d")
    assert caught.value.hint == f"chmod 700 {tmp_path / 'd'}"
    (tmp_path / "a").chmod(0o600)
    check_private(tmp_path / "a")


def test_a_file_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    atomic_write(tmp_path / "a", b"")
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(LooseKey) as caught:
        check_private(tmp_path / "a")
    assert caught.value.hint == f"chown {owner + 1} {tmp_path / 'a'}"


def test_where_there_are_no_modes_nothing_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    atomic_write(tmp_path / "a", b"", 0o644)
    with monkeypatch.context() as patch:
        patch.setattr(os, "name", "nt")
        check_private(tmp_path / "a")
        files._sync_directory(tmp_path)


def test_what_the_file_system_says_is_kept() -> None:
    assert "Input/output" in refusal(OSError(errno.EIO, os.strerror(errno.EIO)), Path("/a")).message
    assert refusal(OSError("odd"), Path("/a")).message == "/a: odd"
