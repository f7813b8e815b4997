"""The command trace: what is known of one message at both ends; must never say more than was signed or done here."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from fleet.faces import render
from fleet.faces.caller import Caller
from fleet.faces.render import Screen, visible


def trace(args: Namespace, call: Caller, screen: Screen) -> int:
    """Print every attempt of a message and its steps at the addressee, or how one came in."""
    found = call.ask("trace", id=args.id)
    if screen.json:
        screen.value(found)
    elif "to" in found:
        _print_sent(found, screen)
    else:
        _print_arrived(found, screen)
    return 0


def _print_sent(found: dict[str, Any], screen: Screen) -> None:
    words = f"{found['id']} to {found['to']}: {found['state']}"
    screen.line(visible(f"{words} ({found['reason']})" if found.get("reason") else words))
    screen.table(("channel", "ago", "took", "result", "reason"), [
        (row["channel"], render.since(row["started_at"]), f"{row['ms']:.0f} ms", row["result"], row.get("reason", ""))
        for row in found["attempts"]
    ])  # fmt: skip
    if not found["attempts"]:
        screen.talk("nothing was tried yet")
    for step in found.get("receipts", ()):
        road = f", it had come over {step['channel']}" if step["channel"] else ""
        screen.line(visible(f"{found['to']} signed `{step['state']}`{road}: known here for {_ago(step['at'])}"))
    if not found.get("receipts"):
        screen.talk(visible(f"no receipt of {found['to']} is here: whether it arrived, only its receipt says"))


def _print_arrived(found: dict[str, Any], screen: Screen) -> None:
    road = f" over {found['channel']}" if found["channel"] else " from this node itself"
    screen.line(visible(f"{found['id']} from {found['from']}: {found['state']}"))
    screen.line(visible(f"came in {_ago(found['received_at'])} ago{road}, sent {_ago(found['sent_at'])} ago by its clock"))
    if found["copies"]:
        screen.line(f"{found['copies']} more copies came and had no effect")
    if found["shown_at"]:
        session = f" to session {found['session']}" if found["session"] else ""
        screen.line(visible(f"shown{session} {_ago(found['shown_at'])} ago"))
    if found["done_at"]:
        screen.line(f"done {_ago(found['done_at'])} ago")
    if found["parcel"]:
        told = "must still be told" if found["receipt"] == "owed" else "was told"
        screen.line(visible(f"parcel {found['parcel']}: {found['from']} {told}"))


def _ago(at: int) -> str:
    return render.since(at) or "a while"
