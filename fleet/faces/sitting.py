"""What hooks and people ask of agent sessions, over the node or over its store; must never print or parse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet.core.framing import Framed
from fleet.daemon.sessions import Event
from fleet.faces import asked

if TYPE_CHECKING:
    from fleet.daemon.service import Node
    from fleet.faces.house import House


async def listed(node: Node, words: asked.Words) -> list[dict[str, Any]]:
    """List the sessions of all nodes."""
    return await node.agents.queries.sessions()


async def came(node: Node, event: Event) -> dict[str, Any]:
    """Take an event of a session; its end sends off what waits in the outbox."""
    found = await node.agents.handover.came(event)
    if event.event == "end":
        node.exchange.poke_all()
    return _view(found)


async def wait(node: Node, event: Event) -> dict[str, Any]:
    """Wait beside an idle session."""
    return _view(await node.agents.handover.wait(event))


def came_still(house: House, event: Event) -> dict[str, Any]:
    """Take an event of a session while no daemon runs."""
    return _view(house.session(event))


def _view(found: Framed) -> dict[str, Any]:
    """Show what a session's hook is to print and to confirm; nothing is an empty object."""
    return {"text": found.text, "ids": list(found.ids)} if found.text else {}
