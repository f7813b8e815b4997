"""One message as a value, and the registry of message types; never bytes of a road, never a row.

The bytes of an envelope are `{"seq":S,"exp":E,` + its content: everything but seq and exp, which change when a message
is sent anew. The content is frozen at the first lease; its SHA-256 is the digest that receipts name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from fleet.core import canonical, policy
from fleet.errors import Malformed

NODE_ID = r"^[a-z0-9][a-z0-9-]{0,62}\Z"
MESSAGE_ID = r"^[0-9a-f]{32}\Z"
TYPE_WORD = r"^[a-z][a-z0-9-]{0,31}\Z"

NodeId = Annotated[str, Meta(pattern=NODE_ID)]
MessageId = Annotated[str, Meta(pattern=MESSAGE_ID)]
TypeWord = Annotated[str, Meta(pattern=TYPE_WORD)]
Label = Annotated[str, Meta(max_length=256)]  # names of agents, sessions, correlations: the addressee's words
Moment = Annotated[int, Meta(ge=0, le=policy.SAFE_INTEGER)]  # ms since the epoch, UTC
Count = Annotated[int, Meta(ge=0, le=policy.SAFE_INTEGER)]

_node_id = re.compile(NODE_ID).match
_message_id = re.compile(MESSAGE_ID).match


class Priority(IntEnum):
    """The four tiers (mission O7); a higher one overtakes."""

    LOW = 0
    NORMAL = 1
    HIGH = 2
    URGENT = 3

    @property
    def word(self) -> str:
        """The name used outside."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Kind:
    """What a message type means: its roads, the trust it needs at the receiver, how it is retried."""

    word: str
    roads: tuple[str, ...] = ()  # channel names; none = every road
    then_all: bool = False  # its own roads first, then every other
    trust: int = 2
    tries: int = 0  # walks before it is given up; 0 = until it expires
    ttl: float = policy.TTL
    confirm: bool = True  # a receipt is expected; False = wished
    answer: str = "receipt"  # what the sender may expect beside the receipt
    session: bool = False  # it waits at a chief while no agent session is open at the addressee


_DIRECT = ("nats",)
_NEAR = ("nats", "http")
_KEPT = ("nats", "http", "relay")
_SHARED = ("nats", "http", "relay", "seed")
_REACH = ("nats", "http", "relay", "seed", "ssh")

KINDS: MappingProxyType[str, Kind] = MappingProxyType(
    {
        kind.word: kind
        for kind in (
            Kind("message"),
            Kind("context", _SHARED),
            Kind("task", _KEPT, trust=3, ttl=policy.TTL_COMMAND, answer="receipt, later done", session=True),
            Kind("reply", _NEAR, then_all=True),
            Kind("alert", _DIRECT, tries=3),
            Kind("broadcast", _DIRECT, tries=1, ttl=policy.TTL_BROADCAST, confirm=False),
            Kind("sync", _KEPT, trust=3),
            Kind("repair", _REACH, trust=4, ttl=policy.TTL_COMMAND, answer="receipt with result"),
            Kind("query", answer="reply"),
            Kind("spawn", _KEPT, trust=4, ttl=policy.TTL_COMMAND, answer="receipt, later done"),
            Kind("handoff", _REACH),
        )
    }
)  # mission, table of kinds (M13); [types.NAME] of the configuration may change roads, tries, confirm and ttl


def kind_of(word: str, kinds: Mapping[str, Kind] = KINDS) -> Kind:
    """Look a type up; an unknown one is kept as opaque mail, never dropped (mission M13)."""
    return kinds.get(word) or Kind(word)


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What handling a message may cost (mission R4): tokens, whole micro-dollars, relays it may cross."""

    tokens: Annotated[int, Meta(ge=0, le=10**9)] = 0
    micro_usd: Annotated[int, Meta(ge=0, le=10**12)] = 0
    hops: Annotated[int, Meta(ge=0, le=64)] = 8


FREE = Cost()


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One message; the order of the fields is the order of the bytes. Times in ms since the epoch."""

    seq: Count
    exp: Moment
    id: MessageId
    ts: Moment
    type: TypeWord = "message"
    priority: Annotated[int, Meta(ge=0, le=3)] = 1
    re: MessageId | None = None
    correlation: Label | None = None
    from_agent: Label | None = None
    to_agent: Label | None = None
    session: Label | None = None
    ctype: Label | None = None
    context: dict[str, Any] | None = None
    cost: Cost = FREE
    body: str | dict[str, Any] = ""


class _Priced(msgspec.Struct):
    cost: Any = None


_read = canonical.reader(Envelope)
_priced = msgspec.json.Decoder(_Priced).decode


def is_node_id(word: str) -> bool:
    """Say whether `word` may name a node (and so may stand in a path, a ref or a subject)."""
    return _node_id(word) is not None


def is_message_id(word: str) -> bool:
    """Say whether `word` is a UUID as 32 lower-case hex digits."""
    return _message_id(word) is not None


def make_id(now_ms: int, dice: bytes) -> str:
    """Make a UUIDv7 (RFC 9562 § 5.7) as 32 hex digits from the time and 10 random bytes."""
    tail = int.from_bytes(dice[:10], "big")
    high = (tail >> 62) & 0xFFF
    low = (tail & ((1 << 62) - 1)) | (2 << 62)
    return f"{now_ms & 0xFFFFFFFFFFFF:012x}7{high:03x}{low:016x}"


def content_of(envelope: Envelope) -> bytes:
    """Cut seq and exp off an envelope's bytes: what is frozen, stored and digested."""
    return content(canonical.encode(envelope), envelope.seq, envelope.exp)


def content(data: bytes, seq: int, exp: int) -> bytes:
    """Cut the head `{"seq":S,"exp":E,` off the bytes of an envelope."""
    return data[len(str(seq)) + len(str(exp)) + 15 :]


def cost_in(content_bytes: bytes) -> Cost:
    """Read what a frozen content may cost; few name it, so few are read."""
    if b'"cost":' not in content_bytes:
        return FREE
    return read(stamp(content_bytes, 0, 0)).cost


def overcharges(data: bytes) -> bool:
    """Say whether bytes that are no valid envelope name a cost beyond what any message may cost (mission R4)."""
    try:
        msgspec.convert(_priced(data).cost, Cost | None, strict=True)
    except msgspec.ValidationError:
        return True
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return False


def digest(content_bytes: bytes) -> bytes:
    """Name a content: the SHA-256 that receipts and duplicates are compared by."""
    return hashlib.sha256(content_bytes).digest()


def stamp(content_bytes: bytes, seq: int, exp: int) -> bytes:
    """Put seq and exp before a frozen content: the bytes that travel."""
    return b'{"seq":%d,"exp":%d,' % (seq, exp) + content_bytes


def size_of(body: str | dict[str, Any]) -> int:
    """Count the bytes of a body as they are limited: plain ASCII as it is, everything else as its JSON."""
    return len(body) if type(body) is str and body.isascii() else len(canonical.encode(body))


def read(data: bytes) -> Envelope:
    """Read one envelope strictly. Raises Malformed for size, shape, ranges, depth, or a second spelling."""
    if len(data) > policy.ENVELOPE_LIMIT:
        raise Malformed(f"an envelope of more than {policy.ENVELOPE_LIMIT} bytes")
    envelope = _read(data)
    if type(envelope.body) is not str:
        canonical.bound(envelope.body)
    if envelope.context is not None:
        canonical.bound(envelope.context)
    return envelope
