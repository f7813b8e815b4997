"""The tools' way to the daemon: one request at a time in a thread, errors as sentences; must never open the store.

Which session calls is found by its process: the agent program that started this server has reported its session.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcp.server.mcpserver.exceptions import ToolError

from fleet.core.visible import visible
from fleet.errors import FleetError, NoDaemon
from fleet.faces.caller import Caller, Told

NOBODY = "mcp"  # the session of a caller that has none
GENERATIONS = 8  # processes above this one that are looked at


class Gone(ToolError):
    """No daemon answers."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Who calls: the session, and what its agent is called."""

    session: str
    agent: str


class Desk:
    """Where tools ask."""

    def __init__(self, environ: Mapping[str, str], *, alone: bool = True) -> None:
        """Find the node that the environment names; `alone` = one agent program started this server and speaks to it."""
        self._environ = environ
        self._alone = alone

    async def ask(self, verb: str, *, wait: float = 0.0, **words: Any) -> Any:
        """Ask the daemon. Raises ToolError."""
        return await self._run(lambda call: call.daemon(verb, wait=wait, **words))

    async def post(self, message: Mapping[str, Any], wait: str, timeout: float) -> Any:
        """Hand a message over and wait as asked. Raises ToolError for what is not accepted."""
        answer, _ = await self._run(lambda call: call.post(message, wait, timeout))
        if isinstance(answer, dict) and "error" in answer:
            raise ToolError(sentence(Told(answer["error"])))
        return answer

    async def _run(self, work: Any) -> Any:
        call = Caller(self._environ)
        try:
            return await asyncio.to_thread(work, call)
        except NoDaemon as gone:
            raise Gone(sentence(gone)) from None
        except FleetError as error:
            raise ToolError(sentence(error)) from None
        finally:
            call.client.close()

    async def seat(self) -> Seat:
        """Say which session calls."""
        agent = self._environ.get("FLEET_AGENT", "")[:63]
        if not self._alone:
            return Seat(NOBODY, agent)
        found = await self.ask("seat", pids=await asyncio.to_thread(_ancestors))
        return Seat(found["session"] or NOBODY, agent or found["agent"])


def sentence(error: FleetError) -> str:
    """Write an error as a model reads it: what happened, and the one thing to try."""
    text = visible(error.message)
    return f"{text}\ntry: {visible(error.hint)}" if error.hint else text


def _ancestors() -> list[int]:
    """Name the processes above this one, the nearest first."""
    import psutil

    try:
        return [one.pid for one in psutil.Process(os.getpid()).parents()[:GENERATIONS]]
    except (psutil.Error, OSError):
        return [os.getppid()]
