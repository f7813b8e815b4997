"""What the tools answer, as types: names, states and figures; what a peer wrote stands nowhere but in framed text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel

from fleet.core.visible import visible

WORD = 1024  # characters of any one string in a result
ITEMS = 1000  # of any one list


def clean(value: Any) -> Any:
    """Make every string of an answer one visible line of bounded length, every list of bounded length."""
    if isinstance(value, str):
        return visible(value[:WORD])
    if isinstance(value, Mapping):
        return {visible(str(key)[:WORD]): clean(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [clean(one) for one in value[:ITEMS]]
    return value


class Shape(BaseModel):
    """A result; what an answer has beside its fields is left out."""

    @classmethod
    def of(cls, answer: Any, **more: Any) -> Self:
        """Read an answer of the daemon."""
        return cls.model_validate({**clean(answer), **more})


class Sent(Shape):
    """One message and how far it came."""

    id: str = ""
    to: str = ""
    state: str
    channel: str = ""
    reason: str = ""
    arrived: bool = False  # the addressee's signed receipt is here


class Broadcast(Shape):
    """One message to everybody."""

    sent: list[Sent]


class Head(Shape):
    """A message without its text."""

    id: str
    sender: str
    type: str
    priority: str
    trust: int
    received_at: int
    state: str
    re: str = ""


class Mail(Shape):
    """Mail as framed text, and the heads of what stands in it; `more` = messages that did not fit."""

    text: str
    messages: list[Head]
    more: int = 0


class State(Shape):
    """How far a message is."""

    id: str
    state: str


class Answer(Shape):
    """A question and its answer as framed text; without one, `state` and `reason` say why."""

    id: str
    to: str
    answered: bool
    state: str = ""
    reason: str = ""
    text: str = ""


class Peer(Shape):
    """Another machine."""

    node: str
    state: str
    trust: int
    breaker: str = ""
    agents: list[str] = []
    capabilities: list[str] = []
    roads: dict[str, str] = {}  # road → health
    queue: int = 0  # messages that wait for it
    last_seen: int | None = None


class Peers(Shape):
    """All other machines."""

    peers: list[Peer]


class Status(Shape):
    """This machine and the others."""

    node: str
    fleet: str
    version: str
    mail: dict[str, int]
    notices: list[dict[str, Any]]
    peers: list[Peer]


class Trace(Shape):
    """Every attempt of one message, and what its addressee signed."""

    id: str
    state: str
    to: str = ""
    sender: str = ""
    reason: str = ""
    attempts: list[dict[str, Any]] = []
    receipts: list[dict[str, Any]] = []


class Session(Shape):
    """One agent session."""

    id: str
    node: str
    program: str = ""
    agent: str = ""
    cwd: str = ""
    branch: str = ""
    state: str = ""
    idle_ms: int = 0


class Sessions(Shape):
    """Agent sessions of all machines."""

    sessions: list[Session]


class Rows(Shape):
    """What is known of each peer."""

    peers: list[dict[str, Any]]


class Entries(Shape):
    """Entries of the audit chain, the oldest first."""

    entries: list[dict[str, Any]]


class Acted(Shape):
    """What an operator's action made of a peer."""

    action: str
    peer: str
    result: dict[str, Any]
