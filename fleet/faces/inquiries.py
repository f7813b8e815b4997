"""What the tools of agents ask of a node: the answer to a message, the session that calls, the latest of the audit chain;
must never print or parse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from fleet.core import policy
from fleet.core.audit import KINDS
from fleet.daemon import answers
from fleet.errors import UsageError
from fleet.faces import asked, views
from fleet.store import Store
from fleet.store.inbox import Mail

if TYPE_CHECKING:
    from fleet.daemon.service import Node
    from fleet.faces.house import House


class Awaited(asked.One):
    """Whose answer to which message is awaited, by which session, for how long (seconds)."""

    peer: asked.Name
    timeout: Annotated[float, Meta(gt=0, le=policy.ASK_LIMIT)]
    session: Annotated[str, Meta(max_length=256)] = ""


class Line(asked.Words):
    """A process and those above it, the nearest first."""

    pids: Annotated[list[int], Meta(max_length=64)]


class Chain(asked.Words):
    """Which entries of the audit chain: since when (ms since the epoch), of which kind, about whom, how many."""

    since: Annotated[int, Meta(ge=0)] = 0
    type: Annotated[str, Meta(max_length=32)] = ""
    peer: Annotated[str, Meta(max_length=63)] = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


async def _answer(node: Node, words: Awaited) -> dict[str, Any]:
    mail = await node.agents.answers.wait(words.id, words.peer, words.session, words.timeout)
    return _standing(node.reader, words, mail)


def _answer_still(house: House, words: Awaited) -> dict[str, Any]:
    return _standing(house.store, words, answers.find(house.store, words.id, words.peer))


def _standing(store: Store, words: Awaited, mail: Mail | None) -> dict[str, Any]:
    """Show how far a question came, and its answer."""
    row = store.outbox.get(words.id)
    return {
        "id": words.id, "to": words.peer, "state": str(views.state_of(row)) if row else "received",
        "reason": row.reason if row else "", "what": row.what if row else "",
        "answer": views.mail_view(mail) if mail else None,
    }  # fmt: skip


async def _seat(node: Node, words: Line) -> dict[str, str]:
    """Find the open session whose program started the caller; empty when none did."""
    found = {one.pid: one for one in node.agents.sessions.open.values() if one.pid}
    one = next((found[pid] for pid in words.pids if pid in found), None)
    return {"session": one.id, "agent": one.agent} if one else {"session": "", "agent": ""}


async def _audit(node: Node, words: Chain) -> list[dict[str, Any]]:
    """List the latest entries, the oldest first. Raises UsageError for a kind that there is not."""
    if words.type and words.type not in KINDS:
        raise UsageError(f"no entry of the audit chain is of kind {words.type!a}", hint="one of " + ", ".join(KINDS))
    found = node.reader.audit.entries(since=words.since, kind=words.type, peer=words.peer, limit=words.limit)
    return [msgspec.structs.asdict(one) for one in found]


def verbs(make: Callable[..., Any]) -> dict[str, Any]:
    """Make the verbs."""
    return {
        "answer": make(Awaited, _answer, _answer_still, patient=True),
        "seat": make(Line, _seat),
        "audit": make(Chain, _audit),
    }
