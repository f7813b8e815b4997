"""The repairs themselves, each from the fixed list of core/repairs.py and none of a peer's wording: done, asked for, proven.

What a peer asks for is done by the daemon, never by an agent, at most once a minute; what came of it goes home in the
receipt. A repair is believed when a signed round trip over the repaired road says so, never because it ran.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fleet.core import repairs
from fleet.core.audit import Details
from fleet.core.envelope import read, stamp
from fleet.core.health import Evidence, Health
from fleet.core.outcome import Result
from fleet.core.peer import Peer
from fleet.core.repairs import Asked
from fleet.core.submission import Submission
from fleet.errors import FleetError, Malformed, NotFound
from fleet.store.inbox import Mail

if TYPE_CHECKING:
    from fleet.daemon.service import Node

Step = dict[str, Any]
PAUSE = 60.0  # seconds between two equal repairs that peers ask for
ANSWER = 10.0  # seconds a peer has to say what came of it; longer and the probe tells
ASKED_FOR = 30.0  # seconds after which a request is worth nothing: the road is asked again long before
PROBE = 2.0  # deadline of a proving ping
RESTART = 30.0  # a daemon stops, settling what is under way, and starts
AGAIN = 1.0  # between two probes of a road that is being mended
BATCH = 64  # messages read at once


class Repairs:
    """What one node can mend, on its own side and, by asking, on a peer's."""

    def __init__(self, node: Node) -> None:
        """Take the node."""
        self._node = node
        self._news = asyncio.Event()
        self._news.set()  # what came while no daemon ran
        self._done: dict[tuple[str, str], float] = {}

    # ── on this side ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def mine(self, road: str, peer: str = "") -> list[Step]:
        """Mend this node's own side of a road; what others use and works is left alone."""
        steps = []
        broker = self._node.roads.broker
        if road == "nats" and broker is not None and not await broker.alive():
            steps.append(await self._try("restart the broker", broker.restart()))
        if peer and self._node.tunnels.is_broken(peer):
            steps.append(await self._try("reopen the tunnel", self._node.tunnels.reopen(peer)))
        if not steps and not self._works_for_somebody(road):
            steps.append(await self.reconnect(road))
        return steps

    async def reconnect(self, road: str) -> Step:
        """Let a road make its connections anew."""
        anew = getattr(self._node.roads.channels.get(road), "reconnect", None)
        if anew is None:
            return _step(f"reconnect {road}", False, "this road keeps no connection")
        return await self._try(f"reconnect {road}", anew())

    def _works_for_somebody(self, road: str) -> bool:
        links = self._node.links
        found = (links.get(peer.id, road) for peer in self._node.roster.peers())
        return any(link.health is Health.HEALTHY and link.proven_at >= 0 for link in found)

    async def _try(self, what: str, act: Any) -> Step:
        try:
            async with asyncio.timeout(RESTART):
                await act
        except FleetError as error:
            return _step(what, False, error.message)
        except (OSError, TimeoutError) as error:
            return _step(what, False, str(error) or f"not done within {RESTART:g} s")
        return _step(what, True)

    # ── at the peer ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def ask(self, peer: str, roads: tuple[str, ...]) -> Step:
        """Ask a peer to mend its side, over whatever road works; gives what it says came of it."""
        node = self._node
        body = repairs.write(repairs.hints_for(roads))
        wanted = Submission(to=peer, body=body, type=repairs.TYPE, priority="high", ttl=ASKED_FOR)
        (answer,) = await node.mail.submit([wanted])
        what = f"ask {peer} to mend its side"
        if "error" in answer or answer["state"] == "refused":
            return _step(what, False, answer.get("error", {}).get("message", "a gate of ours refused it"))
        standing = await node.mail.wait(answer["id"], "done", ANSWER)
        said = str(standing.get("reason") or "")
        return _step(what, standing["state"] == "done", said or f"the request is {standing['state']}")

    async def restart(self, peer: Peer) -> Step:
        """Restart a peer's daemon over SSH, by the fixed command there; wake its machine when that does not answer."""
        restart = getattr(self._node.roads.channels.get("ssh"), "restart", None)
        what = f"restart the daemon of {peer.id} over SSH"
        if restart is None or not self.has_ssh(peer):
            return _step(what, False, f"no SSH address of {peer.id} is known" if restart else "there is no SSH road")
        return await self._try(what, restart(peer, RESTART))

    def has_ssh(self, peer: Peer) -> bool:
        """Say whether a peer's daemon could be restarted over SSH."""
        return bool(peer.addresses.get("ssh", {}).get("host")) and "ssh" in self._node.roads.channels

    async def prove(self, peer: Peer, road: str, within: float = 0.0) -> Step:
        """Probe a road until it is proven or `within` seconds are over; not one that a security fault holds shut."""
        if self._node.links.get(peer.id, road).security:
            return _step(f"probe {road}", False, f"a fault of security; look into it, then fleet reset {peer.id} {road}")
        until = self._node.world.steady() + within
        while True:
            step = await self.probe(peer, road)
            if step["ok"] or self._node.world.steady() >= until:
                return step
            await asyncio.sleep(AGAIN)

    async def probe(self, peer: Peer, road: str) -> Step:
        """Make two signed round trips over a road: that alone proves it."""
        node, took = self._node, 0.0
        if node.links.get(peer.id, road).health is Health.BROKEN:
            node.links.credit(peer.id, road, Evidence.MENDED, reason="a repair begins")
        for _ in range(2):
            attempt = await node.healer.ping(peer, road, PROBE * node.links.shared.stretch)
            if attempt is None or attempt.result is not Result.DELIVERED:
                return _step(f"probe {road}", False, attempt.reason if attempt else "no manifest of it is known yet")
            took = attempt.ms
        return {**_step(f"probe {road}", True), "ms": round(took, 3)}

    # ── what peers ask for ───────────────────────────────────────────────────────────────────────────────────────────

    def mail_came(self) -> None:
        """Mail was filed; repairs may be among it."""
        self._news.set()

    async def run(self) -> None:
        """Do what peers ask for until cancelled, one message after another."""
        while True:
            await self._news.wait()
            self._news.clear()
            after = 0
            while mails := self._node.reader.inbox.unread_of((repairs.TYPE,), after, BATCH):
                for mail in mails:
                    await self._obey(mail)
                after = mails[-1].row

    async def _obey(self, mail: Mail) -> None:
        """Do what one message asks for, and let its receipt say what came of it."""
        try:
            body = read(stamp(mail.content, 0, mail.exp)).body
            asked = repairs.read(body, self._node.roads.channels)
            said = [f"{one.words}: {await self._do(one, mail)}" for one in asked]
        except Malformed as error:
            said = [error.message]
        result = "; ".join(said)[:500]
        now = self._node.world.now()
        details: Details = {"step": result, "level": mail.level, "id": mail.id}
        await self._node.writer.run(lambda store: store.mending.result(mail.row, result))
        await self._node.writer.run(lambda store: store.audit.add("repair", peer=mail.sender, details=details, now=now))
        try:
            await self._node.mail.done(mail.id)
        except NotFound:
            return

    async def _do(self, asked: Asked, mail: Mail) -> str:
        """Do one repair; gives what came of it in a few words."""
        if mail.level < asked.repair.level:
            return f"needs level {asked.repair.level}, {mail.sender} has {mail.level}"
        now, key = self._node.world.steady(), (mail.sender, asked.words)
        last = self._done.get(key, -PAUSE)
        if now - last < PAUSE:
            return f"done already, {now - last:.0f} s ago"
        self._done[key] = now
        self._node.exchange.count("repairs_done")
        self._node.log("repair", peer=mail.sender, reason=asked.words)
        return _words(await self._act(asked, mail.sender))

    async def _act(self, asked: Asked, sender: str) -> list[Step]:
        node = self._node
        if asked.repair.word == "announce":
            return [await self._try("announce", node.rotation.describe_anew())]
        if asked.repair.word == "tunnel":
            return [await self._try("tunnel", node.tunnels.reopen(sender))]
        broker = node.roads.broker
        if asked.repair.word == "broker":
            return [await self._try("broker", broker.restart()) if broker else _step("broker", False, "none runs here")]
        if asked.road == "nats" and broker is not None and not await broker.alive():
            return [await self._try("restart the broker", broker.restart())]
        return [await self.reconnect(asked.road)]


def _words(steps: list[Step]) -> str:
    """Say what came of steps: nothing but `done` where all went well."""
    return ", ".join("done" if step["ok"] else step["reason"] for step in steps) or "nothing to do"


def _step(what: str, ok: bool, reason: str = "") -> Step:
    return {"step": what, "ok": ok, "ms": None, "reason": reason}
