"""Taking parcels in while no daemon runs: the same receiver over the same store, put together for one task; it never sends.

What would have to be sent waits: receipts are owed in the store, letters are asked for again. What changes who this node
is (certificates, revocations) and what is for others is left to the daemon: "come again later".
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from fleet.core.channel import Answer
from fleet.core.content import ContentGate
from fleet.core.peer import Peer
from fleet.core.receipt import Heartbeat, Receipt
from fleet.daemon import settings as configuration
from fleet.daemon import words as peer_words
from fleet.daemon.oversight import figures_of
from fleet.daemon.paths import Paths, paths_of, prepare
from fleet.daemon.settings import Settings
from fleet.engine.at_once import AtOnce
from fleet.engine.conduct import Conduct
from fleet.engine.ears import Ears
from fleet.engine.gossip import Gossip
from fleet.engine.hops import Hops
from fleet.engine.identity import Identity
from fleet.engine.introductions import Introductions
from fleet.engine.links import Links
from fleet.engine.opening import Opened, Opener
from fleet.engine.receiver import BUSY, Receiver
from fleet.engine.roster import Roster
from fleet.engine.screening import Screening
from fleet.engine.settling import settle_late
from fleet.engine.world import World, real_world
from fleet.engine.writer import Writer
from fleet.errors import Busy, GateRefused, NoIdentity, StoreError
from fleet.store import Store
from fleet.store.keys import KeyRing
from fleet.store.notary import Notary

SEED, SSH = "seed", "ssh"
LOG_LEFT = 1 << 20  # bytes of write-ahead log that are left to whoever opens the store next


def receive(environ: Mapping[str, str], data: bytes) -> tuple[Answer, Reception]:
    """Take in a parcel that came over SSH; gives the answer, and what is to be kept until the process ends.

    Closing the store would fold its log in, with more fsyncs than the parcel itself took; what is committed is safe.
    Raises NoIdentity on a machine without a node, GateRefused when the road is switched off, SettingsError, StoreError.
    """
    reception = Reception.open(environ)
    answer = asyncio.run(reception.take(data, SSH))
    reception.fold()
    return answer, reception


def take_in(environ: Mapping[str, str]) -> int:
    """Take in the seeds that lie here; says how many. Without any it costs one look into a directory."""
    paths = paths_of(environ)
    if not seeds_lie(paths.seeds):
        return 0
    with contextlib.closing(Reception.open(environ)) as reception:
        return asyncio.run(reception.take_seeds())


def seeds_lie(directory: Path) -> bool:
    """Say whether there is a seed to take in."""
    return next(directory.glob("*.seed"), None) is not None


class Reception:
    """The receiving side of one node, without its roads."""

    def __init__(self, settings: Settings, paths: Paths, ring: KeyRing, world: World | None = None) -> None:
        """Open the store and learn who belongs to the fleet."""
        self._settings = settings
        self._paths = paths
        self._world = world or real_world()
        self._store = Store.open(paths.database, paths.keys)
        self._store.audit.use(Notary.of(ring))
        self._roster = _roster(self._store, ring, settings, self._world)
        self._receiver = Receiver(self._ears())

    @classmethod
    def open(cls, environ: Mapping[str, str]) -> Reception:
        """Open the node that the environment names. Raises NoIdentity, SettingsError or StoreError."""
        paths = paths_of(environ)
        if not (paths.keys / "identity.json").exists():
            raise NoIdentity(hint="fleet init, or fleet join LINK")
        prepare(paths)
        return cls(configuration.load(paths, environ), paths, KeyRing.load(paths.keys))

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def fold(self) -> None:
        """Fold the store's log in when it has grown: the next one to open it reads it whole."""
        if self._store.db.wal_bytes() > LOG_LEFT:
            with contextlib.suppress(StoreError):  # somebody reads: the next parcel's chance
                self._store.db.checkpoint()

    async def take(self, data: bytes, road: str) -> Answer:
        """Take in a parcel that came by a road whose answer goes back at once. Raises GateRefused."""
        if road not in self._settings.roads:
            raise GateRefused(f"the {road} road is switched off here")
        return await self._receiver.deliver_for(road, framed=False, replies=True)(data)

    async def take_seeds(self) -> int:
        """Take in the seeds that lie here; says how many."""
        if SEED not in self._settings.roads:
            return 0
        from fleet.daemon import registry

        roads = registry.build([SEED], self._settings.channel, lambda name: {"seeds": str(self._paths.seeds)})
        sweep = getattr(roads.channels.get(SEED), "sweep", None)
        if sweep is None:
            return 0
        return int(await sweep(self._receiver.deliver_for(SEED, framed=False, replies=False)))

    def _ears(self) -> Ears:
        roster, world = self._roster, self._world
        hops, gossip = Hops(roster), Gossip(roster, world)
        gossip.on_revoked = self._later
        gate = ContentGate(lambda: roster.me.fleet_keys[0], self._settings.content.actions)
        writer = cast(Writer, AtOnce(self._store))
        conduct = Conduct(writer, self._store, world, *figures_of(self._settings))
        return Ears(
            roster=roster, opener=Opener(roster, hops), hops=hops, introductions=Introductions(roster),
            writer=writer, links=Links(world, {}, {}), gossip=gossip, world=world,
            kinds=self._settings.kinds(), limit=self._settings.content.limit, conduct=conduct,
            screening=Screening(gate, conduct.level), clock_unsure=lambda: False,
            on_mail=_nothing, on_owed=_nothing, on_heard=_nothing, relay=_relay, on_certificate=self._later,
            on_receipt=self._settle, on_beat=_unheard, count=_nothing, proof=self._proof, log=_nothing,
        )  # fmt: skip

    async def _settle(self, peer: Peer, receipt: Receipt, road: str) -> None:
        with self._store.db.transaction():
            settle_late(self._store, peer.id, receipt, self._world.now())

    def _proof(self, peer: str, word: str, reason: str) -> None:
        with self._store.db.transaction():
            details = {"what": word, "reason": reason}
            self._store.audit.tally("proof", peer=peer, details=details, now=self._world.now())

    async def _later(self, *words: object) -> None:
        raise Busy("only the daemon can do this")


def _nothing(*words: object, **more: object) -> None:
    """Take note of nothing: the store remembers, the daemon looks there when it starts."""


async def _unheard(peer: Peer, beat: Heartbeat, ts: int) -> None:
    """Let a sign of life pass: nobody here watches."""


async def _relay(opened: Opened) -> Answer:
    return BUSY


def _roster(store: Store, ring: KeyRing, settings: Settings, world: World) -> Roster:
    frames = {found.node: found for found in store.members.all()}
    own = frames.pop(ring.node, None)
    if own is None or not own.certificate or not own.manifest:
        from fleet.daemon.membership import Place, load_identity

        with store.db.transaction():
            me = load_identity(store, ring, settings, Place({}), world)
    else:
        me = Identity(
            ring.node, ring.fleet, ring.signing, tuple(ring.opening), tuple(ring.fleet_keys), ring.root_public,
            own.certificate, own.manifest,
        )  # fmt: skip
    words = {node: peer_words.read(node, table, settings.order) for node, table in store.members.peers().items()}
    roster = Roster(me, settings.peers, words, world.now)
    _, revocation = store.members.revocation()
    if revocation:
        roster.revoke(revocation)
    roster.load((found.certificate, found.manifest) for found in frames.values() if found.certificate and found.manifest)
    return roster

