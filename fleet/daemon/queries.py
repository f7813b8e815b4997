"""What nodes ask each other by themselves: answered here, redacted for those who are not trusted; troubles no agent.

An answer that nobody waits for any more is still taken out of the inbox: it is not mail for people.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from fleet import __version__
from fleet.core import policy
from fleet.core.querying import answered, asked, read_sessions, redacted
from fleet.core.submission import Submission
from fleet.errors import FleetError
from fleet.store.inbox import Mail

if TYPE_CHECKING:
    from fleet.daemon.service import Node

TYPES = ("query", "reply")
AT_ONCE = 100  # messages looked at in one go
MINUTE = 60_000  # ms
PER_MINUTE = 60  # answers one peer gets in it; more is no question
LIFE = 15.0  # seconds a question and its answer may travel

_body = msgspec.json.Decoder(dict[str, Any]).decode


class Queries:
    """The questions of one node, and those of the others."""

    def __init__(self, node: Node) -> None:
        """Take the node that asks and answers."""
        self._node = node
        self._asked: dict[str, tuple[str, asyncio.Future[dict[str, Any]]]] = {}
        self._told: dict[str, tuple[float, list[dict[str, Any]]]] = {}  # peer → when it answered, its sessions
        self._answers: dict[str, list[int]] = {}
        self._row = 0  # up to which mail was looked at
        self._news = asyncio.Event()
        self._news.set()  # what came before this start

    def news(self) -> None:
        """Say that a query or a reply came."""
        self._news.set()

    async def run(self) -> None:
        """Answer and take in, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self.look()

    async def look(self) -> None:
        """Go through the queries and replies that came since the last look."""
        while mails := self._node.reader.inbox.unread_of(TYPES, self._row, AT_ONCE):
            self._row = mails[-1].row
            for mail in mails:
                body = _body(b"{" + mail.content).get("body")
                if word := asked(mail.type, body):
                    await self._answer(mail, word)
                elif answered(mail.type, body):
                    self._take(mail, body)  # type: ignore[arg-type]
                else:
                    continue
                await self._node.mail.done(mail.id)

    async def _answer(self, mail: Mail, word: str) -> None:
        now = self._node.world.now()
        before = [at for at in self._answers.get(mail.sender, []) if now - at < MINUTE]
        self._answers[mail.sender] = [*before, now][-PER_MINUTE:]
        if len(before) >= PER_MINUTE:
            self._node.exchange.count("queries_refused")
            return
        peer = self._node.roster.get(mail.sender)
        level = min(mail.level, self._node.exchange.level(peer)) if peer is not None else mail.level
        body = {"answer": word, word: self._say(word, level)}
        await self._node.mail.submit(
            [Submission(to=mail.sender, type="reply", priority="high", re=mail.id, body=body, ttl=LIFE)]
        )

    def _say(self, word: str, level: int) -> Any:
        node = self._node
        sessions = node.agents.rollcall.known()
        if word == "sessions":
            return redacted(sessions, level)
        if word == "capabilities":
            manifest = node.roster.me.read_manifest()
            return {"capabilities": list(manifest.capabilities), "agents": list(manifest.agents), "types": list(node.kinds)}
        shared = {"version": __version__, "roads": list(node.roads.channels)} if level >= policy.TRUST_SHARED else {}
        return {"node": node.id, "sessions": len(sessions), "uptime_ms": node.world.now() - node.started, **shared}

    def _take(self, mail: Mail, body: dict[str, Any]) -> None:
        content = _body(b"{" + mail.content)
        peer, future = self._asked.get(content.get("re", ""), ("", None))
        if future is not None and peer == mail.sender and not future.done():
            future.set_result(body)

    async def ask(self, peer: str, word: str, timeout: float = policy.ASK_PEERS) -> dict[str, Any] | None:
        """Ask a peer's daemon; None when it does not answer in time. Raises UnknownPeer or GateRefused."""
        node = self._node
        id = node.world.new_id()
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[id] = (peer, future)
        try:
            question = Submission(to=peer, id=id, type="query", priority="high", body={"ask": word}, ttl=LIFE)
            (answer,) = await node.mail.submit([question])
            if "error" in answer:
                return None
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            await self._take_back(id)
            return None
        finally:
            del self._asked[id]

    async def _take_back(self, id: str) -> None:
        """Leave no dead letter of a question that nobody asks any more."""
        try:
            await self._node.mail.cancel(id)
            await self._node.mail.drop(id)
        except FleetError:
            return  # it was answered, or is gone, meanwhile

    async def sessions(self) -> list[dict[str, Any]]:
        """List the sessions of all nodes: own, asked, and a line for each node that could not be asked."""
        node = self._node
        peers = [peer for peer in node.roster.peers() if peer.enabled]
        answers = await asyncio.gather(*(self._of(peer.id) for peer in peers))
        return await node.agents.rollcall.all() + [one for answer in answers for one in answer]

    async def _of(self, peer: str) -> list[dict[str, Any]]:
        node = self._node
        now = node.world.steady()
        known = self._told.get(peer)
        if known is None or now - known[0] > policy.ASK_AGAIN:
            on = node.sight.peer(node.sight.known(peer))["state"] == "on"
            body = await self.ask(peer, "sessions") if on else None
            if body is None:
                return [{**_UNKNOWN, **one, "node": peer, "state": "unknown"} for one in (known[1] if known else [{}])]
            known = self._told[peer] = (now, read_sessions(body))
        return [{**_UNKNOWN, **one, "node": peer} for one in known[1]]

    def told(self, peer: str) -> list[dict[str, Any]]:
        """Give what a peer last said of its sessions."""
        return self._told.get(peer, (0.0, []))[1]

    async def refresh(self) -> None:
        """Ask every peer that is on, so that the next session that starts can be told."""
        await self.sessions()


_UNKNOWN: dict[str, Any] = {
    "id": None, "program": "", "agent": "", "cwd": "", "branch": "", "idle_ms": None, "state": "unknown",
}  # fmt: skip
