"""The agent programs of this machine: which are here, what a person must still do in each, and whether all is in place.

`installed` is what `fleet doctor` asks; it reads the programs' own files and must never change or start anything.
"""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fleet.errors import FleetError, UsageError
from fleet.faces import jsontext, manifests
from fleet.faces.authorize import executable
from fleet.faces.graft import NAME
from fleet.faces.manifests import Graft, Place, Tree
from fleet.faces.planting import Garden
from fleet.faces.programs import PROGRAMS

OK, WARNING, FAILED = "ok", "warning", "failed"
Finding = dict[str, Any]
MOVED = ("CLAUDE_CONFIG_DIR", "CODEX_HOME")

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "claude": ("claude",), "codex": ("codex",), "gemini": ("gemini",), "cursor": ("cursor", "cursor-agent"),
    "vscode": ("code", "code-insiders"),
}  # fmt: skip
STEPS: Mapping[str, str] = {
    "claude": "Claude Code: start a new session; it asks before the first use of each fleet tool, until you allow it",
    "codex": "Codex: its hooks stay silent until you trust them: start codex, choose `Trust all`, or type /hooks, press t",
    "gemini": "Gemini CLI: start a new session in a folder you trust; it asks before the first use of each fleet tool",
    "cursor": "Cursor: restart it; Settings, Hooks shows the hooks; in Settings, MCP switch the server `fleet` on",
    "vscode": "VS Code: command `MCP: List Servers`, start `fleet` and trust it when asked; hooks are a preview there",
}


def here(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Find the programs on PATH: name → where."""
    path = (os.environ if environ is None else environ).get("PATH")
    found = {name: next(filter(None, (shutil.which(one, path=path) for one in COMMANDS[name])), "") for name in PROGRAMS}
    return {name: where for name, where in found.items() if where}


def place(home: Path, project: Path | None = None, environ: Mapping[str, str] | None = None) -> Place:
    """Say where manifests go and how they run `fleet`: for the user, or for one project."""
    given = os.environ if environ is None else environ
    node = {"FLEET_HOME": str(Path(given["FLEET_HOME"]).absolute())} if given.get("FLEET_HOME") else {}
    moved = {name: given[name] for name in MOVED if given.get(name)}
    return Place(home, executable(), project, node, moved)


def fence(where: Place, things: Iterable[Tree | Graft]) -> Path:
    """Name the directory that nothing may lead out of; one that the user moved a program to is a fence of its own."""
    base = where.project or where.home
    outside = [Path(moved) for moved in where.moved.values() if not Path(moved).resolve().is_relative_to(base.resolve())]
    roots = [thing.root if isinstance(thing, Tree) else thing.path for thing in things]
    return next((moved for moved in outside if any(root.is_relative_to(moved) for root in roots)), base)


def installed(home: Path, environ: Mapping[str, str] | None = None) -> list[Finding]:
    """Look at every program: is it here, is our part whole, will it run."""
    given = os.environ if environ is None else environ
    where, source, present = place(home, environ=given), manifests.source(), here(given)
    findings = []
    for name in PROGRAMS:
        things = manifests.made(name, where, source)
        try:
            found = _looked_at(name, things, Garden(fence(where, things), dry=True), present.get(name, ""))
        except FleetError as error:
            found = _finding(name, FAILED, error.message, error.hint)
        if found["status"] == OK and found["why"] == "":
            found = _will_run(name, where) or found
        if found["why"] or name in present:
            findings.append(found)
    return findings


def _finding(name: str, status: str, why: str = "", fix: str = "") -> Finding:
    return {"id": f"agents-{name}", "status": status, "why": why, "fix": fix}


def _looked_at(name: str, things: list[Tree | Graft], garden: Garden, program: str) -> Finding:
    title = PROGRAMS[name].title
    present = any(garden.uninstall(thing) for thing in things)
    if not present:
        why = f"{title} knows nothing of fleet: fleet install --ide {name} changes that" if program else ""
        return _finding(name, OK, why)
    stale = [deed.path for thing in things for deed in garden.install(thing) if deed.action != "unchanged"]
    if stale:
        return _finding(name, WARNING, f"{title}: not as fleet install writes it: {stale[0]}", f"fleet install --ide {name}")
    if not program:
        return _finding(name, WARNING, f"{title} is not on PATH, fleet's part is", f"fleet uninstall --ide {name}")
    return _finding(name, OK)


def _will_run(name: str, where: Place) -> Finding | None:
    """What a program's own switches say: trusted, enabled."""
    if name == "codex":
        return _codex(where)
    if name == "claude":
        return _claude(_json(where.under(".claude", "CLAUDE_CONFIG_DIR") / "settings.json"))
    if name == "gemini":
        return _gemini(where)
    return None


def _codex(where: Place) -> Finding | None:
    base = where.under(".codex", "CODEX_HOME")
    settings = _toml(base / "config.toml")
    if settings.get("features", {}).get("hooks") is False:
        return _finding("codex", WARNING, "Codex: hooks are switched off", "set [features] hooks = true")
    if settings.get("mcp_servers", {}).get(NAME, {}).get("enabled") is False:
        return _finding("codex", WARNING, "Codex: the server fleet is switched off", "enabled = true in [mcp_servers.fleet]")
    states = settings.get("hooks", {}).get("state", {})
    untrusted = [key for key in _codex_keys(base / "hooks.json") if not states.get(key, {}).get("trusted_hash")]
    if untrusted:
        why = f"Codex runs {len(untrusted)} of fleet's hooks only after you trust them"
        return _finding("codex", WARNING, why, "start codex and choose `Trust all`, or type /hooks and press t")
    return None


def _codex_keys(path: Path) -> list[str]:
    """How Codex names our hooks: file, event in snake case, number of the group, number in it."""
    real = path.resolve()
    return [
        f"{real}:{re.sub('(?<!^)(?=[A-Z])', '_', event).lower()}:{group}:{number}"
        for event, groups in _json(path).get("hooks", {}).items()
        for group, entry in enumerate(groups)
        for number, hook in enumerate(entry.get("hooks", []))
        if str(hook.get("command", "")).endswith("--ide codex")
    ]


def _claude(settings: Mapping[str, Any]) -> Finding | None:
    if settings.get("disableAllHooks"):
        return _finding("claude", WARNING, "Claude Code: all hooks are switched off", "remove disableAllHooks")
    if settings.get("enabledPlugins", {}).get(f"{NAME}@skills-dir") is False:
        return _finding("claude", WARNING, "Claude Code: fleet is switched off", f"claude plugin enable {NAME}@skills-dir")
    return None


def _gemini(where: Place) -> Finding | None:
    base = where.under(".gemini")
    if _json(base / "settings.json").get("hooksConfig", {}).get("enabled") is False:
        why = "Gemini CLI: hooks are switched off"
        return _finding("gemini", WARNING, why, "remove hooksConfig.enabled from ~/.gemini/settings.json")
    rules = _json(base / "extensions" / "extension-enablement.json").get(NAME, {}).get("overrides", [])
    if f"!{where.home.resolve()}/*" in rules:
        return _finding("gemini", WARNING, "Gemini CLI: fleet is switched off", f"gemini extensions enable {NAME}")
    return None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = jsontext.parse(path.read_text("utf-8")).plain
    except (OSError, UnicodeDecodeError, UsageError):
        return {}
    return found if isinstance(found, dict) else {}


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}
