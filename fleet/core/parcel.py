"""The bytes that travel: layout, strict parse, the hop frame; knows lengths and order, never keys.

    parcel     "FLT1" | type u8 | kid 8 | intro length u16 | header length u16 | body length u32
               | intro | header | body | signature 64
    hop frame  "FLH1" | via length u16 | via | HMAC-SHA256 32 | parcel

Big-endian. The signature covers every byte before it, the tag every byte but itself.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from fleet.core import canonical, policy
from fleet.core.envelope import Count, MessageId, Moment, NodeId, is_node_id
from fleet.errors import Malformed

MAGIC = b"FLT1"
HOP_MAGIC = b"FLH1"
_HEAD = struct.Struct(">4sB8sHHI")
_VIA = struct.Struct(">4sH")
_ITEM = struct.Struct(">I")
SIGNATURE = 64
TAG = 32
INNER_HASH = 32
SEAL_OVERHEAD = 48  # ephemeral key 32 + authenticator 16


class ParcelType(IntEnum):
    """What a parcel holds; it stands in the signed bytes."""

    MAIL = 1
    RECEIPT = 2
    PING = 3
    PONG = 4
    HEARTBEAT = 5
    MANIFEST = 6
    CERTIFICATE = 7
    REVOCATION = 8


ANSWERS = frozenset({ParcelType.RECEIPT, ParcelType.PONG})
FLEETING = frozenset({ParcelType.PING, ParcelType.PONG, ParcelType.HEARTBEAT})  # nobody wants them later
KeyId = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The signed, unsealed part of a parcel (design § 6)."""

    v: Annotated[int, Meta(ge=policy.WIRE_VERSION, le=policy.WIRE_VERSION)]
    pid: MessageId
    fleet: NodeId
    sender: NodeId = msgspec.field(name="from")
    to: NodeId
    ts: Moment
    exp: Moment
    hops: Annotated[int, Meta(ge=0, le=64)]
    enc: Annotated[str, Meta(pattern=r"^x25519\Z")]
    ekid: KeyId
    inc: Count
    low: Count
    n: Annotated[int, Meta(ge=1, le=policy.BATCH_ENVELOPES)]
    re: MessageId | None = None


@dataclass(frozen=True, slots=True)
class Raw:
    """A parcel taken apart, nothing verified yet: `signed` is exactly what the signature covers."""

    type: ParcelType
    kid: bytes
    intro: bytes
    header: bytes
    body: bytes
    signed: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Parcel:
    """What a road is given to carry: opaque bytes and the few words a road needs to name them."""

    pid: str
    sender: str
    to: str
    exp: int  # ms since the epoch; a mailbox road may drop it afterwards
    data: bytes
    receipt: bool = False  # a receipt leaves a mailbox at its exp, mail when it is answered
    urgent: bool = False
    fleeting: bool = False  # worth an answer now or nothing: a ping, a heartbeat

    def __len__(self) -> int:
        """Count the bytes on the road."""
        return len(self.data)


_read_header = canonical.reader(Header)


def head(kind: ParcelType, kid: bytes, intro: bytes, header: bytes, body_length: int) -> bytes:
    """Lay out everything before the body."""
    return _HEAD.pack(MAGIC, kind, kid, len(intro), len(header), body_length) + intro + header


def take_apart(data: bytes) -> Raw:
    """Split a parcel by its lengths. Raises Malformed unless every byte is accounted for and every cap holds."""
    if not _HEAD.size + SIGNATURE < len(data) <= policy.PARCEL_LIMIT:
        raise Malformed(f"a parcel of {len(data)} bytes")
    magic, kind, kid, intro_length, header_length, body_length = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise Malformed("not a parcel")
    if intro_length > policy.INTRO_LIMIT or header_length > policy.HEADER_LIMIT:
        raise Malformed("an intro or header over its limit")
    at_header = _HEAD.size + intro_length
    at_body = at_header + header_length
    at_signature = at_body + body_length
    if at_signature + SIGNATURE != len(data):
        raise Malformed("lengths that do not add up")
    try:
        parcel_type = ParcelType(kind)
    except ValueError:
        raise Malformed(f"parcel type {kind}") from None
    return Raw(
        parcel_type, kid, data[_HEAD.size : at_header], data[at_header:at_body], data[at_body:at_signature],
        data[:at_signature], data[at_signature:],
    )  # fmt: skip


def read_header(data: bytes) -> Header:
    """Read a header strictly, after its signature was verified. Raises Malformed."""
    return _read_header(data)


def join_items(items: list[bytes]) -> bytes:
    """Write items one after another, each behind its length (u32)."""
    pack = _ITEM.pack
    return b"".join([part for item in items for part in (pack(len(item)), item)])


def split_items(data: bytes, n: int) -> list[bytes]:
    """Split n items by their lengths. Raises Malformed unless they fill `data` exactly."""
    items = []
    at = 0
    for _ in range(n):
        if at + 4 > len(data):
            raise Malformed("fewer items than announced")
        end = at + 4 + _ITEM.unpack_from(data, at)[0]
        if end > len(data):
            raise Malformed("an item longer than its parcel")
        items.append(data[at + 4 : end])
        at = end
    if at != len(data):
        raise Malformed("bytes behind the last item")
    return items


def hop_head(via: tuple[str, ...]) -> bytes:
    """Lay out a hop frame's head; `via` are the relays it came through, oldest first."""
    names = ",".join(via).encode()
    return _VIA.pack(HOP_MAGIC, len(names)) + names


def split_hop(data: bytes) -> tuple[tuple[str, ...], bytes, bytes, bytes]:
    """Split a hop frame into (via, head, tag, parcel). Raises Malformed."""
    if len(data) < _VIA.size:
        raise Malformed("not a hop frame")
    magic, length = _VIA.unpack_from(data)
    end = _VIA.size + length
    if magic != HOP_MAGIC or length > policy.VIA_LIMIT * 64 or len(data) < end + TAG:
        raise Malformed("not a hop frame")
    via = tuple(data[_VIA.size : end].decode("ascii", "replace").split(",")) if length else ()
    if len(via) > policy.VIA_LIMIT or not all(is_node_id(name) for name in via):
        raise Malformed("a hop frame with impossible relays")
    return via, data[:end], data[end : end + TAG], data[end + TAG :]
