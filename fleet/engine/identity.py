"""Who this node is: its keys, its certificate and its manifest, and how it writes a parcel; never another node's keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from fleet.core import canonical, policy, sealing
from fleet.core.parcel import FLEETING, Header, Parcel, ParcelType
from fleet.core.peer import Certificate, Manifest, Peer, join_intro, read_frame, write_frame
from fleet.core.sealing import OpeningKey, Secret, SigningKey
from fleet.engine.world import World
from fleet.errors import Barred


@dataclass(frozen=True, slots=True)
class Identity:
    """This node's own side of every parcel."""

    node: str
    fleet: str
    signing: SigningKey
    opening: tuple[OpeningKey, ...]  # current first, then those that slow roads may still need
    fleet_keys: tuple[Secret, ...]  # current first
    root_public: bytes
    certificate: bytes  # frame
    manifest: bytes  # frame
    root: SigningKey | None = field(default=None, repr=False)

    @property
    def intro(self) -> bytes:
        """The bytes of first contact: certificate and manifest."""
        return join_intro(self.certificate, self.manifest)

    @property
    def serials(self) -> tuple[int, int]:
        """The serials of certificate and manifest in force."""
        return _serials(self.certificate, self.root_public, self.manifest, self.signing.public)

    def read_certificate(self) -> Certificate:
        """Read the own certificate."""
        return read_frame(Certificate, self.certificate, self.root_public)

    def read_manifest(self) -> Manifest:
        """Read the own manifest."""
        return read_frame(Manifest, self.manifest, self.signing.public)

    def sign_manifest(self, manifest: Manifest) -> bytes:
        """Sign a new manifest of this node."""
        return write_frame(manifest, self.signing)


@lru_cache(maxsize=16)
def _serials(certificate: bytes, root: bytes, manifest: bytes, public: bytes) -> tuple[int, int]:
    """Read the serials of two frames; asked at every ping, and each answer costs two signatures to verify."""
    return read_frame(Certificate, certificate, root).serial, read_frame(Manifest, manifest, public).serial


@dataclass(frozen=True, slots=True)
class Order:
    """What a parcel shall say beside its items. Times in ms since the epoch."""

    kind: ParcelType
    exp: int
    inc: int = 0
    low: int = 0
    hops: int = 8
    re: str | None = None
    intro: bool = False
    urgent: bool = False
    fleeting: bool = False  # whoever is away shall not find it later
    pid: str = ""  # made already, or fresh


def write_parcel(me: Identity, peer: Peer, items: Sequence[bytes], order: Order, world: World) -> Parcel:
    """Seal items to `peer` and sign them. Raises Barred when the peer's sealing key is not known yet."""
    if not peer.seal:
        raise Barred(f"no manifest of {peer.id} is known yet", hint=f"fleet ping {peer.id}")
    header = Header(
        v=policy.WIRE_VERSION, pid=order.pid or world.new_id(), fleet=me.fleet, sender=me.node, to=peer.id, ts=world.now(),
        exp=order.exp, hops=order.hops, enc="x25519", ekid=sealing.kid_of(peer.seal).hex(), inc=order.inc,
        low=order.low, n=len(items), re=order.re,
    )  # fmt: skip
    intro = me.intro if order.intro else b""
    data = sealing.seal(order.kind, me.signing, peer.seal, header, items, world.dice(32), intro)
    return Parcel(
        header.pid, me.node, peer.id, order.exp, data, receipt=order.kind is ParcelType.RECEIPT, urgent=order.urgent,
        fleeting=order.fleeting or order.kind in FLEETING,
    )  # fmt: skip


def own_certificate(
    root: SigningKey, fleet: str, node: str, key: bytes, *, serial: int, issued: int, trust: int, role: str = "worker"
) -> bytes:
    """Sign a node's certificate with the fleet's root key."""
    certificate = Certificate(
        v=policy.WIRE_VERSION, fleet=fleet, node=node, key=key, role=role, trust=trust, serial=serial, issued=issued
    )
    return write_frame(certificate, root)


def system_item(value: object) -> bytes:
    """Write a receipt, ping or heartbeat as the item of its parcel."""
    return canonical.encode(value)
