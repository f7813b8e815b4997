"""fleet repair: mend the roads to a peer level by level until a round trip proves them; must never say that it worked."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from fleet.errors import UsageError
from fleet.faces.caller import Caller
from fleet.faces.render import Screen, visible
from fleet.faces.verdicts import DONE, FAILED

WAIT = 120.0  # seconds one level may take: a restart over SSH and the probes after it
RESTART = 3  # from this level on it touches more than connections
TOUCHES = (
    "asks the roads to {peer}",
    "makes this node's connections anew where they do not work",
    "asks {peer} to make its own anew and to tell where it is found",
    "restarts the daemon of {peer} over SSH",
    "shows what a person can do",
)  # by level


def repair(args: Namespace, call: Caller, screen: Screen) -> int:
    """Go from level to level, telling each step as it is done; 0 once every road is proven, else 1."""
    _agreed(args, screen)
    steps: list[dict[str, Any]] = []
    for level in range(args.level + 1):
        found = call.ask("repair", wait=WAIT, peer=args.peer, channel=args.channel, level=level)
        steps += [{"level": level, **step} for step in found["steps"]]
        for step in found["steps"]:
            screen.talk(visible(_line(level, step)))
        if found["healed"]:
            break
    found["steps"] = steps
    if screen.json:
        screen.value(found)
    else:
        well = f"mended at level {found['level']}" if found["level"] else "well"
        screen.line(visible(f"{args.peer}: {well}" if found["healed"] else f"{args.peer}: not mended by level {args.level}"))
    return DONE if found["healed"] else FAILED


def _line(level: int, step: dict[str, Any]) -> str:
    mark = "ok" if step["ok"] else "no"
    took = "" if step["ms"] is None else f" ({step['ms']:.1f} ms)"
    return f"L{level} {step['step']}: {mark}{took}" + (f", {step['reason']}" if step["reason"] else "")


def _agreed(args: Namespace, screen: Screen) -> None:
    """Show what it touches and ask at a terminal; without one, a restart needs `--yes`. Raises UsageError."""
    if args.yes:
        return
    touches = "; ".join(words.format(peer=args.peer) for words in TOUCHES[: args.level + 1])
    if sys.stdin.isatty() and screen.err.isatty():
        print(visible(f"fleet: as far as it is needed this {touches}. Go on? [y/N] "), end="", file=screen.err, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise UsageError("left as it is")
    elif args.level >= RESTART:
        hint = f"fleet repair {args.peer} --level {args.level} --yes"
        raise UsageError(f"this needs --yes without a terminal: it {touches}", hint=hint)
