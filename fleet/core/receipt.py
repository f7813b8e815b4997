"""What an addressee signs: which envelopes it has, which it refused and why; never opened without its signature.

Also the small words of the system: ping, pong and heartbeat. All are items of a parcel, none has a seq or an inbox row.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from fleet.core import canonical
from fleet.core.envelope import Count, MessageId


class Fate(StrEnum):
    """What became of one envelope at its addressee."""

    STORED = "stored"
    SHOWN = "shown"
    DONE = "done"
    DUPLICATE = "duplicate"
    REFUSED = "refused"
    LATER = "later"
    EXPIRED = "expired"
    CLOSED = "closed"


GOOD = frozenset({Fate.STORED, Fate.SHOWN, Fate.DONE, Fate.DUPLICATE})  # it is there, whatever the seq
FINAL_BAD = frozenset({Fate.EXPIRED, Fate.CLOSED})

SEQ_USED = "seq used"
STALE_INC = "stale inc"
WINDOW_FULL = "window full"
NO_SESSION = "no session"
RE_SEAL = "re-seal"
Reason = Annotated[str, Meta(max_length=512)]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True, omit_defaults=True):
    """The fate of one envelope: an array on the wire, a batch has 256 of them."""

    id: MessageId
    seq: Count
    digest: Annotated[bytes, Meta(min_length=32, max_length=32)]
    fate: Fate
    reason: Reason = ""
    retry_after: Annotated[float, Meta(ge=0, le=86_400)] = 0.0


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The answer to one copy of one parcel. Without entries it answers the whole parcel with `fate`."""

    pid: MessageId
    road: Annotated[str, Meta(max_length=32)]
    entries: Annotated[tuple[Entry, ...], Meta(max_length=256)] = ()
    fate: Fate = Fate.STORED
    reason: Reason = ""
    retry_after: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    inc: Count = 0  # the highest incarnation known, with `seq used` and `stale inc`


class Ping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A question that only a living peer can answer; the same shape is its pong.

    serials, revocation and known are what makes two members notice that one of them missed something (design § 6).
    """

    nonce: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
    certificate: Count = 0
    manifest: Count = 0
    revocation: Count = 0
    known: Annotated[str, Meta(pattern=r"^([0-9a-f]{16})?\Z")] = ""


class Heartbeat(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A sign of life nobody asked for."""

    boot: MessageId
    counter: Count
    certificate: Count = 0
    manifest: Count = 0
    revocation: Count = 0
    known: Annotated[str, Meta(pattern=r"^([0-9a-f]{16})?\Z")] = ""
    branch: Annotated[str, Meta(max_length=256)] = ""
    commit: Annotated[str, Meta(max_length=64)] = ""
    audit_count: Count = 0  # the sender's audit chain, so that a cut tail is noticed elsewhere
    audit_head: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")] = ""


read_receipt = canonical.reader(Receipt)
read_ping = canonical.reader(Ping)
read_heartbeat = canonical.reader(Heartbeat)
