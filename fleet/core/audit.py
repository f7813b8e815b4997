"""What may stand in the audit chain: the kinds of entries and the fields their details may have; it keeps nothing.

A field that is not named here cannot be written: that is how no body, no secret and no value that the content gate found
ever reaches the chain. Words are cut to WORD_LIMIT; whoever adds a kind or a field gives it its sentence.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from fleet.core import canonical, policy

Scalar = str | int | float | bool
Details = Mapping[str, Scalar]
NOTHING: Details = MappingProxyType({})
WORD_LIMIT = 256  # characters of one word; a reason of ours is below 200
GENESIS = bytes(32)  # the hash before the first entry

KINDS = MappingProxyType(
    {
        "refused_in": "a gate of ours refused what a peer sent",
        "refused_out": "a gate of ours refused what was to be sent",
        "refused_by_peer": "the addressee's gate refused what we sent",
        "held_in": "a gate of ours put off what a peer sent",
        "held_out": "a gate of ours held what was to be sent",
        "content": "the content gate found something, by kind and place, never by value",
        "alarm": "a security event",
        "proof": "a peer signed what is provably false",
        "peer_head": "a peer's audit chain is shorter than it was, or another",
        "trust": "a peer's trust level changed",
        "budget": "a peer's budget or spend changed",
        "breaker": "the breaker of a peer changed its state",
        "evicted": "a peer was evicted",
        "reactivated": "an operator let a peer back in",
        "peer_added": "an operator made a peer known",
        "peer_set": "an operator changed what is said of a peer",
        "peer_removed": "an operator took a peer away",
        "invited": "an invitation was given",
        "joined": "a node used an invitation and became a member",
        "join_refused": "a request to join was refused",
        "entered": "this node entered a fleet",
        "certificate": "a member has a new certificate",
        "manifest": "a member says something new of itself",
        "revoked": "the root retired a member's certificates",
        "key": "a key of this node or of the fleet was replaced",
        "dead_letter": "messages will not arrive any more",
        "repair": "something was done to mend a road or a peer",
        "escalation": "an escalation was begun or ended",
        "config_set": "a setting was changed by command",
        "operator": "an operator did something by command",
        "session": "an agent session was ended or given work",
        "restored": "the database is older than what this node remembers beside its keys",
        "clone": "this home comes from another machine",
        "notice": "something an operator should read",
        "started": "the daemon began to work",
        "chain_touched": "the head of the audit chain was not as this node left it",
        "chain_behind": "the audit chain is shorter than, or another than, the one remembered beside the keys",
        "checkpoint": "the chain up to here, signed by this node",
        "pruned": "entries that were kept long enough were deleted from the front, up to and including `through`",
    }
)  # kind → what it says

FIELDS = frozenset(
    {
        "action", "after", "agent", "amount", "at", "attempts", "before", "boot", "by", "ceiling", "channel", "code",
        "commit", "count", "digest", "direction", "epoch", "failures", "fate", "figure", "finding", "fleet", "found",
        "from", "gate", "hash", "hops", "id", "inc", "interactions", "key", "kind", "known", "level", "limit", "micro_usd",
        "name", "new", "node", "old", "part", "place", "public", "ratio", "reason", "remembered", "role", "ruled",
        "samples", "scope", "score", "serial", "session", "setting", "severity", "signature", "since", "source", "spent",
        "state", "step", "target", "threats", "through", "to", "tokens", "trust", "ttl", "type", "until", "usd", "version",
        "what", "window",
    }
)  # fmt: skip  # every name that details may use; each is ours

BREAKS = frozenset({"chain_touched", "chain_behind"})  # entries that say the chain was not left alone
SIGNED = frozenset({"checkpoint", "pruned"})  # entries that carry this node's signature of a head

_read = msgspec.json.Decoder(dict[str, str | int | float | bool]).decode


def write_details(kind: str, details: Details) -> str:
    """Write the details of an entry as they are kept: canonical JSON of bounded scalars.

    Raises ValueError for a kind or field that nobody declared: a mistake in the code, never in the input.
    """
    if kind not in KINDS:
        raise ValueError(f"no entry of the audit chain is of kind {kind!a}")
    unknown = sorted(set(details) - FIELDS)
    if unknown:
        raise ValueError(f"the audit chain has no field {unknown[0]!a}")
    return canonical.encode({name: _bounded(value) for name, value in details.items()}).decode()


def read_details(text: str) -> dict[str, Scalar]:
    """Read the details of an entry. Raises ValueError for what write_details() did not write."""
    try:
        return _read(text)
    except msgspec.MsgspecError as error:
        raise ValueError("the details are damaged") from error


def chained(before: bytes, seq: int, at: int, kind: str, peer: str, details: str) -> bytes:
    """Give the hash of an entry that follows the one with the hash `before`."""
    entry = canonical.encode((seq, at, kind, peer, details))
    return hashlib.sha256(before + entry).digest()


def head_words(node: str, count: int, hash: bytes) -> bytes:
    """Give the bytes that a head's MAC and signature are over."""
    return canonical.encode(("fleet audit head", node, count, hash.hex()))


def bounded_word(text: str) -> str:
    """Cut a word to WORD_LIMIT characters of real text."""
    sound = text.encode("utf-8", "replace").decode()
    return sound if len(sound) <= WORD_LIMIT else sound[: WORD_LIMIT - 1] + "…"


def _bounded(value: Scalar) -> Scalar:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return max(-policy.SAFE_INTEGER, min(policy.SAFE_INTEGER, value))
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return bounded_word(str(value))


def head_fault(known: int, known_hash: bytes, count: int, hash: bytes) -> str:
    """Say what is wrong with a chain that had `known` entries and now has `count`; empty when it may have grown."""
    if count < known:
        return f"its audit chain had {known} entries and now has {count}"
    if count == known and hash != known_hash:
        return f"its audit chain has another entry {count} than before"
    return ""
