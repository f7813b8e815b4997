"""The sessions of this node as people see them: what hooks reported and what Claude Code itself says; changes nothing.

`claude agents --json` also knows sessions without hooks. They are listed, with the word that no mail reaches them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from fleet.daemon.inward import run
from fleet.errors import Unreachable

if TYPE_CHECKING:
    from fleet.daemon.service import Node

COMMAND = ["claude", "agents", "--json"]
PATIENCE = 3.0  # seconds it may take
MOST = 256 * 1024  # bytes of what it says
AGAIN = 30.0  # seconds its word counts: it costs half a second of a core
UNREACHED = "none"


class _Agent(msgspec.Struct, frozen=True):
    """One session as `claude agents --json` says it."""

    sessionId: str = ""  # noqa: N815  its word
    name: str | None = None
    cwd: str = ""
    pid: int = 0
    status: str | None = None
    startedAt: int | float = 0  # noqa: N815


_decode = msgspec.json.Decoder(list[_Agent]).decode


class RollCall:
    """Who is here, from every source."""

    def __init__(self, node: Node, *, ask_claude: bool = True) -> None:
        """Take the node; `ask_claude` False in a simulation."""
        self._node = node
        self._ask_claude = ask_claude
        self._asking = asyncio.Lock()
        self._asked = -AGAIN
        self._agents: list[_Agent] = []

    def known(self) -> list[dict[str, Any]]:
        """List the sessions that mail can reach."""
        return self._node.agents.sessions.view(self._node.id, self._node.agents.handover.reach)

    async def all(self) -> list[dict[str, Any]]:
        """List the sessions of this node, those without hooks too."""
        await self._look()
        self._node.agents.caretaker.sweep()
        known = self.known()
        ids = {one["id"] for one in known}
        return known + [self._view(one) for one in self._agents if one.sessionId and one.sessionId not in ids]

    async def _look(self) -> None:
        async with self._asking:
            now = self._node.world.steady()
            if not self._ask_claude or now - self._asked < AGAIN:
                return
            self._asked = now
            try:
                self._agents = _decode(await run(COMMAND, PATIENCE, MOST))
            except (Unreachable, msgspec.MsgspecError, RecursionError):
                self._agents = []

    def _view(self, one: _Agent) -> dict[str, Any]:
        return {
            "id": one.sessionId[:256], "node": self._node.id, "program": "claude", "agent": (one.name or "claude")[:64],
            "cwd": one.cwd, "branch": "", "idle_ms": 0, "state": "active" if one.status == "busy" else "idle",
            "started_at": int(one.startedAt), "last_seen": None, "pid": one.pid, "headless": False, "reach": UNREACHED,
        }  # fmt: skip
