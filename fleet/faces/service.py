"""The command service: hands the daemon to systemd or launchd and takes it back; never touches a unit it did not make."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fleet
from fleet.errors import UsageError
from fleet.faces import units
from fleet.faces.caller import Caller
from fleet.faces.house import House
from fleet.faces.render import Screen, visible
from fleet.faces.units import Service
from fleet.store.files import atomic_write, remove

PATIENCE = 60.0  # seconds for one command of the manager
KEPT = ".before-fleet"  # what stood in the unit's place


@dataclass(frozen=True, slots=True)
class Plan:
    """What is written where, and what the manager is told afterwards."""

    path: Path
    text: bytes
    program: str  # the manager's
    started: tuple[tuple[str, ...], ...]
    ended: tuple[tuple[str, ...], ...]


def service(args: Namespace, call: Caller, screen: Screen) -> int:
    """Install or remove the service unit of this node."""
    if args.system and os.geteuid() != 0:
        raise UsageError("a system service is root's to install", hint=f"sudo -E fleet service {args.action} --system")
    plan = plan_of(call.house, call.environ, system=args.system)
    running = args.action == "install" and call.alive() is not None
    dry = args.dry_run or running
    if args.action == "install":
        call.house.settings, call.house.ring  # noqa: B018  every mistake is said here, not in a log
        files, ran = [install(plan, dry=args.dry_run)], _run(plan, plan.started, dry=dry)
    else:
        _own(plan)
        ran = _run(plan, plan.ended[:1], dry=dry)  # while the manager still knows the unit
        files = [take_away(plan, dry=args.dry_run)]
        ran += _run(plan, plan.ended[1:], dry=dry)
    found = {"files": files, "commands": ran}
    if screen.json:
        screen.value(found)
    else:
        _print(found, screen, running=running)
        if args.dry_run:
            screen.talk("nothing was written (--dry-run)")
    return 0


def _print(found: Mapping[str, Any], screen: Screen, *, running: bool) -> None:
    for file in found["files"]:
        screen.line(visible(f"{file['path']}  {file['action']}"))
    if running:
        screen.talk("a daemon runs already: fleet down, then the commands below")
    for command in found["commands"]:
        if not command["ran"]:
            screen.talk(visible(f"try: {command['command']}"))
        elif not command["ok"]:
            screen.talk(visible(f"{command['command']}: {command['said'] or 'it failed'}"))


def plan_of(
    house: House, environ: Mapping[str, str], *, system: bool, platform: str = sys.platform, root: Path = Path("/")
) -> Plan:
    """Say what would be written and told; touches nothing."""
    node = house.ring.node
    given = {"FLEET_HOME": str(house.paths.home)} if environ.get("FLEET_HOME") else {}
    name = f"fleet-{node}" if given else "fleet"
    user = pwd.getpwuid(house.paths.home.stat().st_uid).pw_name if system else ""
    writable = () if given else (str(house.paths.config.parent),)
    if platform == "darwin":
        return _launchd(Service(f"org.fleet.{name}", node, _command(), str(house.paths.home), user, given), house, root)
    made = Service(name, node, _command(), str(house.paths.home), user, given, writable)
    base = root / "etc/systemd/system" if system else _user_units(environ)
    control = ("systemctl",) if system else ("systemctl", "--user")
    unit = f"{name}.service"
    return Plan(
        base / unit, units.systemd(made).encode(), "systemctl",
        ((*control, "daemon-reload"), (*control, "enable", "--now", unit)),
        ((*control, "disable", "--now", unit), (*control, "daemon-reload")),
    )  # fmt: skip


def _launchd(service: Service, house: House, root: Path) -> Plan:
    base = root / "Library/LaunchDaemons" if service.user else Path.home() / "Library/LaunchAgents"
    path = base / f"{service.name}.plist"
    domain = "system" if service.user else f"gui/{os.getuid()}"
    return Plan(
        path, units.launchd(service, str(house.paths.log / "fleetd.err")), "launchctl",
        (("launchctl", "bootstrap", domain, str(path)),), (("launchctl", "bootout", f"{domain}/{service.name}"),),
    )  # fmt: skip


def _user_units(environ: Mapping[str, str]) -> Path:
    base = Path(environ.get("XDG_CONFIG_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".config") / "systemd" / "user"


def _command() -> tuple[str, ...]:
    """Name the daemon of this checkout, else of this environment."""
    places = (Path(fleet.__file__).parents[1] / "bin" / "fleetd", Path(sys.prefix) / "bin" / "fleetd")
    found = next((place for place in places if os.access(place, os.X_OK)), None)
    return (str(found),) if found else (sys.executable, "-I", "-m", "fleet.faces.serve")


def install(plan: Plan, *, dry: bool = False) -> dict[str, Any]:
    """Write the unit, or only say so; what somebody else put in its place is kept beside it."""
    before = plan.path.read_bytes() if plan.path.exists() else None
    kept = plan.path.with_name(plan.path.name + KEPT)
    if before == plan.text:
        return {"path": str(plan.path), "action": "unchanged", "backup": None}
    foreign = before is not None and units.MARK.encode() not in before
    found = {"path": str(plan.path), "action": "written", "backup": str(kept) if foreign else None}
    if dry:
        return found
    plan.path.parent.mkdir(parents=True, exist_ok=True)
    if before is not None and foreign:
        atomic_write(kept, before, 0o644)
    atomic_write(plan.path, plan.text, 0o644)
    return found


def _own(plan: Plan) -> bool:
    """Say whether our unit is there. Raises UsageError for one that somebody else wrote."""
    if not plan.path.exists():
        return False
    if units.MARK.encode() not in plan.path.read_bytes():
        raise UsageError(f"{plan.path} is none that fleet made", hint=f"look at it: rm {shlex.quote(str(plan.path))}")
    return True


def take_away(plan: Plan, *, dry: bool = False) -> dict[str, Any]:
    """Remove the unit that was written and put back what stood in its place, or only say so."""
    kept = plan.path.with_name(plan.path.name + KEPT)
    if not _own(plan):
        return {"path": str(plan.path), "action": "not there", "backup": None}
    found = {"path": str(plan.path), "action": "restored" if kept.exists() else "removed", "backup": None}
    if dry:
        return found
    remove(plan.path)
    if kept.exists():
        atomic_write(plan.path, kept.read_bytes(), 0o644)
        remove(kept)
    return found


def _run(plan: Plan, commands: tuple[tuple[str, ...], ...], *, dry: bool) -> list[dict[str, Any]]:
    """Tell the manager, where there is one; else say what it would be told."""
    can = not dry and shutil.which(plan.program) is not None
    found = []
    for command in commands:
        ok, said = (_tell(command)) if can else (False, "")
        found.append({"command": shlex.join(command), "ran": can, "ok": ok, "said": said})
    return found


def _tell(command: tuple[str, ...]) -> tuple[bool, str]:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, type(error).__name__
    return done.returncode == 0, done.stderr.decode("utf-8", "replace").strip()[-400:]
