"""Who a node is: certificate (the root's word), manifest (its own word), peer (what the engine and the roads see).

Each frame is `magic 4 | payload length u16 | payload | signature 64`, the payload canonical JSON, verified before it is
read. Keys are valid by serial, never by time. Nothing here decides whom to trust with what; that is gates.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from fleet.core import canonical, policy, sealing
from fleet.core.envelope import Count, Label, Moment, NodeId
from fleet.core.sealing import SigningKey
from fleet.errors import Barred, Malformed, TooLarge

_FRAME = struct.Struct(">4sH")
_ANY_DICE = b"\x01" * 32
_OPERATORS_OWN = frozenset({"identity", "command", "directory", "host_key", "key"})  # no peer says how to log in
Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
Role = Annotated[str, Meta(pattern=r"^(worker|captain|chief)\Z")]
Level = Annotated[int, Meta(ge=0, le=4)]
Version = Annotated[int, Meta(ge=policy.WIRE_VERSION, le=policy.WIRE_VERSION)]
Address = dict[Annotated[str, Meta(max_length=32)], Annotated[str, Meta(max_length=4096)] | int | bool]


class Certificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The root's word: this node of this fleet signs with this key."""

    v: Version
    fleet: NodeId
    node: NodeId
    key: Key
    previous: Key | None = None  # the key before it, accepted 8 days more
    role: Role = "worker"
    trust: Level = policy.TRUST_START
    ceiling: Level = policy.TRUST_CEILING
    serial: Count
    issued: Moment = 0


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A node's own word: how to seal to it and where it is found; a lower serial is refused."""

    v: Version
    fleet: NodeId
    node: NodeId
    serial: Count
    seal: Key
    nats: Annotated[str, Meta(max_length=64)] = ""  # public nkey
    name: Label = ""
    description: Label = ""
    addresses: Annotated[dict[Annotated[str, Meta(max_length=32)], Address], Meta(max_length=16)] = {}
    host_key: Annotated[str, Meta(max_length=1024)] = ""  # SSH, as in known_hosts
    mac: Annotated[str, Meta(max_length=32)] = ""
    tls: Annotated[str, Meta(max_length=4096)] = ""  # PEM of the parcel door's certificate
    mesh: Annotated[str, Meta(max_length=64)] = ""
    capabilities: Annotated[tuple[Label, ...], Meta(max_length=64)] = ()
    agents: Annotated[tuple[Label, ...], Meta(max_length=64)] = ()
    versions: Annotated[dict[Label, Label], Meta(max_length=16)] = {}


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The root's list: the lowest certificate serial still valid of each node it names."""

    v: Version
    fleet: NodeId
    version: Count
    nodes: dict[NodeId, Count] = {}


class Renewal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A member's wish to sign with a new key from now on; it is signed by that key, its parcel by the one in force."""

    v: Version
    fleet: NodeId
    node: NodeId
    key: Key
    serial: Count  # of the certificate in force: an old wish renews nothing


class FleetKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The root's word on the key of the hop frame in force; it travels only inside sealed parcels."""

    v: Version
    fleet: NodeId
    serial: Count
    key: Key

    def __repr__(self) -> str:
        """Name the key without showing it."""
        return f"<fleet key {self.serial}>"


Signed = Certificate | Manifest | Revocation | Renewal | FleetKey
T = TypeVar("T", Certificate, Manifest, Revocation, Renewal, FleetKey)


@dataclass(frozen=True, slots=True)
class _Form:
    magic: bytes
    kind: bytes
    read: Callable[[bytes], Any]


_FORMS: Mapping[type[Signed], _Form] = {
    Certificate: _Form(b"FLC1", sealing.CERTIFICATE, canonical.reader(Certificate)),
    Manifest: _Form(b"FLM1", sealing.MANIFEST, canonical.reader(Manifest)),
    Revocation: _Form(b"FLV1", sealing.REVOCATION, canonical.reader(Revocation)),
    Renewal: _Form(b"FLQ1", sealing.RENEWAL, canonical.reader(Renewal)),
    FleetKey: _Form(b"FLK1", sealing.FLEET_KEY, canonical.reader(FleetKey)),
}


def write_frame(value: Signed, key: SigningKey) -> bytes:
    """Sign a certificate or revocation (with the root's key) or a manifest (with the node's own). Raises TooLarge."""
    form = _FORMS[type(value)]
    payload = canonical.encode(value)
    if len(payload) > 0xFFFF:
        raise TooLarge(f"a {type(value).__name__.lower()} of {len(payload)} bytes; a frame holds {0xFFFF}")
    signed = _FRAME.pack(form.magic, len(payload)) + payload
    return signed + sealing.sign(key, form.kind, signed)


