"""Whether and how a peer can be reached, tried out because an operator asks: check every road, wake; it touches no mail.

A road that answers is asked for a signed pong. One that only takes (a mailbox, a relay) is given a ping too, and the peer
sends the pong home by itself, over whatever road it has: for that the peer gets twice the road's poll. Roads that carry
nothing say what they would do.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fleet.core import policy
from fleet.core.channel import Channel
from fleet.core.outcome import Attempt, Result
from fleet.core.peer import Peer
from fleet.errors import RoadError

if TYPE_CHECKING:
    from fleet.daemon.service import Node

SLACK = 5.0  # seconds for the ways of a ping and its pong, beside the polls
LOOK = 5.0  # seconds between two tries over SSH while a machine wakes
NO_MANIFEST = "no manifest of it is known yet"


class Reach:
    """Tries the roads to one peer."""

    def __init__(self, node: Node) -> None:
        """Take the node whose roads are tried."""
        self._node = node
        self._pongs: dict[str, tuple[str, asyncio.Event]] = {}
        node.gossip.on_pong = self._pong

    def _pong(self, peer: str, nonce: str) -> None:
        """A pong came by itself, over whatever road."""
        waited = self._pongs.get(nonce)
        if waited is not None and waited[0] == peer:
            waited[1].set()

    # ── check ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def check(self, peer_id: str) -> dict[str, Any]:
        """Try every road to a peer at once. Raises UnknownPeer."""
        peer = self._node.sight.known(peer_id)
        roads = self._node.roads.channels.items()
        found = await asyncio.gather(*(self._check(peer, name, road) for name, road in roads))
        return {"peer": peer_id, "channels": found}

    async def _check(self, peer: Peer, name: str, road: Channel) -> dict[str, Any]:
        if not road.traits.carries:
            return _row(name, None, None, _would(road, peer))
        if name in self._node.roads.failed:
            return _row(name, False, None, self._node.roads.failed[name])
        settings = self._node.settings.channels.get(name, {})
        wait = 2 * float(settings.get("poll") or 0.0) + SLACK
        timeout = float(settings.get("timeout") or policy.DEADLINES.get(name, policy.DEADLINE))
        began, nonce = self._node.world.steady(), self._node.world.dice(16).hex()
        self._pongs[nonce] = (peer.id, asyncio.Event())
        try:
            attempt = await self._node.healer.ping(peer, name, timeout, nonce=nonce, life=timeout + wait)
            if attempt is None:
                return _row(name, False, None, NO_MANIFEST)
            if attempt.result is Result.TAKEN:
                return await self._await_pong(peer, attempt, nonce, wait, began)
        finally:
            del self._pongs[nonce]
        ok = attempt.result is Result.DELIVERED
        return _row(name, ok, attempt.ms if ok else None, attempt.reason)

    async def _await_pong(self, peer: Peer, attempt: Attempt, nonce: str, wait: float, began: float) -> dict[str, Any]:
        """Wait for the pong to a ping that somebody keeps; afterwards nobody needs to keep it."""
        name, reason, ok = attempt.channel, "", True
        try:
            async with asyncio.timeout(wait):
                await self._pongs[nonce][1].wait()
        except TimeoutError:
            ok, reason = False, f"it was taken, but no pong came home within {wait:g} s"
        self._node.task(self._node.roads.forget(peer, name, [attempt.pid]))
        return _row(name, ok, (self._node.world.steady() - began) * 1000.0 if ok else None, reason)

    async def announce(self) -> None:
        """Let the text road say here that mail waits, because a peer asks over SSH; nothing where it is off."""
        announce = getattr(self._node.roads.channels.get("text"), "announce", None)
        if announce is not None:
            try:
                await announce()
            except RoadError as error:
                self._node.log("not announced", reason=error.message)

    # ── wake ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def wake(self, peer_id: str) -> dict[str, Any]:
        """Ask a peer for a sign of life, nudge it over SSH, wake its machine: until one helps. Raises UnknownPeer."""
        peer = self._node.sight.known(peer_id)
        pong = await self._node.control.ping(peer_id)
        steps = [_step("ping", pong["ok"], pong["ms"], pong["reason"] or f"answered over {pong['channel']}")]
        if not pong["ok"]:
            steps.append(await self._nudge(peer))
        if not steps[-1]["ok"]:
            steps += await self._rouse(peer, has_ssh=steps[-1]["ms"] is not None)
        return {"peer": peer_id, "awake": steps[-1]["ok"], "steps": steps}

    async def _nudge(self, peer: Peer) -> dict[str, Any]:
        """Let the peer's daemon look at once, by the fixed command on its side; ms is None when it was not tried."""
        nudge = getattr(self._node.roads.channels.get("ssh"), "nudge", None)
        if nudge is None or not peer.addresses.get("ssh"):
            return _step("ssh", False, None, f"no SSH address of {peer.id} is known" if nudge else "there is no SSH road")
        began = self._node.world.steady()
        ok, reason = True, "its machine answered"
        try:
            async with asyncio.timeout(policy.DEADLINES["ssh"]):
                await nudge(peer, policy.DEADLINES["ssh"])
        except RoadError as error:
            ok, reason = False, error.message
        except (OSError, TimeoutError) as error:
            ok, reason = False, str(error) or "no answer in time"
        return _step("ssh", ok, (self._node.world.steady() - began) * 1000.0, reason)

    async def _rouse(self, peer: Peer, *, has_ssh: bool) -> list[dict[str, Any]]:
        """Send the wake-up packet and wait until the peer answers a ping, or SSH where that is all there is."""
        if "wol" not in self._node.roads.channels:
            return [_step("wol", False, None, "there is no wol road")]
        attempt = await self._node.healer.ping(peer, "wol", SLACK)
        if attempt is None or attempt.result is not Result.NUDGED:
            return [_step("wol", False, None, attempt.reason if attempt else NO_MANIFEST)]
        woken = _step("wol", True, attempt.ms, "the wake-up packet is sent")
        began = self._node.world.steady()
        ok = False
        while not ok and self._node.world.steady() - began < policy.DEADLINES["wol"]:
            ok = await self._node.cascade.answered(peer.id, LOOK)
            ok = ok or (has_ssh and bool((await self._nudge(peer))["ok"]))
        took = (self._node.world.steady() - began) * 1000.0
        return [woken, _step("answer", ok, took, "it is awake" if ok else f"no answer in {policy.DEADLINES['wol']:g} s")]


def _would(road: Channel, peer: Peer) -> str:
    """Say what a road that carries nothing would do for a peer."""
    would = getattr(road, "would", None)
    if would is None:
        return "carries nothing"
    try:
        return str(would(peer))
    except RoadError as error:
        return f"would not: {error.message}"


def _row(name: str, ok: bool | None, ms: float | None, reason: str) -> dict[str, Any]:
    return {"name": name, "ok": ok, "ms": None if ms is None else round(ms, 3), "reason": reason}


def _step(name: str, ok: bool, ms: float | None, reason: str) -> dict[str, Any]:
    return {"step": name, "ok": ok, "ms": None if ms is None else round(ms, 3), "reason": reason}
