"""Keeps links truthful by pings: signed round trips that only the living peer can answer. It repairs nothing yet.

A HEALTHY or DEGRADED link whose road pings and was silent for 2 s is asked; a HEALING one at once and again until it is
proven or slips. At most the two best roads per peer, and 20 pings a second of one node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from fleet.core import policy
from fleet.core.channel import Channel
from fleet.core.health import Health, Link
from fleet.core.outcome import Attempt, Result
from fleet.core.parcel import ParcelType
from fleet.core.peer import Peer
from fleet.core.plan import Road, Step
from fleet.engine.attempt import Attempts, Cargo
from fleet.engine.cascade import Cascade
from fleet.engine.gossip import Gossip
from fleet.engine.identity import Order, system_item, write_parcel
from fleet.engine.introductions import Introductions
from fleet.engine.links import Links
from fleet.engine.roster import Roster
from fleet.engine.world import World
from fleet.errors import Barred

_PING_LIFE = 60.0  # seconds; a ping that waits longer than a minute asks nothing any more


class Healer:
    """Pings the links of one node."""

    def __init__(
        self, channels: Mapping[str, Channel], attempts: Attempts, cascade: Cascade, links: Links, roster: Roster,
        gossip: Gossip, introductions: Introductions, world: World,
    ) -> None:  # fmt: skip
        """Take the roads, what tries them, and whom to ask."""
        self._channels = channels
        self._attempts = attempts
        self._cascade = cascade
        self._links = links
        self._roster = roster
        self._gossip = gossip
        self._introductions = introductions
        self._world = world
        self._asking: dict[tuple[str, str], asyncio.Task[Attempt | None]] = {}
        self._barred_until: dict[tuple[str, str], float] = {}
        self._next = ""  # the peer whose turn it is, by id
        self.is_evicted: Callable[[str], bool] = lambda peer: False
        self.on_answer: Callable[[str], None] = lambda peer: None

    async def run(self) -> None:
        """Look at every link every policy.HEALER_TICK seconds until cancelled."""
        try:
            while True:
                self.look()
                await asyncio.sleep(policy.HEALER_TICK)
        finally:
            tasks = list(self._asking.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def look(self) -> None:
        """Judge what is shared, then start the pings that are due, within the allowance; who got none comes first next."""
        self._links.look()
        allowance = max(1, int(policy.PINGS_PER_SECOND * policy.HEALER_TICK))
        peers = [peer for peer in self._roster.peers() if peer.enabled and peer.seal and not self.is_evicted(peer.id)]
        for peer in [peer for peer in peers if peer.id >= self._next] + [peer for peer in peers if peer.id < self._next]:
            for road in self._best(peer):
                if not self._due(peer.id, road):
                    continue
                if not allowance:
                    self._next = peer.id
                    return
                allowance -= 1
                self._start(peer, road)

    def _best(self, peer: Peer) -> list[Road]:
        """Choose the roads kept warm: the first two that ping, every HEALING one, none that is broken."""
        pinging = [
            road for road in self._links.roads(peer)
            if road.traits.pings and road.link.health is not Health.BROKEN and not self._barred(peer.id, road.name)
        ]  # fmt: skip
        first = [road for road in pinging if road.link.health is not Health.HEALING][: policy.PING_ROADS]
        return first + [road for road in pinging if road.link.health is Health.HEALING]

    def _barred(self, peer: str, name: str) -> bool:
        """Say whether the road said of late that it has no address for the peer."""
        return self._barred_until.get((peer, name), 0.0) > self._world.steady()

    def _due(self, peer: str, road: Road) -> bool:
        if (peer, road.name) in self._asking:
            return False
        link = road.link
        if link.health is Health.HEALING or self._silence(link) >= policy.PING_SILENCE:
            return True
        return self._world.steady() - link.proven_at >= policy.PING_PROOF

    def _silence(self, link: Link) -> float:
        """Say how long a link told nothing; what is heard proves only the peer's direction, so no doubt ends by it."""
        heard = link.heard_at if link.health is Health.HEALTHY else -1.0
        return self._world.steady() - max(heard, link.proven_at)

    def _start(self, peer: Peer, road: Road) -> None:
        degraded = road.link.health is not Health.HEALTHY
        deadline = (policy.PING_DEADLINE_DEGRADED if degraded else policy.PING_DEADLINE) * road.stretch
        key = (peer.id, road.name)
        task = asyncio.ensure_future(self.ping(peer, road.name, deadline))
        self._asking[key] = task
        task.add_done_callback(lambda done: self._asking.pop(key, None))

    async def ping(
        self, peer: Peer, name: str, deadline: float, *, nonce: str = "", life: float = _PING_LIFE
    ) -> Attempt | None:
        """Ask a peer over one road; None when it cannot be sealed to yet. The link is credited either way."""
        nonce = nonce or self._world.dice(16).hex()
        exp = self._world.now() + int(life * 1000)
        order = Order(ParcelType.PING, exp, intro=self._introductions.due(peer.id))
        try:
            parcel = write_parcel(self._roster.me, peer, [system_item(self._gossip.ping(nonce))], order, self._world)
        except Barred:
            return None
        cargo = Cargo(parcel, ParcelType.PING, nonce)
        attempt = await self._attempts.make(self._channels[name], peer, cargo, Step(name, deadline, 0.0))
        self._cascade.credit(attempt)
        if attempt.result is Result.BARRED:
            self._barred_until[(peer.id, name)] = self._world.steady() + policy.BARRED_PAUSE
        if attempt.result is Result.DELIVERED:
            self._introductions.walked(peer.id, answered=True)
            self.on_answer(peer.id)
        return attempt
