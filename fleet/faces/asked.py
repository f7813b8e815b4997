"""The words each verb takes, checked once for every face; must never have a verb's work in it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from fleet.core.envelope import MESSAGE_ID, is_message_id
from fleet.core.submission import seconds
from fleet.errors import UsageError

Id = Annotated[str, Meta(pattern=MESSAGE_ID)]
Name = Annotated[str, Meta(min_length=1, max_length=63)]


class Words(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a verb without words takes."""


class Listing(Words):
    """How much of a list is wanted."""

    limit: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    all: bool = False


class Reading(Listing):
    """Which mail is wanted: what a session may be shown, or one message."""

    session: Annotated[str, Meta(max_length=256)] = ""
    id: Annotated[str, Meta(pattern=r"^([0-9a-f]{32})?\Z")] = ""


class One(Words):
    """The id of one message."""

    id: Id


class Shown(Words):
    """Which messages were shown, and in which session."""

    ids: Annotated[list[Id], Meta(max_length=100_000)]
    session: Annotated[str, Meta(max_length=256)] = ""


class To(Words):
    """A peer, perhaps on one road."""

    peer: Name
    channel: Annotated[str, Meta(max_length=32)] = ""


class Mend(To):
    """How far to go to mend the roads to a peer: one level of core.healing.Level."""

    level: Annotated[int, Meta(ge=0, le=4)] = 0


class Nudge(Words):
    """Whether a person here shall be told as well that mail waits."""

    announce: bool = False


class Key(Words):
    """Which kind of key."""

    what: Annotated[str, Meta(max_length=16)]


class Question(Words):
    """What `explain` judges."""

    peer: Name
    type: Annotated[str, Meta(max_length=32)] = "message"


class Invitation(Words):
    """What an invite grants."""

    ttl: float | str = 600.0
    trust: Annotated[int, Meta(ge=0, le=4)] = 2
    address: Annotated[str, Meta(max_length=256)] = ""


class Joining(Words):
    """The link that was pasted, and what this node wants to be called."""

    link: Annotated[str, Meta(max_length=8192)]
    node: Annotated[str, Meta(max_length=63)] = ""


class PeerWords(Words):
    """Settings of a peer under their dotted names; `add` = it must be new."""

    peer: Name
    settings: dict[str, Any] = {}
    add: bool = False


def read(kind: type[msgspec.Struct], given: dict[str, Any], *, texts: bool = False) -> Any:
    """Check the words of a verb; `texts` = they come from a query, so that numbers are words. Raises UsageError."""
    try:
        return msgspec.convert(given, kind, strict=not texts)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        word = given.get("id")
        if isinstance(word, str) and where.strip("`") == "$.id" and not is_message_id(word):
            raise UsageError(f"a message id is 32 hex digits, not {word!a}", hint="fleet outbox") from None
        raise UsageError(f"{where.strip('`$.')}: {what.lower().replace('`', '')}" if where else what) from None


def life(ttl: float | str) -> float:
    """Read how long an invitation lives, seconds. Raises UsageError."""
    value = seconds(ttl)
    if value > 86_400:
        raise UsageError("an invitation lives for a day at most")
    return value
