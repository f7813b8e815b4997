"""The command sessions: the live agent sessions of all nodes; never what they talk about."""

from __future__ import annotations

from argparse import Namespace

from fleet.core import policy
from fleet.faces import render
from fleet.faces.caller import Caller
from fleet.faces.render import Screen


def sessions(args: Namespace, call: Caller, screen: Screen) -> int:
    """Print the sessions of this node and of those that answer; a node that does not is unknown."""
    found = call.ask("sessions", wait=policy.ASK_PEERS)
    if screen.json:
        screen.value(found)
        return 0
    rows = [
        (
            one["id"] or "?", one["node"], one["program"], one["agent"], one["cwd"],
            render.age(one["idle_ms"]) if one["state"] == "idle" else "", one["state"], one.get("reach", ""),
        )
        for one in found
    ]  # fmt: skip
    screen.table(("session", "node", "program", "agent", "directory", "idle", "state", "reach"), rows)
    return 0
