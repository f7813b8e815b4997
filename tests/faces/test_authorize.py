"""The key line of `fleet ssh authorize`: what it holds, what it refuses, what it does to a file of keys."""

import base64
import struct
from pathlib import Path

import pytest

from fleet.errors import UsageError
from fleet.faces.authorize import install, line_of, read_key, rivals


def key(kind: str = "ssh-ed25519", fill: int = 7) -> str:
    blob = struct.pack(">I", len(kind)) + kind.encode() + struct.pack(">I", 32) + bytes([fill]) * 32
    return f"{kind} {base64.b64encode(blob).decode()}"


LINE = line_of("mac1", key(), "env FLEET_HOME=/x /opt/fleet/bin/fleet receive", ["127.0.0.1:8856", "127.0.0.1:4222"])


def test_the_line_lets_one_command_run_and_two_places_be_reached() -> None:
    expected = (
        'restrict,port-forwarding,permitopen="127.0.0.1:8856",permitopen="127.0.0.1:4222",permitlisten="127.0.0.1:1",'
        f'command="env FLEET_HOME=/x /opt/fleet/bin/fleet receive" {key()} fleet:mac1'
    )
    assert expected == LINE
    assert "port-forwarding" not in line_of("mac1", key(), "fleet receive", [])
    assert r"command=\"" not in LINE and r'\"a b\"' in line_of("mac1", key(), '"a b" receive', [])


def test_a_key_is_read_whatever_stands_around_it() -> None:
    assert read_key(f"{key()} ana@studio\n") == key()
    assert read_key(f'from="1.2.3.4",command="sh" {key()} $(touch x)') == key()


@pytest.mark.parametrize(
    "text",
    [
        "", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-ed25519 !!!!", f"ssh-rsa {key().split()[1]}", "ssh-dss AAAAB3NzaC1kc3M=",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "x" * 20_000,
    ],
)  # fmt: skip
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        read_key(text)


def test_a_line_is_written_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / ".ssh" / "authorized_keys"
    assert install(path, LINE, "fleet:mac1") == (True, None)
    assert path.read_text() == LINE + "\n"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert install(path, LINE, "fleet:mac1") == (False, None)


def test_other_lines_stay_and_a_copy_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "authorized_keys"
    older, other = line_of("mac1", key(fill=2), "old", []), line_of("mac2", key(fill=3), "x", [])
    before = f"# mine\n{key(fill=1)} ana\n\n{older}\n{other}"
    path.write_text(before)
    changed, backup = install(path, LINE, "fleet:mac1")
    assert changed and backup is not None and Path(backup).read_text() == before
    kept = path.read_text().splitlines()
    assert kept == ["# mine", f"{key(fill=1)} ana", "", other, LINE]


def test_a_link_to_a_file_of_keys_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("")
    (tmp_path / "authorized_keys").symlink_to(tmp_path / "real")
    install(tmp_path / "authorized_keys", LINE, "fleet:mac1")
    assert (tmp_path / "authorized_keys").is_symlink() and (tmp_path / "real").read_text() == LINE + "\n"


def test_the_same_key_with_other_rights_is_pointed_out() -> None:
    assert rivals(f"# {key()}\n{key()} ana\n{LINE}\n", LINE) == [2]
