"""What the doctor finds on real files, sockets and stores, what it mends by itself, and that no check stops another."""

import asyncio
import dataclasses
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from fleet import __version__
from fleet.core.peer import Peer
from fleet.core.submission import Submission
from fleet.faces.doctor import network, patients, round
from fleet.faces.doctor.finding import Finding, Patient, merged
from fleet.faces.house import House
from fleet.faces.lock import Lock
from tests.faces.test_serve import fleet_json


@pytest.fixture
def node(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> House:
    """A node that was made and never started, of a user who has no agent programs."""
    monkeypatch.setenv("HOME", str(home / "user"))
    monkeypatch.setenv("FLEET_NODE_BIND", "127.0.0.1:0")
    assert fleet_json(capsys, "init", "--node", "mac1")[0] == 0
    return House(dict(os.environ))


def looked(patient: Patient | House, *, fix: bool = False) -> dict[str, Any]:
    """Let the doctor go round; gives his findings by id, and what he did under `fixed`."""
    patient = patients.of_house(patient) if isinstance(patient, House) else patient
    found = asyncio.run(round.go_round(patient, lambda event, **fields: None, fix=fix))
    return {check["id"]: check for check in found["checks"]} | {"fixed": {one["id"]: one["did"] for one in found["fixed"]}}


def unwell(found: dict[str, Any]) -> dict[str, str]:
    """The checks that are not ok."""
    return {id: check["status"] for id, check in found.items() if id != "fixed" and check["status"] != "ok"}


def test_a_fresh_node_lacks_nothing_but_its_daemon(node: House) -> None:
    found = looked(node)
    assert unwell(found) == {"daemon": "warning"} and found["daemon"]["fix"] == "fleet up --detach"
    assert set(found) >= {
        "private-files", "keys", "clock", "disk", "store", "wal", "broker", "ports", "ssh-host-keys", "git", "cloud", "wol",
        "versions", "queues", "dead-letters", "roads", "leftovers", "agents",
    }  # fmt: skip


def test_what_others_can_read_is_closed_and_named(node: House, home: Path) -> None:
    (home / "keys").chmod(0o755)
    (home / "keys" / "identity.json").chmod(0o644)
    assert unwell(looked(node))["private-files"] == "failed"
    found = looked(House(dict(os.environ)), fix=True)
    assert found["private-files"]["status"] == "ok" and "chmod 700" in found["fixed"]["private-files"]
    assert (home / "keys" / "identity.json").stat().st_mode & 0o777 == 0o600


def test_without_leave_nothing_is_touched(node: House, home: Path) -> None:
    (home / "keys").chmod(0o755)
    before = {path: path.stat().st_mode for path in home.rglob("*")}
    looked(node)
    after = {path: path.stat().st_mode for path in home.rglob("*")}
    assert {path: mode for path, mode in after.items() if path in before} == before


def test_a_killed_daemon_s_socket_is_cleared_a_living_one_s_never(node: House, home: Path) -> None:
    (home / "run").mkdir(exist_ok=True, mode=0o700)
    (home / "run" / "fleet.sock").write_bytes(b"")
    (home / "run" / "fleet.sock").chmod(0o600)
    with Lock(node.paths):
        assert looked(node, fix=True)["daemon"]["status"] == "failed", "it holds the lock and does not answer"
        assert (home / "run" / "fleet.sock").exists()
    assert unwell(looked(House(dict(os.environ))))["leftovers"] == "warning"
    assert "fleet.sock" in looked(House(dict(os.environ)), fix=True)["fixed"]["leftovers"]
    assert not (home / "run" / "fleet.sock").exists()


def test_the_ballast_of_a_full_disk_is_put_aside_again(node: House, home: Path) -> None:
    assert not (home / "fleet.db.ballast").exists()
    assert "2 MiB" in looked(node, fix=True)["fixed"]["disk"]
    assert (home / "fleet.db.ballast").stat().st_size == 2 << 20


def test_a_damaged_database_is_found_and_stops_no_other_check(node: House, home: Path) -> None:
    patient = patients.of_house(node)
    node.store.close()
    with (home / "fleet.db").open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(40_000))
    found = looked(patient)
    assert found["store"]["status"] == "failed" and "backup" in found["store"]["fix"]
    assert found["private-files"]["status"] == "ok" and found["broker"]["status"] == "ok"


def test_a_mistake_in_the_configuration_is_a_finding(node: House, home: Path) -> None:
    (home / "config.toml").write_text("[node]\nbindd = 1\n")
    found = looked(House(dict(os.environ)))
    assert found["config"]["status"] == "failed" and "bindd" in found["config"]["why"]


def test_a_key_that_is_gone_is_a_finding(node: House, home: Path) -> None:
    patient = patients.of_house(node)
    for path in (home / "keys").glob("*.key"):
        path.unlink()
    (home / "keys" / "identity.json").write_text("{}")
    assert looked(patient)["keys"]["status"] == "failed"


def test_waiting_mail_and_a_clock_that_was_set_back_are_seen(node: House) -> None:
    asyncio.run(node.mail.submit([Submission(to="mac1", body="to myself")]))
    with node.store.db.transaction():
        node.store.db.conn.execute("UPDATE inbox SET received = ?", (int((time.time() + 3600) * 1000),))
    found = looked(node)
    assert found["clock"]["status"] == "warning" and "set back" in found["clock"]["why"]


