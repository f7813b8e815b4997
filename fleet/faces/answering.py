"""The verb that waits for the answer to a message, over the node or over its store; must never print or parse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from fleet.core import policy
from fleet.daemon import answers
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


async def live(node: Node, words: Awaited) -> dict[str, Any]:
    """Wait for the answer; gives it, or nothing, and how far the question came."""
    mail = await node.agents.answers.wait(words.id, words.peer, words.session, words.timeout)
    return _view(node.reader, words, mail)


def still(house: House, words: Awaited) -> dict[str, Any]:
    """Look whether the answer is there; without a daemon nobody can wait for it."""
    return _view(house.store, words, answers.find(house.store, words.id, words.peer))


def _view(store: Store, words: Awaited, mail: Mail | None) -> dict[str, Any]:
    row = store.outbox.get(words.id)
    return {
        "id": words.id, "to": words.peer, "state": str(views.state_of(row)) if row else "received",
        "reason": row.reason if row else "", "what": row.what if row else "",
        "answer": views.mail_view(mail) if mail else None,
    }  # fmt: skip
