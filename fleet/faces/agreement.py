"""Asking a person before something is done: what it touches, and a yes; it does nothing itself."""

from __future__ import annotations

import sys
from argparse import Namespace

from fleet.errors import UsageError
from fleet.faces.render import Screen, visible


def agreed(args: Namespace, screen: Screen, what: str, command: str, *, needed: bool = True) -> None:
    """Ask at a terminal. Without one only `--yes` will do where it is `needed`, else it is said. Raises UsageError."""
    if args.yes:
        return
    if sys.stdin.isatty() and screen.err.isatty():
        print(visible(f"fleet: {what}. Go on? [y/N] "), end="", file=screen.err, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise UsageError("left as it is")
    elif needed:
        raise UsageError(f"this needs --yes without a terminal: {what}", hint=f"fleet {command} --yes")
    else:
        screen.talk(visible(what))
