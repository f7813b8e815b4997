"""The commands about one peer: peer, ping, explain, reset; never judges one."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from fleet.errors import UsageError
from fleet.faces import render
from fleet.faces.caller import Caller
from fleet.faces.render import Screen, visible
from fleet.faces.verdicts import NOT_TAKEN


def peer(args: Namespace, call: Caller, screen: Screen) -> int:
    """Add, change, show or remove a peer."""
    if args.action in ("show", "remove") and args.settings:
        raise UsageError(f"fleet peer {args.action} takes no KEY=VALUE")
    if args.action == "show":
        found = call.ask("peer_show", peer=args.peer)
    elif args.action == "remove":
        found = call.ask("peer_remove", peer=args.peer)
    else:
        settings = dict(_setting(word) for word in args.settings)
        if not settings:
            hint = f"fleet peer {args.action} {args.peer} http.url=http://10.0.0.2:8856"
            raise UsageError(f"nothing to {args.action}: KEY=VALUE is missing", hint=hint)
        screen.talk(visible(f"{args.action} {args.peer}: {', '.join(sorted(settings))}"))
        found = call.ask("peer_set", peer=args.peer, settings=settings, add=args.action == "add")
    if screen.json:
        screen.value(found)
    else:
        screen.table(("key", "value"), [(key, _shown(value)) for key, value in found.items()])
    return 0


def _setting(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals or not key:
        raise UsageError(f"{word!a} is not KEY=VALUE", hint="fleet peer set mac1 http.url=http://10.0.0.2:8856")
    return key, value


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else render.dumps(value)


def ping(args: Namespace, call: Caller, screen: Screen) -> int:
    """Ask for signed signs of life; no answer at all is exit 6."""
    if args.count < 1:
        raise UsageError("-c wants a number from 1 up")
    found = []
    for _ in range(args.count):
        answer = call.ask("ping", wait=60.0, peer=args.peer, channel=args.channel or "")
        found.append(answer)
        if not screen.json:
            _print_pong(answer, args.peer, screen)
    if screen.json:
        screen.value(found[0] if args.count == 1 else found)
    return 0 if any(answer["ok"] for answer in found) else NOT_TAKEN


def _print_pong(answer: dict[str, Any], peer: str, screen: Screen) -> None:
    if answer["ok"]:
        screen.line(visible(f"{peer} answered over {answer['channel']} in {answer['ms']:.1f} ms"))
    else:
        screen.line(visible(f"{peer} did not answer: {answer.get('reason') or 'no road leads there now'}"))


def explain(args: Namespace, call: Caller, screen: Screen) -> int:
    """Print the verdict of each gate and the plan."""
    found = call.ask("explain", peer=args.peer, type=args.type)
    if screen.json:
        screen.value(found)
        return 0
    screen.line(visible(f"{args.type} to {args.peer}: {found['verdict']}"))
    screen.table(("gate", "verdict", "reason"), [(g["gate"], g["verdict"], g.get("reason", "")) for g in found["gates"]])
    screen.table(
        ("channel", "deadline", "hedge"),
        [(step["channel"], f"{step['deadline_ms']} ms", f"{step['hedge_ms']} ms") for step in found["plan"]],
    )
    return 0


def reset(args: Namespace, call: Caller, screen: Screen) -> int:
    """Say that a road is mended."""
    found = call.ask("reset", peer=args.peer, channel=args.channel or "")
    if screen.json:
        screen.value(found)
    else:
        screen.line(visible(f"{args.peer} {args.channel or 'all roads'}: will be tried again"))
    return 0