def kind_of_frame(data: bytes) -> type[Signed] | None:
    """Say what a frame claims to be, nothing verified."""
    return next((kind for kind, form in _FORMS.items() if data[:4] == form.magic), None)


def read_frame(kind: type[T], data: bytes, public: bytes) -> T:
    """Verify a frame with the key that must have signed it, then read it. Raises Malformed or Forged."""
    form = _FORMS[kind]
    end = _payload_end(form.magic, data)
    if end + 64 != len(data):
        raise Malformed(f"a {kind.__name__.lower()} of the wrong length")
    sealing.verify(public, form.kind, data[:end], data[end:])
    value: T = form.read(data[_FRAME.size : end])
    if isinstance(value, Manifest):
        sealing.close_box(b"", value.seal, _ANY_DICE)  # its mail would stop the sender otherwise
    return value


def _payload_end(magic: bytes, data: bytes) -> int:
    if len(data) < _FRAME.size + 64 or data[:4] != magic:
        raise Malformed("not the frame it should be")
    return _FRAME.size + int(_FRAME.unpack_from(data)[1])


def join_intro(certificate: bytes, manifest: bytes) -> bytes:
    """Put the two frames of first contact together."""
    return certificate + manifest


def split_intro(intro: bytes) -> tuple[bytes, bytes]:
    """Split an intro into (certificate frame, manifest frame), nothing verified. Raises Malformed."""
    end = _payload_end(b"FLC1", intro) + 64
    return intro[:end], intro[end:]


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node as the engine and the roads see it: config over manifest, keys from the certificate."""

    id: str
    key: bytes = b""  # Ed25519 in force; empty = known only by address
    previous: bytes = b""
    seal: bytes = b""
    role: str = "worker"
    trust: int = policy.TRUST_START
    ceiling: int = policy.TRUST_CEILING
    enabled: bool = True
    source: str = "member"  # member, static (config.toml), dynamic (peer add)
    certificate_serial: int = 0
    manifest_serial: int = 0
    name: str = ""
    description: str = ""
    agents: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    nats: str = ""
    host_key: str = ""
    mac: str = ""
    tls: str = ""
    versions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    timeout: float = 0.0
    layers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    addresses: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))

    def address(self, channel: str) -> Mapping[str, Any]:
        """Give the peer's address table for a channel. Raises Barred when it has none."""
        table = self.addresses.get(channel)
        if not table:
            raise Barred(
                f"{self.id} has no {channel} address", address=True, hint=f"fleet peer set {self.id} {channel}.…=…"
            )
        return table


def merge(
    node: str, certificate: Certificate | None, manifest: Manifest | None, words: Mapping[str, Any], source: str
) -> Peer:
    """Build the peer from what is known; `words` are the operator's settings of this peer and win over both."""
    addresses: dict[str, dict[str, Any]] = {}
    if manifest is not None:
        addresses = {
            channel: {key: value for key, value in table.items() if key not in _OPERATORS_OWN}
            for channel, table in manifest.addresses.items()
        }
    for channel, table in words.items():
        if isinstance(table, Mapping) and channel != "layer":
            addresses.setdefault(channel, {}).update(table)
    return Peer(
        id=node,
        key=certificate.key if certificate else b"",
        previous=(certificate.previous or b"") if certificate else b"",
        seal=manifest.seal if manifest else b"",
        role=str(words.get("role") or (certificate.role if certificate else "worker")),
        trust=certificate.trust if certificate else 0,
        ceiling=certificate.ceiling if certificate else 0,
        enabled=bool(words.get("enabled", True)),
        source=source,
        certificate_serial=certificate.serial if certificate else 0,
        manifest_serial=manifest.serial if manifest else 0,
        name=str(words.get("name") or (manifest.name if manifest else "") or node),
        description=str(words.get("description") or (manifest.description if manifest else "")),
        agents=tuple(words.get("agents") or (manifest.agents if manifest else ())),
        capabilities=tuple(words.get("capabilities") or (manifest.capabilities if manifest else ())),
        nats=manifest.nats if manifest else "",
        host_key=manifest.host_key if manifest else "",
        mac=manifest.mac if manifest else "",
        tls=manifest.tls if manifest else "",
        versions=MappingProxyType(dict(manifest.versions)) if manifest else MappingProxyType({}),
        timeout=float(words.get("timeout", 0.0)),
        layers=MappingProxyType({str(k): str(v) for k, v in dict(words.get("layer", {})).items()}),
        addresses=MappingProxyType({channel: MappingProxyType(table) for channel, table in addresses.items()}),
    )
