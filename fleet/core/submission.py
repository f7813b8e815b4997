"""What somebody asks to be sent, and the draft it becomes; pure: it accepts nothing, it only says what could be accepted.

The words are those of `fleet send` and of `POST /message` (contract.md).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fleet.core import canonical, policy
from fleet.core.budget import micro_dollars
from fleet.core.envelope import (
    FREE,
    KINDS,
    Cost,
    Envelope,
    Kind,
    Priority,
    content,
    digest,
    is_message_id,
    make_id,
    size_of,
)  # fmt: skip
from fleet.core.screened import UNSCREENED, Body, Found, Screened
from fleet.errors import Malformed, TooLarge, UnknownPeer, UnknownType, UsageError

_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)?\Z")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, None: 1.0}
_PRIORITIES = {priority.word: int(priority) for priority in Priority}


class Submission(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """One request to send, as it was written."""

    to: str
    body: str | dict[str, Any] = ""
    type: str = "message"
    priority: str = "normal"
    id: str | None = None
    re: str | None = None
    correlation: str | None = None
    agent: str | None = None
    from_agent: str | None = None
    session: str | None = None
    ctype: str | None = None
    context: dict[str, Any] | None = None
    channel: str = ""
    ttl: float | str | None = None
    cost: dict[str, Any] | None = None
    payload: dict[str, Any] | None = None


class Draft(msgspec.Struct, frozen=True, gc=False):
    """A message ready for the outbox; times in ms since the epoch, sizes in bytes."""

    id: str
    peer: str
    type: str
    priority: int
    content: bytes
    digest: bytes
    exp: int
    pin: str
    created: int
    size: int
    refused: str = ""  # a gate's reason at submit: the row is born REFUSED
    held_until: int = 0  # the row is born HELD
    screened: int = UNSCREENED  # what the content gate judged by
    found: tuple[Found, ...] = ()  # … and found
    asked: bytes = b""  # digest of what was asked, where the content gate changed it


@dataclass(frozen=True, slots=True)
class Desk:
    """What a draft is checked against: the types, the body limit (bytes), who is known, which roads exist."""

    kinds: Mapping[str, Kind] = field(default_factory=lambda: KINDS)
    limit: int = policy.MESSAGE_LIMIT
    knows: Callable[[str], bool] = lambda node: True
    channels: tuple[str, ...] = ()
    screen: Callable[[str, Body, dict[str, Any] | None], Screened] = lambda node, body, context: Screened(body, context)


_decode = msgspec.json.Decoder(Submission).decode


def read_line(data: bytes) -> Submission:
    """Read one request from JSON. Raises UsageError that says what is wrong with it."""
    try:
        return _decode(data)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise UsageError(f"not a message: {error}", hint="fleet send --help") from None


def draft_of(asked: Submission, desk: Desk, now: int, dice: bytes) -> Draft:
    """Make the draft of one request; `now` in ms, `dice` 10 random bytes.

    Raises UnknownPeer, UnknownType, TooLarge or UsageError; then nothing was accepted.
    """
    if not desk.knows(asked.to):  # whoever is known has a name that was checked
        raise UnknownPeer(f"no member of this fleet is called {asked.to!a}", hint="fleet peers")
    kind = desk.kinds.get(asked.type)
    if kind is None:
        raise _unknown_type(asked.type, desk.kinds)
    if asked.channel and desk.channels and asked.channel not in desk.channels:
        raise UsageError(f"no road is called {asked.channel!a}: " + ", ".join(desk.channels), hint="fleet status")
    expires = now + int((seconds(asked.ttl) if asked.ttl is not None else kind.ttl) * 1000)
    made = int(asked.id[:12], 16) if asked.id and is_message_id(asked.id) else now  # asked again, it is the same message
    envelope = _envelope(asked, made, expires, dice)
    data = _written(envelope)
    screened = desk.screen(asked.to, envelope.body, envelope.context)
    original = b""
    if screened.changed:
        original = digest(content(data, 0, expires))
        data = _written(msgspec.structs.replace(envelope, body=screened.body, context=screened.context))
    size = size_of(screened.body)
    if size > desk.limit or len(data) > policy.ENVELOPE_LIMIT:
        raise TooLarge(
            f"the body has {size} bytes, the limit is {desk.limit} (hard limit {policy.ENVELOPE_LIMIT} as encoded)",
            hint="put the text into a file both sides can reach and send its name",
        )
    cut = content(data, 0, expires)
    return Draft(
        envelope.id, asked.to, asked.type, envelope.priority, cut, digest(cut), expires, asked.channel, now, size,
        screened.refusal, 0, screened.stamp, screened.found, original,
    )  # fmt: skip


def _written(envelope: Envelope) -> bytes:
    try:
        return canonical.encode(envelope)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"the body cannot be written as JSON: {error}") from None


def _envelope(asked: Submission, now: int, expires: int, dice: bytes) -> Envelope:
    if asked.id is not None and not is_message_id(asked.id):
        raise UsageError(f"an id is a UUIDv7 as 32 hex digits, not {asked.id!a}")
    if asked.re is not None and not is_message_id(asked.re):
        raise UsageError(f"--re wants a message id of 32 hex digits, not {asked.re!a}", hint="fleet inbox --all")
    priority = _PRIORITIES.get(asked.priority)
    if priority is None:
        raise UsageError(f"priority {asked.priority!a}: one of low, normal, high, urgent")
    for word in (asked.correlation, asked.agent, asked.from_agent, asked.session, asked.ctype):
        if word is not None and len(word) > 256:
            raise UsageError("a name of more than 256 characters")
    return Envelope(
        seq=0, exp=expires, id=asked.id or make_id(now, dice), ts=now, type=asked.type, priority=priority,
        re=asked.re, correlation=asked.correlation, from_agent=asked.from_agent, to_agent=asked.agent,
        session=asked.session, ctype=asked.ctype, context=_context(asked.context),
        cost=cost_of(asked.cost) if asked.cost else FREE, body=_body(asked),
    )  # fmt: skip


def _body(asked: Submission) -> str | dict[str, Any]:
    body = asked.body
    if asked.payload is not None:
        body = asked.payload.get("body", "") if set(asked.payload) == {"body"} else asked.payload
    if type(body) is str:
        return body
    if not isinstance(body, dict):
        raise UsageError("a body is text or an object")
    _bounded(body)
    return body


def _context(context: dict[str, Any] | None) -> dict[str, Any] | None:
    if context is None:
        return None
    _bounded(context)
    if len(canonical.encode(context)) > policy.CONTEXT_LIMIT:
        raise TooLarge(f"the context is larger than {policy.CONTEXT_LIMIT} bytes")
    return context


def _bounded(value: dict[str, Any]) -> None:
    try:
        canonical.bound(value)
    except Malformed as error:
        raise UsageError(f"the body cannot travel: {error.message}") from None


def _unknown_type(word: str, kinds: Mapping[str, Kind]) -> UnknownType:
    near = difflib.get_close_matches(word, kinds, 1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return UnknownType(f"there is no message type {word!a}{meant}", hint="one of " + ", ".join(kinds))


def seconds(value: float | str) -> float:
    """Read a duration: a number of seconds, or `90s`, `10m`, `2h`, `7d`. Raises UsageError."""
    if isinstance(value, str):
        found = _DURATION.match(value.strip())
        if found is None:
            raise UsageError(f"{value!a} is not a duration (90s, 10m, 2h, 7d)")
        value = float(found[1]) * _UNITS[found[2]]
    if not 0 < value <= 365 * 86_400:
        raise UsageError("a duration is more than nothing and at most a year")
    return float(value)


def cost_of(words: Mapping[str, Any]) -> Cost:
    """Read tokens, usd or micro_usd, and hops (mission R4).

    Raises UsageError for NaN, negatives and fractions of counts.
    """
    unknown = set(words) - {"tokens", "usd", "micro_usd", "hops"}
    if unknown:
        raise UsageError(f"a cost has tokens, usd and hops, not {', '.join(sorted(unknown))}")
    micro = words.get("micro_usd", 0)
    if "usd" in words:
        try:
            micro = micro_dollars(None if isinstance(words["usd"], str) else words["usd"])
        except ValueError:
            raise UsageError("usd is a number from 0 to 1,000,000, in steps of 0.000001") from None
    try:
        fields = {"tokens": words.get("tokens", 0), "micro_usd": micro, "hops": words.get("hops", 8)}
        return msgspec.convert(fields, Cost, strict=True)
    except msgspec.ValidationError as error:
        raise UsageError(f"the cost is out of range: {error}") from None
