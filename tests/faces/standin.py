"""A node in memory behind the real door: it cannot show what carrying, disks or peers do to answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from fleet.core.envelope import make_id
from fleet.core.submission import Desk, Submission, draft_of
from fleet.daemon.events import Events
from fleet.errors import FleetError, NotFound
from fleet.faces import http
from fleet.faces.door import Door, bind_tcp, bind_unix
from fleet.faces.reader import error_of

TOKEN = "t" * 43


class Counter:
    """The mailroom: accepts what could be accepted, and lets a test say how far a message comes."""

    def __init__(self, peers: Sequence[str]) -> None:
        self.peers = list(peers)
        self.accepted: list[Submission] = []
        self.submits = 0
        self.known: dict[str, dict[str, Any]] = {}
        self.becomes = "received"
        self.walked = False
        self.channel = "nats"

    async def submit(self, asked: Sequence[Submission]) -> list[dict[str, Any]]:
        """Accept in one go."""
        self.submits += 1
        await asyncio.sleep(0)
        return [self._one(one) for one in asked]

    def _one(self, asked: Submission) -> dict[str, Any]:
        try:
            draft = draft_of(asked, Desk(knows=self.peers.__contains__), 1_700_000_000_000, os.urandom(10))
        except FleetError as error:
            return error_of(error)
        self.accepted.append(asked)
        answer = {"id": draft.id, "to": draft.peer, "state": "accepted"}
        self.known[draft.id] = answer
        return dict(answer)

    async def wait(self, id: str, wanted: str, timeout: float) -> dict[str, Any]:
        """Say at once how far it came."""
        return {
            **self.known[id], "state": self.becomes, "channel": self.channel, "attempts": 1, "walked": self.walked
        }  # fmt: skip

    async def done(self, id: str) -> dict[str, Any]:
        """Know no mail."""
        raise NotFound(f"no mail has the id {id}")

    async def shown(self, ids: Sequence[str], session: str = "") -> list[str]:
        """Believe it."""
        return list(ids)


class Sight:
    """The views."""

    def __init__(self, node: StandIn) -> None:
        self.node = node

    def status(self) -> dict[str, Any]:
        """Show the node and its peers."""
        return {"node": self.node.id, "address": "http://127.0.0.1:8856", "peers": self.peers(), "notices": []}

    def peers(self) -> list[dict[str, Any]]:
        """Show the peers."""
        return [{"node": peer, "state": "on", "trust": 2, "channels": {}} for peer in self.node.mail.peers]

    def stats(self) -> dict[str, Any]:
        """Show some figures."""
        return {"node": self.node.id, "commits": 3, "waiting": {"mac1": 2}, "counters": {"received": 1}}


class _Peer:
    def __init__(self, id: str) -> None:
        self.id = id
        self.enabled = True


class _Roster:
    def __init__(self, node: StandIn) -> None:
        self._node = node

    def peers(self) -> list[_Peer]:
        """List the peers."""
        return [_Peer(peer) for peer in self._node.mail.peers]


class Exchange:
    """What the parts of a node tell each other."""

    def __init__(self) -> None:
        self.events = Events()


class Agents:
    """The agent programs: there are none."""

    def __init__(self) -> None:
        self.queries = self

    async def sessions(self) -> list[dict[str, Any]]:
        """List no session."""
        return []


class StandIn:
    """What the local API sees of a node."""

    def __init__(self, peers: Sequence[str] = ("mac1", "mac2")) -> None:
        self.id = "here"
        self.mail = Counter(peers)
        self.exchange = Exchange()
        self.agents = Agents()
        self.sight = Sight(self)
        self.roster = _Roster(self)
        self.stopped = False

    def log(self, event: str, **fields: Any) -> None:
        """Keep no log."""

    def ask_to_stop(self) -> None:
        """Remember it."""
        self.stopped = True


@contextlib.asynccontextmanager
async def served(directory: Path, node: StandIn | None = None, **limits: Any) -> AsyncIterator[tuple[StandIn, Path, int]]:
    """Serve a stand-in on a Unix socket and on a free TCP port."""
    node = node or StandIn()
    api = http.Api(node)  # type: ignore[arg-type]
    front = http.front(TOKEN)
    tcp = Door(front, api.handle, **limits)
    unix = Door(front, api.handle, users=frozenset({os.geteuid(), 0}), **limits)
    listener = bind_tcp("127.0.0.1", 0)
    port = listener.getsockname()[1]
    path = directory / "fleet.sock"
    await tcp.open(listener)
    await unix.open(bind_unix(path))
    try:
        yield node, path, port
    finally:
        await tcp.close()
        await unix.close()


def an_id(number: int = 0) -> str:
    """Make a message id."""
    return make_id(1_700_000_000_000 + number, bytes(10))
