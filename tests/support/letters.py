"""Messages made from a number: drafts for an outbox, arrivals for an inbox; must never use a clock or real dice."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from fleet.core import canonical
from fleet.core.envelope import Envelope, content, digest, make_id, read, stamp
from fleet.core.submission import Draft
from fleet.store import Store
from fleet.store.inbox import Arrival, Copy

NOW = 1_800_000_000_000  # ms since the epoch: 15 January 2027
HOUR = 3_600_000
WEEK = 7 * 24 * HOUR


def id_of(n: int) -> str:
    """The id of message n."""
    return make_id(NOW, hashlib.sha256(b"%d" % n).digest())


def envelope(n: int, *, body: str = "", priority: int = 1, exp: int = NOW + WEEK, type: str = "message") -> Envelope:
    """Message n; another body makes another content of the same id."""
    return Envelope(seq=0, exp=exp, id=id_of(n), ts=NOW, type=type, priority=priority, body=body or f"message {n}")


def draft(
    n: int, peer: str = "mac2", *, body: str = "", priority: int = 1, exp: int = NOW + WEEK, **fields: object
) -> Draft:
    """Message n as it is submitted; `fields` are those of Draft."""
    one = envelope(n, body=body, priority=priority, exp=exp)
    cut = content(canonical.encode(one), 0, exp)
    made = Draft(one.id, peer, one.type, priority, cut, digest(cut), exp, "", NOW, len(str(one.body)))
    return msgspec.structs.replace(made, **fields)


def drafts(numbers: Iterable[int], peer: str = "mac2") -> list[Draft]:
    """Several messages to one peer."""
    return [draft(n, peer) for n in numbers]


def arrival(n: int, seq: int, *, body: str = "", exp: int = NOW + WEEK, **verdict: object) -> Arrival:
    """Message n as it comes in under `seq`; `verdict` is refuse, expired or later."""
    made = draft(n, body=body, exp=exp)
    return Arrival(read(stamp(made.content, seq, exp)), made.content, made.digest, **verdict)


def copy(n: int = 1, *, sender: str = "mac1", inc: int = 5, low: int = 1, road: str = "nats", owed: bool = False) -> Copy:
    """Parcel n that brings envelopes."""
    return Copy(sender, f"{n:032x}", road, inc, low, owed, 2)


def open_store(home: Path, **options: object) -> Store:
    """The store of a node that lives in `home`."""
    (home / "keys").mkdir(mode=0o700, parents=True, exist_ok=True)
    return Store.open(home / "fleet.db", home / "keys", **options)
