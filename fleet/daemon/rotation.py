"""New keys for old: signing, sealing, NATS and fleet keys, with overlap; it judges no mail and makes no member.

A signing key counts from the moment the root certified it: where the root key is not, the wish travels to it in a sealed
parcel and the certificate comes home the same way. Whatever breaks off in the middle is taken up again at the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from fleet.core import policy
from fleet.core.parcel import ParcelType
from fleet.core.peer import Certificate, FleetKey, Peer, Renewal, kind_of_frame, read_frame, write_frame
from fleet.core.sealing import Secret, SigningKey
from fleet.daemon.membership import load_identity
from fleet.engine.gossip import Letter
from fleet.engine.identity import Identity
from fleet.errors import NoIdentity, UsageError, WireError
from fleet.store import Store
from fleet.store.keys import KeyRing

if TYPE_CHECKING:
    from fleet.daemon.service import Node

Taker = Callable[[Peer, bytes], Awaitable[None]]
KINDS = ("sign", "seal", "nats", "fleet")


class Rotation:
    """The changing keys of one node."""

    def __init__(self, node: Node) -> None:
        """Take the node whose keys change."""
        self._node = node
        self._handed: dict[str, float] = {}

    def show(self) -> dict[str, Any]:
        """Show the public side of every key."""
        ring, me = self._node.ring, self._node.roster.me
        return {
            "node": ring.node, "fleet": ring.fleet, "sign": ring.signing.public.hex(),
            "seal": [key.public.hex() for key in ring.opening], "nats": ring.nats_public,
            "root": ring.root_public.hex(), "root_here": ring.root is not None, "fleet_keys": len(ring.fleet_keys),
            "certificate": me.read_certificate().serial, "manifest": me.read_manifest().serial,
            "pending": ring.pending_signing() is not None,
        }  # fmt: skip

    async def rotate(self, what: str) -> dict[str, Any]:
        """Take a new key of one kind: sign, seal, nats or fleet. Raises UsageError or NoIdentity."""
        ways = {"sign": self._sign, "seal": self._seal, "nats": self._nats, "fleet": self._fleet}
        if what not in ways:
            raise UsageError(f"{what!a} is no kind of key: " + ", ".join(KINDS))
        state = await ways[what]()
        self._node.log("rotated", part=what, state=state)
        self._node.exchange.note("operator", details={"action": "rotate", "key": what, "state": state})
        return {"key": what, "state": state, **self.show()}

    async def _sign(self) -> str:
        node = self._node
        pending = node.ring.next_signing(node.world.dice)
        if node.ring.root is not None:
            await self._take_certificate(self._certify(node.ring.root, node.id, pending.public))
            return "in force"
        await self._wish(pending)
        return "asked the root for its certificate"

    async def _wish(self, pending: SigningKey) -> None:
        """Send the wish to everybody: the node that holds the root key grants it, the others pass it over."""
        node = self._node
        serial = node.roster.me.read_certificate().serial
        wish = Renewal(v=policy.WIRE_VERSION, fleet=node.ring.fleet, node=node.id, key=pending.public, serial=serial)
        for peer in node.roster.peers():
            node.returns.post(Letter(peer.id, ParcelType.CERTIFICATE, (write_frame(wish, pending),)))

    async def _seal(self) -> str:
        await self._adopt(self._node.ring.rotate_opening(self._node.world.dice))
        return "in force"

    async def _nats(self) -> str:
        """The broker's node hears of the new nkey before this one leaves with the old: then the roads start anew."""
        node = self._node
        await self._adopt(node.ring.rotate_nats(node.world.dice))
        await node.roads.admit(node.roster.peers())
        node.renew(policy.NKEY_PAUSE)
        return f"in force in {policy.NKEY_PAUSE:g} s"

    async def _fleet(self) -> str:
        node = self._node
        if node.ring.root is None:
            raise NoIdentity("only the node with the root key gives out fleet keys", hint="fleet keys show")
        node.hops.hold((peer.id for peer in node.roster.peers()), node.ring.fleet_keys[0])
        await self._adopt(node.ring.take_fleet_key(Secret(node.world.dice(32))))
        for peer in node.roster.peers():
            self.hand_fleet_key(peer.id)
        return "in force"

    def hand_fleet_key(self, peer: str) -> None:
        """Give a member the fleet key in force, if this node has the root's word for it; not more than once in a while."""
        now = self._node.world.steady()
        if now - self._handed.get(peer, -policy.GOSSIP_PAUSE) >= policy.GOSSIP_PAUSE:
            self._handed[peer] = now
            self._node.task(self._hand(peer))

    async def _hand(self, peer: str) -> None:
        frame = await self._fleet_key_frame()
        if frame:
            self._node.returns.post(Letter(peer, ParcelType.CERTIFICATE, (frame,)))

    async def _fleet_key_frame(self) -> bytes:
        """Give the root's word on the fleet key: signed here, or kept from when it came; empty without one."""
        node = self._node
        key = node.ring.fleet_keys[0].reveal()
        frame, known = await self._stored_word()
        if known is not None and known.key == key:
            return frame
        if node.ring.root is None:
            return b""
        serial = max(node.world.now(), known.serial + 1 if known else 0)
        word = FleetKey(v=policy.WIRE_VERSION, fleet=node.ring.fleet, serial=serial, key=key)
        frame = write_frame(word, node.ring.root)
        await node.writer.run(lambda store: store.members.set_meta("fleet_key", frame.hex()))
        return frame

    async def _stored_word(self) -> tuple[bytes, FleetKey | None]:
        """Give the root's last word on the fleet key as it was kept; none, or one of another fleet, is none."""
        stored = await self._node.writer.run(lambda store: store.members.meta("fleet_key"))
        frame = bytes.fromhex(stored or "")
        try:
            return frame, read_frame(FleetKey, frame, self._node.ring.root_public)
        except WireError:
            return b"", None

    async def certificate_came(self, peer: Peer, items: list[bytes], in_force: bool) -> None:
        """Take in what a member sent about keys: a wish for the root, a certificate for us, the root's fleet key.

        `in_force`: the parcel was signed with the key its certificate names, not with the one before.
        """
        takers: dict[object, Taker] = {
            Renewal: partial(self._renew, in_force),
            Certificate: self._certificate,
            FleetKey: self._fleet_key,
        }
        for item in items:
            taker = takers.get(kind_of_frame(item))
            try:
                if taker is not None:
                    await taker(peer, item)
            except WireError as error:
                self._node.exchange.proof(peer.id, "certificate", error.message)
                self._node.log("a false word about keys", peer=peer.id, reason=error.message)

    async def _renew(self, in_force: bool, peer: Peer, item: bytes) -> None:
        """Certify a member's new key, where the root key is; a retired key wishes for nothing any more."""
        node = self._node
        if node.ring.root is None:
            return
        wish = read_frame(Renewal, item, claimed_key(item))
        granted = wish.key == peer.key  # before, and the answer was lost
        timely = granted or (in_force and wish.serial == peer.certificate_serial)
        if wish.node != peer.id or wish.fleet != node.ring.fleet or not timely:
            raise WireError("a wish for another node, fleet or time, or of a retired key")
        frame = node.roster.certificate_of(peer.id) if granted else self._certify(node.ring.root, peer.id, wish.key)
        node.returns.post(Letter(peer.id, ParcelType.CERTIFICATE, (frame,)))

    def _certify(self, root: SigningKey, subject: str, key: bytes) -> bytes:
        node = self._node
        frame = node.roster.me.certificate if subject == node.id else node.roster.certificate_of(subject)
        old = read_frame(Certificate, frame, node.ring.root_public)
        now = node.world.now()
        new = msgspec.structs.replace(old, key=key, previous=old.key, serial=max(now, old.serial + 1), issued=now)
        return write_frame(new, root)

    async def _certificate(self, peer: Peer, frame: bytes) -> None:
        await self._take_certificate(frame)

    async def _take_certificate(self, frame: bytes) -> None:
        """Take our own new certificate: store it, then put the key in force, then tell everybody."""
        node = self._node
        certificate = read_frame(Certificate, frame, node.ring.root_public)
        pending = node.ring.pending_signing()
        if certificate.node != node.id or certificate.fleet != node.ring.fleet or pending is None:
            return
        if certificate.key != pending.public or certificate.serial <= node.roster.me.read_certificate().serial:
            return
        await node.writer.run(lambda store: store.members.put_certificate(node.id, certificate.serial, frame))
        await self._adopt(node.ring.take_next_signing())

    async def _fleet_key(self, peer: Peer, frame: bytes) -> None:
        node = self._node
        word = read_frame(FleetKey, frame, node.ring.root_public)
        if word.fleet != node.ring.fleet:
            raise WireError("a key of another fleet")
        if word.key == node.ring.fleet_keys[0].reveal():
            node.hops.knows(peer.id)
        _, known = await self._stored_word()
        if known is not None and known.serial >= word.serial:
            return
        await node.writer.run(lambda store: store.members.set_meta("fleet_key", frame.hex()))
        node.hops.hold((one.id for one in node.roster.peers() if one.id != peer.id), node.ring.fleet_keys[0])
        await self._adopt(node.ring.take_fleet_key(Secret(word.key)))

    async def describe_anew(self) -> None:
        """Sign a new manifest if anything in it changed, and tell everybody."""
        await self._adopt(self._node.ring)

    async def _adopt(self, ring: KeyRing) -> None:
        """Be who the new keys make us, and tell everybody."""
        node = self._node
        node.ring = ring
        node.roster.me = await node.writer.run(self._take_over)
        for peer in node.roster.peers():
            node.gossip.tell(peer.id)

    def _take_over(self, store: Store) -> Identity:
        """Load who we are with the keys in force, and let them vouch for the audit chain from here on."""
        node = self._node
        node.auditing.take_keys()
        key = {"public": node.ring.signing.public.hex(), "epoch": node.ring.opening[0].ekid}
        store.audit.add("key", details=key, now=node.world.now())
        return load_identity(store, node.ring, node.settings, node.roads.place(), node.world)

    async def resume(self) -> None:
        """Take up a renewal that was asked for before this start, and repeat it while no certificate comes."""
        while True:
            pending = self._node.ring.pending_signing()
            if pending is not None:
                await self._wish(pending)
            await asyncio.sleep(policy.RENEWAL_PAUSE)


def claimed_key(item: bytes) -> bytes:
    """Read which key a wish claims to be signed by, so that the claim can be proven. Raises WireError."""
    try:
        return msgspec.json.decode(item[6:-64], type=Renewal).key
    except (msgspec.MsgspecError, ValueError) as error:
        raise WireError("a wish that cannot be read") from error
