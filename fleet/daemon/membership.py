"""What this node says of itself: its certificate as stored, its manifest made from the machine; never another's frames."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from fleet import __version__
from fleet.core import policy
from fleet.core.peer import Certificate, Manifest, read_frame, write_frame
from fleet.daemon.settings import Settings
from fleet.engine.identity import Identity, own_certificate
from fleet.engine.world import World
from fleet.errors import NoIdentity, WireError
from fleet.store import Store
from fleet.store.keys import KeyRing

AGENTS = 64  # names a manifest holds
Addresses = Mapping[str, Mapping[str, str | int | bool]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where this node is found and what its machine shows; empty words are left out of the manifest."""

    addresses: Addresses
    tls: str = ""
    host_key: str = ""
    mac: str = ""


def load_identity(store: Store, ring: KeyRing, settings: Settings, place: Place, world: World) -> Identity:
    """Put together who this node is; a changed manifest gets a higher serial and is stored. Runs in a transaction.

    Raises NoIdentity when no certificate fits the keys.
    """
    certificate = _certificate(store, ring, world)
    frame = _manifest(store, ring, settings, place, world)
    return Identity(
        ring.node, ring.fleet, ring.signing, tuple(ring.opening), tuple(ring.fleet_keys), ring.root_public,
        certificate, frame, ring.root,
    )  # fmt: skip


def finish_renewal(store: Store, ring: KeyRing) -> KeyRing:
    """Put the next signing key in force when its certificate is stored already: a crash came in between."""
    pending, known = ring.pending_signing(), store.members.frames(ring.node)
    if pending is None or known is None or not known.certificate:
        return ring
    try:
        certified = read_frame(Certificate, known.certificate, ring.root_public).key
    except WireError:
        return ring
    return ring.take_next_signing() if certified == pending.public else ring


def _certificate(store: Store, ring: KeyRing, world: World) -> bytes:
    known = store.members.frames(ring.node)
    frame = known.certificate if known else b""
    if frame:
        try:
            if read_frame(Certificate, frame, ring.root_public).key == ring.signing.public:
                return frame
        except WireError:
            pass  # of another fleet or another key: a new one follows, or the error below
    if ring.root is None:
        raise NoIdentity(
            f"{ring.node} has no certificate for its keys", hint="fleet join LINK  (fleet invite on the first machine)"
        )
    now = world.now()
    frame = own_certificate(
        ring.root, ring.fleet, ring.node, ring.signing.public, serial=now, issued=now, trust=policy.TRUST_START,
        role="chief",
    )  # fmt: skip
    store.members.put_certificate(ring.node, now, frame)
    return frame


def _manifest(store: Store, ring: KeyRing, settings: Settings, place: Place, world: World) -> bytes:
    known = store.members.frames(ring.node)
    stored = known.manifest if known else b""
    old: Manifest | None = None
    if stored:
        try:
            old = read_frame(Manifest, stored, ring.signing.public)
        except WireError:
            old = None  # signed by keys this node had in another fleet
    now = world.now()
    agents = store.sessions.names(now - policy.NAMES_LINGER)
    new = describe(ring, settings, place, serial=old.serial if old else now, agents=agents)
    if new == old:
        return stored
    serial = max(now, known.manifest_serial + 1 if known else 0)
    frame = write_frame(msgspec.structs.replace(new, serial=serial), ring.signing)
    store.members.put_manifest(ring.node, serial, frame)
    return frame


def describe(
    ring: KeyRing, settings: Settings, place: Place, *, serial: int, agents: Iterable[str] = ()
) -> Manifest:
    """Say what others must know of this node to reach it; `agents` are those of its sessions."""
    node = settings.node
    return Manifest(
        v=policy.WIRE_VERSION, fleet=ring.fleet, node=ring.node, serial=serial, seal=ring.opening[0].public,
        nats=ring.nats_public, name=node.name or ring.node, description=node.description,
        addresses={channel: dict(table) for channel, table in place.addresses.items()},
        host_key=place.host_key, mac=place.mac, tls=place.tls,
        agents=tuple(sorted({*node.agents, *agents})[:AGENTS]), capabilities=tuple(node.capabilities),
        versions={"fleet": __version__, "python": platform.python_version(), "system": platform.system()},
    )  # fmt: skip
