"""Signs of life nobody asked for, every 10 s to every peer: where the work here stands, and how long the audit chain is.

One beat goes over one road that pings, the healthiest; it is answered by custody only, proves no link and uses no row of
mail. What comes in is compared with what was heard before: an audit chain that became shorter, or another at the same
length, is a security event here, where its owner cannot reach.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fleet.core import policy
from fleet.core.audit import Details, head_fault
from fleet.core.channel import Channel
from fleet.core.health import Health
from fleet.core.outcome import Result
from fleet.core.parcel import ParcelType
from fleet.core.peer import Peer
from fleet.core.plan import Step
from fleet.core.receipt import Heartbeat
from fleet.engine.attempt import Attempts, Cargo
from fleet.engine.identity import Order, system_item, write_parcel
from fleet.engine.introductions import Introductions
from fleet.engine.links import Links
from fleet.engine.roster import Roster
from fleet.engine.world import World
from fleet.engine.writer import Writer
from fleet.errors import Barred, FleetError
from fleet.store import Store
from fleet.store.beats import Beat
from fleet.store.notary import Head

_RANK = {Health.HEALTHY: 0, Health.DEGRADED: 1}  # over others no beat goes: pings heal them
_LIFE = 3 * policy.HEARTBEAT  # seconds; an older beat says nothing that is still so
_FIRST = 1.0  # seconds after the start, when the first pings have told which roads lead anywhere


@dataclass(frozen=True, slots=True)
class Pulse:
    """What sends beats and what they are compared with; made once in daemon/beating.py."""

    channels: Mapping[str, Channel]
    attempts: Attempts
    links: Links
    roster: Roster
    introductions: Introductions
    writer: Writer
    world: World
    head: Callable[[], Head]  # of our own audit chain, as committed
    stand: Callable[[], Awaitable[tuple[str, str]]]  # branch and commit of the work here, "" = not known
    on_fault: Callable[[str, str], None]  # peer, what is wrong with its audit chain
    log: Callable[..., None]


class Heartbeats:
    """The beats of one node: those it sends and the latest of each peer."""

    def __init__(self, pulse: Pulse) -> None:
        """Take what it works with."""
        self._pulse = pulse
        self._boot = pulse.world.new_id()
        self._counter = 0
        self._latest: dict[str, Beat] = {}
        self._found = pulse.head()  # before this life wrote its first entry: each peer hears of it first
        self._told: set[str] = set()  # peers that took a beat of this life

    def load(self, beats: Mapping[str, Beat]) -> None:
        """Take up what an earlier life heard."""
        self._latest = {**beats, **self._latest}

    def latest(self, peer: str) -> Beat | None:
        """Give the last beat heard of a peer."""
        return self._latest.get(peer)

    def forget(self, peer: str) -> None:
        """A member was revoked: whoever comes back under its name begins anew."""
        self._latest.pop(peer, None)

    # --- send ---------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send a beat to everybody every policy.HEARTBEAT seconds until cancelled."""
        await asyncio.sleep(_FIRST)
        while True:
            began = self._pulse.world.steady()
            await self.beat()
            await asyncio.sleep(max(_FIRST, policy.HEARTBEAT - (self._pulse.world.steady() - began)))

    async def beat(self) -> None:
        """Send one beat to every peer that can be written to."""
        place = await self._pulse.stand()
        self._counter += 1
        first, item = (system_item(self._make(place, head)) for head in (self._found, self._pulse.head()))
        peers = [peer for peer in self._pulse.roster.peers() if peer.enabled and peer.seal]
        await asyncio.gather(*(self._send(peer, item if peer.id in self._told else first) for peer in peers))

    def _make(self, place: tuple[str, str], head: Head) -> Heartbeat:
        roster = self._pulse.roster
        certificate, manifest = roster.me.serials
        return Heartbeat(
            boot=self._boot, counter=self._counter, certificate=certificate, manifest=manifest,
            revocation=roster.revocation.version, known=roster.known(), branch=place[0], commit=place[1],
            audit_count=head.count, audit_head=head.hash.hex() if head.count else "",
        )  # fmt: skip

    async def _send(self, peer: Peer, item: bytes) -> None:
        """Try the open roads, the healthiest first, until one took it; a beat that none takes is not missed."""
        pulse = self._pulse
        roads = self._roads(peer)
        if not roads:
            return
        exp = pulse.world.now() + int(_LIFE * 1000)
        order = Order(ParcelType.HEARTBEAT, exp, intro=pulse.introductions.due(peer.id))
        try:
            cargo = Cargo(write_parcel(pulse.roster.me, peer, [item], order, pulse.world), ParcelType.HEARTBEAT)
        except Barred:
            return
        for name in roads:
            if not pulse.links.usable(peer.id, name):
                continue  # it broke while the road before it was tried
            attempt = await pulse.attempts.make(pulse.channels[name], peer, cargo, Step(name, policy.PING_DEADLINE, 0.0))
            if attempt.result is Result.TAKEN:
                self._told.add(peer.id)
            if attempt.result in (Result.TAKEN, Result.DELIVERED, Result.REJECTED):
                return

    def _roads(self, peer: Peer) -> list[str]:
        """List the roads that ping and are open, the healthiest first; among equals their order decides."""
        roads = [road for road in self._pulse.links.roads(peer) if road.traits.pings and road.link.health in _RANK]
        return [road.name for road in sorted(roads, key=lambda road: _RANK[road.link.health])][: policy.PING_ROADS]

    # --- receive ------------------------------------------------------------------------------------------------------

    async def came(self, peer: Peer, beat: Heartbeat, ts: int) -> None:
        """Take in a peer's beat, unless it is older than the last; `ts` = when it was signed, by the peer's clock, ms.

        What its audit chain came to is kept before it counts. Raises StoreError or Busy.
        """
        known = self._latest.get(peer.id)
        head = Head(beat.audit_count, bytes.fromhex(beat.audit_head or bytes(32).hex()))
        now = self._pulse.world.now()
        new = Beat(beat.boot, beat.counter, ts, now, head.count, head.hash, beat.branch, beat.commit)
        if known is not None and not new.follows(known):
            return
        fault = head_fault(known.count, known.hash, head.count, head.hash) if known is not None else ""
        self._latest[peer.id] = new
        if known is not None and (known.boot, known.count, known.hash) == (new.boot, new.count, new.hash):
            return
        try:
            await self._pulse.writer.run(lambda store: _keep(store, peer.id, new, known, fault))
        except FleetError:
            self._put_back(peer.id, new, known)
            raise
        if fault:
            self._pulse.on_fault(peer.id, fault)

    def _put_back(self, peer: str, new: Beat, known: Beat | None) -> None:
        """Forget what could not be kept, so that the next beat is compared with what was."""
        if self._latest.get(peer) is new:
            if known is None:
                del self._latest[peer]
            else:
                self._latest[peer] = known


def _keep(store: Store, peer: str, new: Beat, known: Beat | None, fault: str) -> None:
    store.beats.put(peer, new)
    if fault and known is not None:
        details: Details = {"reason": fault, "known": known.count, "found": new.count}
        store.audit.add("peer_head", peer=peer, details=details, now=new.heard)
        text = f"{peer}: {fault}. Ask there: fleet audit verify"
        store.ledger.notice("audit of a peer", text, new.heard)
