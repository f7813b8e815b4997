"""The commands that try out how a peer can be reached: check, wake; must never decide what a road's answer means."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from fleet.faces.caller import Caller
from fleet.faces.render import Screen, visible
from fleet.faces.verdicts import DONE, NOT_TAKEN

CHECK_WAIT = 300.0  # seconds; a git mailbox is polled every 30, an operator may have made it more
WAKE_WAIT = 120.0
_MARKS = {True: "ok", False: "no", None: "-"}


def check(args: Namespace, call: Caller, screen: Screen) -> int:
    """Try every road to a peer; no road at all is exit 6."""
    if not screen.json:
        screen.talk(visible(f"asking {args.peer} over every road; one that is polled takes twice its poll"))
    found = call.ask("check", wait=CHECK_WAIT, peer=args.peer)
    if screen.json:
        screen.value(found)
    else:
        rows = [(row["name"], _MARKS[row["ok"]], _ms(row), row["reason"]) for row in found["channels"]]
        screen.table(("channel", "ok", "ms", "reason"), rows)
    return DONE if any(row["ok"] for row in found["channels"]) else NOT_TAKEN


def wake(args: Namespace, call: Caller, screen: Screen) -> int:
    """Wake a peer and say each step; no sign of life is exit 6."""
    found = call.ask("wake", wait=WAKE_WAIT, peer=args.peer)
    if screen.json:
        screen.value(found)
    else:
        rows = [(step["step"], _MARKS[step["ok"]], _ms(step), step["reason"]) for step in found["steps"]]
        screen.table(("step", "ok", "ms", "reason"), rows)
        screen.line(visible(f"{args.peer} is {'awake' if found['awake'] else 'not awake'}"))
    return DONE if found["awake"] else NOT_TAKEN


def _ms(row: dict[str, Any]) -> str:
    return "" if row["ms"] is None else f"{row['ms']:.1f}"
