"""Looks at the node's files: who can read them, the keys, what a killed daemon left; must never show what is in them."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path

from fleet.errors import LooseKey, NoIdentity, StoreError
from fleet.faces import agents, lock
from fleet.faces.doctor.finding import FAILED, WARNING, Finding, Patient, merged
from fleet.store.files import remove
from fleet.store.keys import KeyRing
from fleet.store.vault import open_vault


def private_files(patient: Patient) -> Finding:
    """See that nobody else can read keys, socket, token, log or store."""
    paths = patient.paths
    places = [paths.keys, paths.run, paths.log, paths.seeds, paths.database, paths.config]
    inside = [path for place in (paths.keys, paths.run) for path in _files(place)]
    return merged("private-files", [found for path in (*places, *inside) if (found := _private(path))])


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.is_file()) if directory.is_dir() else []


def _private(path: Path) -> Finding | None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return None
    loose = 0o022 if path.name == "config.toml" else 0o077  # who may read it is the operator's choice
    if not mode & loose:
        return None
    wanted = 0o700 if path.is_dir() else 0o600

    def close() -> str:
        path.chmod(wanted)
        return f"chmod {wanted:o} {path}"

    why = f"{path} is open to others (mode {mode:03o})"
    return Finding("private-files", FAILED, why, f"chmod {wanted:o} {shlex.quote(str(path))}", close)


def agent_programs(patient: Patient) -> list[Finding]:
    """See that hooks and tools in the agent programs are as they were installed, and will run."""
    found = [Finding(one["id"], one["status"], one["why"], one["fix"]) for one in agents.installed(Path.home())]
    return found or [Finding("agents", why="no agent program is here")]


def keys(patient: Patient) -> Finding:
    """See that this node's keys can be read."""
    try:
        KeyRing.load(patient.paths.keys, open_vault(patient.settings.keys.store, patient.paths.keys))
    except NoIdentity as error:
        return Finding("keys", FAILED, error.message, "fleet init, or fleet join LINK")
    except LooseKey:
        return Finding("keys", why="see private-files")
    except StoreError as error:
        return Finding("keys", FAILED, error.message, error.hint or "restore the keys directory from a backup")
    return Finding("keys")


def daemon(patient: Patient) -> Finding:
    """See whether a daemon runs, and that none is stuck."""
    if patient.live is not None:
        return Finding("daemon", why=f"version {patient.live.get('version', '?')}")
    holder = lock.holder(patient.paths)
    if holder is not None:
        return Finding("daemon", FAILED, f"a daemon runs ({holder}) and does not answer", "fleet logs, then fleet down")
    return Finding("daemon", WARNING, "no daemon runs: what is accepted waits", "fleet up --detach")


def leftovers(patient: Patient) -> Finding:
    """See whether a daemon that was killed left its socket or token."""
    if patient.live is not None or lock.holder(patient.paths) is not None:
        return Finding("leftovers")
    left = [path for path in (patient.paths.socket, patient.paths.token) if path.exists()]
    if not left:
        return Finding("leftovers")

    def clear() -> str:
        for path in left:
            if lock.holder(patient.paths) is None:
                remove(path)
        return f"removed {', '.join(path.name for path in left)}"

    words = ", ".join(str(path) for path in left)
    return Finding("leftovers", WARNING, f"{words} of a daemon that was killed", "fleet doctor --fix", clear)
