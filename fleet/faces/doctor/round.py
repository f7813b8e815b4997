"""The doctor's round: every check with a deadline, side by side; with leave to fix, what is safe is done and said."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fleet.engine.attempt import contain
from fleet.errors import FleetError
from fleet.faces.doctor import files, network, store
from fleet.faces.doctor.finding import FAILED, OK, WARNING, Finding, Patient

DEADLINE = 25.0  # seconds for one check; the slowest is the search for damage
Check = Callable[[Patient], Finding | list[Finding] | Awaitable[list[Finding]]]
CHECKS: dict[str, Check] = {
    "private-files": files.private_files, "keys": files.keys, "daemon": files.daemon, "leftovers": files.leftovers,
    "store": store.integrity, "disk": store.disk, "wal": store.wal, "clock": store.clock, "queues": store.queues,
    "dead-letters": store.dead_letters, "ports": network.ports, "broker": network.broker, "roads": network.roads,
    "ssh-host-keys": network.host_keys, "mailboxes": network.mailboxes, "versions": network.versions,
    "agents": files.agent_programs,
}  # fmt: skip


async def go_round(patient: Patient, log: Callable[..., None], *, fix: bool = False) -> dict[str, Any]:
    """Look at everything; with `fix` cure what can be cured and look again."""
    found = await _look(patient, log)
    fixed = [{"id": one.id, "did": await _cure(one.cure)} for one in found if fix and one.cure is not None]
    if fixed:
        found = await _look(patient, log)
    return {"checks": [one.view() for one in found], "fixed": fixed}


async def _cure(cure: Callable[[], str]) -> str:
    try:
        return await asyncio.to_thread(cure)
    except FleetError as error:
        return f"could not: {error.message}"
    except OSError as error:
        return f"could not: {error.strerror}"


async def _look(patient: Patient, log: Callable[..., None]) -> list[Finding]:
    found: Sequence[list[Finding]] = await asyncio.gather(*(_one(name, patient, log) for name in CHECKS))
    return [*patient.trouble, *(one for several in found for one in several)]


async def _one(name: str, patient: Patient, log: Callable[..., None]) -> list[Finding]:
    """Make one check; one that fails or takes too long is a finding, too."""
    try:
        async with asyncio.timeout(DEADLINE):
            return await contain(f"doctor {name}", _made(CHECKS[name], patient), log)
    except TimeoutError:
        return [Finding(name, WARNING, f"not known: it took more than {DEADLINE:g} s", "fleet doctor")]
    except FleetError as error:
        return [Finding(name, FAILED, error.message, error.hint)]


async def _made(check: Check, patient: Patient) -> list[Finding]:
    if inspect.iscoroutinefunction(check):
        several: list[Finding] = await check(patient)
        return several
    found: Any = await asyncio.to_thread(check, patient)
    return found if isinstance(found, list) else [found]


def healthy(checks: Sequence[dict[str, str]]) -> bool:
    """Say whether nothing failed."""
    return all(check["status"] in (OK, WARNING) for check in checks)