# ── the round itself ─────────────────────────────────────────────────────────────────────────────────────────────────
def test_no_check_runs_where_the_daemon_works(node: House, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def check(patient: Patient) -> Finding:
        threads.append(threading.current_thread())
        return Finding("store")

    monkeypatch.setitem(round.CHECKS, "store", check)
    looked(node)
    assert threads and threading.main_thread() not in threads


def test_a_check_that_hangs_or_breaks_is_a_finding_and_the_others_go_on(
    node: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(patient: Patient) -> list[Finding]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(round, "DEADLINE", 2.0)
    monkeypatch.setitem(round.CHECKS, "mailboxes", hang)
    monkeypatch.setitem(round.CHECKS, "wal", lambda patient: Finding(str(1 / 0)))
    found = looked(node)
    assert found["mailboxes"]["status"] == "warning" and "not known" in found["mailboxes"]["why"]
    assert found["wal"]["status"] == "failed" and "bug" in found["wal"]["why"]
    assert found["store"]["status"] == "ok"


def test_several_findings_of_a_check_become_one_with_all_remedies() -> None:
    found = merged("x", [Finding("x", "warning", "one", "do a", lambda: "a"), Finding("x", "failed", "two", "do b")])
    assert (found.status, found.why, found.fix) == ("failed", "one; two", "do a && do b")
    assert found.cure is not None and found.cure() == "a"


# ── the network ──────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def greets() -> Iterator[Any]:
    """Make servers that say one line to everybody; gives their URL."""
    listeners: list[socket.socket] = []

    def serve(line: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def answer() -> None:
            try:
                while True:
                    caller, _ = listener.accept()
                    caller.sendall(line)
                    caller.close()
            except OSError:
                return

        threading.Thread(target=answer, daemon=True).start()
        return f"nats://user:hunter2@127.0.0.1:{listener.getsockname()[1]}"

    yield serve
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def with_broker(node: House, url: str) -> Finding:
    patient = dataclasses.replace(patients.of_house(node), live={"broker": url, "version": __version__})
    return network.broker(patient)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"INFO " + json.dumps({"version": "2.11.4", "jetstream": True}).encode() + b"\r\n", "ok"),
        (b"INFO " + json.dumps({"version": "2.15.1-beta"}).encode() + b"\r\n", "ok"),
        (b"INFO " + json.dumps({"version": "2.9.10"}).encode() + b"\r\n", "failed"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "warning"),
        (b"", "warning"),
        (b"INFO " + b"[" * 8000, "warning"),
    ],
    ids=["new", "newer", "old", "ssh", "silent", "hostile"],
)
def test_a_broker_is_asked_for_its_version(node: House, greets: Any, line: bytes, status: str) -> None:
    found = with_broker(node, greets(line))
    assert found.status == status and "hunter2" not in found.why + found.fix


def test_a_broker_that_is_away_is_named_with_its_place(node: House) -> None:
    found = with_broker(node, "nats://127.0.0.1:1")
    assert found.status == "warning" and "127.0.0.1:1" in found.why


def test_a_port_that_somebody_has_is_named_before_the_daemon_needs_it(
    node: House, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert fleet_json(capsys, "config", "set", "api.listen", f"127.0.0.1:{port}")[0] == 0
        environ = {name: value for name, value in os.environ.items() if name != "FLEET_API"}
        found = looked(House(environ))
    assert found["ports"]["status"] == "warning" and str(port) in found["ports"]["why"]


KEY, OTHER = (f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{letter * 43}" for letter in "ab")


@pytest.mark.parametrize(
    ("said", "pinned", "status"),
    [(KEY, "", "ok"), ("", KEY, "ok"), (KEY, KEY, "ok"), (KEY, f"{OTHER}\n{KEY}", "ok"), (KEY, OTHER, "failed"),
     ("", "", "warning")],
)  # fmt: skip
def test_pins_are_compared_with_what_the_peer_says(node: House, said: str, pinned: str, status: str) -> None:
    table = MappingProxyType({"ssh": MappingProxyType({"host": "mac2", "host_key": pinned})})
    patient = dataclasses.replace(patients.of_house(node), peers=[Peer("mac2", host_key=said, addresses=table)])
    assert network.host_keys(patient).status == status


@pytest.mark.parametrize(("version", "status"), [(__version__, "ok"), ("", "ok"), ("what", "ok"), ("7.0.0", "warning")])
def test_members_of_a_far_version_are_named(node: House, version: str, status: str) -> None:
    patient = dataclasses.replace(patients.of_house(node), peers=[Peer("mac2", versions={"fleet": version})])
    assert network.versions(patient).status == status


@pytest.mark.tier("git")
def test_a_git_remote_is_asked(node: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fleet_json(capsys, "config", "set", "channel.git.remote", f"{tmp_path}/mail.git")[0] == 0
    assert looked(House(dict(os.environ)))["git"]["status"] == "warning"
    subprocess.run(["git", "init", "--bare", "--quiet", f"{tmp_path}/mail.git"], check=True)
    found = looked(House(dict(os.environ)))["git"]
    assert (found["status"], found["why"]) == ("ok", "1 answered")


def test_a_hook_that_somebody_changed_is_named(node: House, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "user").mkdir()
    assert fleet_json(capsys, "install", "--ide", "gemini")[0] == 0
    assert looked(node)["agents-gemini"]["why"].endswith("is not on PATH, fleet's part is")
    changed = next(path for path in (home / "user").rglob("hooks.json"))
    changed.write_text("{}")
    found = looked(node)["agents-gemini"]
    assert found["status"] == "warning" and "fleet install --ide gemini" in found["fix"]
