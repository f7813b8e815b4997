"""Service units: what is written, that systemd itself finds nothing wrong in it, and that remove leaves what was there."""

import os
import plistlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fleet.errors import UsageError
from fleet.faces import service, units
from fleet.faces.house import House
from fleet.faces.service import Plan, plan_of
from fleet.faces.units import Service
from tests.faces.test_serve import fleet_json

PLAIN = Service("fleet", "mac1", ("/opt/fleet/bin/fleetd",), "/srv/fleet")
SYSTEM = Service("fleet", "mac1", ("/opt/fleet/bin/fleetd",), "/srv/fleet", user="fleet", writable=("/srv/config",))
AWKWARD = Service("fleet", "mac1", ("/opt/a b/50%/$HOME/\"x\"/fleetd",), "/srv", environment={"FLEET_HOME": "/srv/a b%c"})


@pytest.fixture
def house(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> House:
    """A node whose user's units lie in a directory of the test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    assert fleet_json(capsys, "init", "--node", "mac1")[0] == 0
    return House(dict(os.environ))


def test_a_unit_restarts_stops_in_order_and_restricts() -> None:
    text = units.systemd(PLAIN)
    for row in ("Type=notify", "Restart=on-failure", f"TimeoutStopSec={units.STOP}", "UMask=0077", "NoNewPrivileges=yes",
                'ExecStart="/opt/fleet/bin/fleetd"', "WantedBy=default.target"):  # fmt: skip
        assert row in text.splitlines()
    assert "User=" not in text and "ProtectSystem" not in text


def test_a_system_unit_runs_as_its_user_and_writes_only_where_the_node_lives() -> None:
    rows = units.systemd(SYSTEM).splitlines()
    assert {"User=fleet", "ProtectSystem=strict", 'ReadWritePaths="/srv/fleet"', 'ReadWritePaths="/srv/config"',
            "CapabilityBoundingSet=", "WantedBy=multi-user.target"} <= set(rows)  # fmt: skip


def test_awkward_paths_are_taken_as_they_are() -> None:
    rows = units.systemd(AWKWARD).splitlines()
    assert 'ExecStart="/opt/a b/50%%/$$HOME/\\"x\\"/fleetd"' in rows
    assert 'Environment="FLEET_HOME=/srv/a b%%c"' in rows


@pytest.mark.tier("systemd")
@pytest.mark.parametrize("unit", [PLAIN, SYSTEM], ids=["user", "system"])
def test_systemd_finds_nothing_wrong_in_it(unit: Service, tmp_path: Path) -> None:
    program = tmp_path / "fleetd"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    user = "root" if unit.user else ""
    made = Service("fleet", "mac1", (str(program),), str(tmp_path), user)
    path = tmp_path / "fleet-test.service"
    path.write_text(units.systemd(made))
    tool = shutil.which("systemd-analyze")
    assert tool is not None
    done = subprocess.run([tool, "verify", path], capture_output=True, text=True, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if "fleet-test" in line]
    assert complaints == [] and not re.search("Unknown|Failed to parse", done.stderr)


def test_a_plist_is_one_and_keeps_the_daemon_alive() -> None:
    data = units.launchd(SYSTEM, "/srv/fleet/log/fleetd.err")
    value = plistlib.loads(data)
    assert value["ProgramArguments"] == ["/opt/fleet/bin/fleetd"] and value["KeepAlive"] == {"SuccessfulExit": False}
    assert value["UserName"] == "fleet" and value["Umask"] == 0o077 and units.MARK.encode() in data


def test_install_writes_this_checkout_s_daemon_for_this_home(house: House, home: Path) -> None:
    plan = plan_of(house, house.environ, system=False, platform="linux")
    assert plan.path == home / "xdg/systemd/user/fleet-mac1.service"
    assert service.install(plan)["action"] == "written"
    text = plan.path.read_text()
    program = re.search(r'ExecStart="(.*)"', text)
    assert program is not None and os.access(program[1], os.X_OK) and program[1].endswith("/bin/fleetd")
    assert f'Environment="FLEET_HOME={home}"' in text
    assert service.install(plan)["action"] == "unchanged"
    assert service.take_away(plan)["action"] == "removed" and not plan.path.exists()
    assert service.take_away(plan)["action"] == "not there"


def test_what_stood_in_its_place_comes_back(house: House, tmp_path: Path) -> None:
    plan = Plan(tmp_path / "fleet.service", units.systemd(PLAIN).encode(), "systemctl", (), ())
    plan.path.write_text("[Unit]\nDescription=mine\n")
    written = service.install(plan)
    assert written["action"] == "written" and Path(written["backup"]).read_text() == "[Unit]\nDescription=mine\n"
    newer = Plan(plan.path, plan.text + b"# newer\n", "systemctl", (), ())
    assert service.install(newer)["backup"] is None, "our own earlier unit is no treasure"
    assert service.take_away(newer)["action"] == "restored"
    assert plan.path.read_text() == "[Unit]\nDescription=mine\n" and len(list(tmp_path.iterdir())) == 1


def test_a_unit_that_is_not_ours_is_not_removed(tmp_path: Path) -> None:
    plan = Plan(tmp_path / "fleet.service", b"", "systemctl", (), ())
    plan.path.write_text("[Unit]\nDescription=mine\n")
    with pytest.raises(UsageError, match="none that fleet made"):
        service.take_away(plan)
    assert plan.path.exists()


def test_the_command_says_its_files_and_what_to_run(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = fleet_json(capsys, "service", "install", "--dry-run")
    assert code == 0 and [file["action"] for file in found["files"]] == ["written"]
    assert all(not command["ran"] for command in found["commands"])
    unit = Path(found["files"][0]["path"])
    assert not unit.exists(), "a dry run writes nothing"
    unit.parent.mkdir(parents=True, exist_ok=True)
    unit.write_text(f"{units.MARK}\n")
    code, found = fleet_json(capsys, "service", "remove", "--dry-run")
    assert code == 0 and [file["action"] for file in found["files"]] == ["removed"] and unit.exists()


def test_the_plan_of_a_mac_is_an_agent_of_the_user(house: House) -> None:
    plan = plan_of(house, house.environ, system=False, platform="darwin")
    assert plan.path.name == "org.fleet.fleet-mac1.plist" and plan.program == "launchctl"
    assert plistlib.loads(plan.text)["EnvironmentVariables"]["FLEET_HOME"] == str(house.paths.home)
