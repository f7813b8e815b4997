import os
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.daemon.paths import paths_of
from fleet.errors import FleetError
from fleet.faces import lock
from fleet.faces.lock import Lock
from tests.faces.test_cli import fleet_json


class Machine:
    """One real node under a home of its own."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.home, self._patch, self._capsys = home, patch, capsys

    def fleet(self, *words: str) -> tuple[int, Any]:
        self._patch.setenv("FLEET_HOME", str(self.home))
        return fleet_json(self._capsys, *words)

    @property
    def pid(self) -> int:
        return int((self.home / "run" / "fleetd.pid").read_text())

    def wait_until_gone(self) -> None:
        held = os.open(self.home / "run" / "fleetd.pid", os.O_RDWR)
        try:
            import fcntl

            fcntl.flock(held, fcntl.LOCK_EX)
        finally:
            os.close(held)


@pytest.fixture
def machines(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[tuple[Machine, Machine]]:
    other = tempfile.TemporaryDirectory(prefix="fl", dir="/tmp")
    both = (Machine(home, monkeypatch, capsys), Machine(Path(other.name), monkeypatch, capsys))
    yield both
    for machine in both:
        machine.fleet("down")
    other.cleanup()


def test_one_daemon_a_node_and_the_kernel_frees_its_lock(tmp_path: Path) -> None:
    paths = paths_of({"FLEET_HOME": str(tmp_path), "HOME": "/h"})
    paths.run.mkdir()
    assert lock.holder(paths) is None
    with Lock(paths):
        assert lock.holder(paths) == f"pid {os.getpid()}"
        with pytest.raises(FleetError, match=f"already \\(pid {os.getpid()}\\)"), Lock(paths):
            pass
    assert lock.holder(paths) is None


def test_a_daemon_that_cannot_start_says_why(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fleet_json(capsys, "init", "--node", "mac1")[0] == 0
    (home / "config.toml").write_text("[node]\nbindd = 1\n")
    code, value = fleet_json(capsys, "up", "--detach")
    assert code == 1 and value["error"]["code"] == "settings" and "bindd" in value["error"]["message"]


def test_two_machines_talk_after_two_commands_and_outlive_a_kill(machines: tuple[Machine, Machine]) -> None:
    one, two = machines
    assert one.fleet("init", "--node", "mac1")[0] == 0
    code, up = one.fleet("up", "--detach")
    assert code == 0 and up["pid"] == one.pid and up["node"] == "mac1" and up["bind"]
    assert stat.S_IMODE((one.home / "run" / "fleet.sock").stat().st_mode) == 0o600
    assert stat.S_IMODE((one.home / "run").stat().st_mode) == 0o700
    assert one.fleet("up", "--detach")[1]["pid"] == one.pid

    code, invite = one.fleet("invite")
    assert code == 0 and {"link", "expires_at", "words"} <= set(invite)
    code, joined = two.fleet("join", invite["link"], "--node", "mac2")
    assert code == 0 and {"node": "mac2", "peer": "mac1", "words": invite["words"]}.items() <= joined.items()
    assert two.fleet("join", invite["link"])[0] in (2, 4)
    assert two.fleet("up", "--detach")[0] == 0

    assert two.fleet("ping", "mac1")[1]["ok"] is True
    code, sent = two.fleet("send", "mac1", "hello", "--wait", "received")
    assert (code, sent["state"]) == (0, "received")
    assert [mail["body"] for mail in one.fleet("inbox")[1]] == ["hello"]

    os.kill(one.pid, signal.SIGKILL)
    one.wait_until_gone()
    assert one.fleet("status")[0] == 3
    code, waiting = two.fleet("send", "mac1", "while away", "--timeout", "5")
    assert code in (6, 7)
    assert one.fleet("up", "--detach")[0] == 0
    one.fleet("ping", "mac2")
    code, _ = two.fleet("send", "mac1", "and again", "--timeout", "20")
    assert code == 0
    code, trace = two.fleet("trace", waiting["id"])
    assert code == 0 and trace["attempts"]


def test_a_running_daemon_changes_fleets_without_a_restart(machines: tuple[Machine, Machine]) -> None:
    one, two = machines
    for machine, name in ((one, "mac1"), (two, "mac2")):
        assert machine.fleet("init", "--node", name)[0] == 0
        assert machine.fleet("up", "--detach")[0] == 0
    pid = two.pid
    code, joined = two.fleet("join", one.fleet("invite")[1]["link"])
    assert code == 0 and joined["peer"] == "mac1"
    assert [peer["node"] for peer in two.fleet("status")[1]["peers"]] == ["mac1"]
    assert two.pid == pid
    assert two.fleet("send", "mac1", "hi")[0] == 0


def test_a_signal_ends_it_in_order_and_leaves_no_door_behind(machines: tuple[Machine, Machine]) -> None:
    one, _ = machines
    assert one.fleet("init", "--node", "mac1")[0] == 0
    assert one.fleet("up", "--detach")[0] == 0
    os.kill(one.pid, signal.SIGTERM)
    one.wait_until_gone()
    assert not (one.home / "run" / "fleet.sock").exists()
    assert not (one.home / "run" / "token").exists()
    assert "Traceback" not in (one.home / "log" / "fleetd.err").read_text()
    assert '"stopped"' in (one.home / "log" / "fleetd.log").read_text()


def test_the_detached_daemon_is_no_child_of_the_terminal(machines: tuple[Machine, Machine]) -> None:
    one, _ = machines
    assert one.fleet("init", "--node", "mac1")[0] == 0
    assert one.fleet("up", "--detach")[0] == 0
    assert os.getsid(one.pid) == one.pid != os.getsid(0)
    arguments = Path(f"/proc/{one.pid}/cmdline")
    if arguments.exists():
        assert b"fleet.faces.serve" in arguments.read_bytes()
    code, out = one.fleet("logs")
    assert code == 0 and any(line["event"] == "started" for line in out)
