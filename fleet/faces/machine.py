"""The commands about this machine: init, invite, join, config, paths, completion, version; no secrets."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from typing import Any

from fleet import __version__
from fleet.errors import NoDaemon, UsageError
from fleet.faces import render
from fleet.faces.caller import Caller
from fleet.faces.render import Screen, visible

MOVING = 10.0  # seconds a node may take to start anew where the operator said


def init(args: Namespace, call: Caller, screen: Screen) -> int:
    """Make this machine the first of a new fleet."""
    from fleet.faces import founding

    found, news = founding.found(call.house, args.node, args.fleet)
    for line in news:
        screen.talk(visible(line))
    _print(found, f"{found['node']} is a node of {found['fleet']}; next: fleet up --detach, fleet invite", screen)
    return 0


def invite(args: Namespace, call: Caller, screen: Screen) -> int:
    """Print a link with which one other machine can join."""
    address = args.address or _address(call, screen)
    found = call.ask("invite", ttl=args.ttl, trust=args.trust, address=address)
    _await_move(found["moved"], call)
    if screen.json:
        screen.value(found)
        return 0
    screen.line(found["link"])
    screen.code(found["link"])
    left = render.age(found["expires_at"] - time.time() * 1000)
    screen.talk(visible(f"on the other machine: fleet join LINK (valid for {left}, once)"))
    screen.talk(visible(f"both sides show the same words: {found['words']}"))
    return 0


def _await_move(moved: dict[str, str], call: Caller) -> None:
    """Wait until the node listens, or advertises, where the operator said: the link is of use then."""
    deadline = time.monotonic() + MOVING
    while moved and time.monotonic() < deadline:
        here = call.alive() or {}
        if all(here.get(key.removeprefix("node.")) == value for key, value in moved.items()):
            return
        time.sleep(0.02)


def _address(call: Caller, screen: Screen) -> str:
    """Ask for an address that other machines can reach when the bind is none; without a terminal only warn."""
    from fleet.daemon.quantities import split_address
    from fleet.daemon.rules import is_loopback, is_routable

    here = call.alive()
    if here is None:
        raise call.explained(NoDaemon(hint="fleet up --detach"))
    bind = here["bind"]
    if here.get("advertise") or (is_routable(bind) and not is_loopback(bind)):
        return ""
    screen.talk(visible(f"the parcel door is bound to {bind}, which other machines cannot reach"))
    if screen.json or not (sys.stdin.isatty() and screen.err.isatty()):
        screen.talk("try: fleet invite --address HOST:PORT")
        return ""
    port = split_address(bind)[1]
    print(f"fleet: address of this machine, HOST[:{port}] (empty: keep it): ", end="", file=screen.err, flush=True)
    word = sys.stdin.readline().strip()
    return word if not word or is_routable(word) else f"{word}:{port}"


def join(args: Namespace, call: Caller, screen: Screen) -> int:
    """Join the fleet of the machine that printed the link."""
    link = sys.stdin.readline().strip() if args.link == "-" else args.link
    try:
        found = call.daemon("join", wait=60.0, link=link, node=args.node or "")
    except NoDaemon:
        from fleet.faces import founding

        found = founding.join(call.house, link, args.node)
    words = (
        f"{found['node']} has joined: {found['peer']} answers"
        if found["reachable"]
        else (f"{found['node']} has joined; {found['peer']} does not answer yet")
    )
    _print(found, words, screen)
    if not screen.json:
        screen.talk(visible(f"both sides show the same words: {found['words']}"))
    return 0


def _print(found: dict[str, Any], words: str, screen: Screen) -> None:
    if screen.json:
        screen.value(found)
    else:
        screen.line(visible(words))


def config(args: Namespace, call: Caller, screen: Screen) -> int:
    """Show, set or unset settings; a change acts at the next start."""
    from fleet.daemon import edit
    from fleet.faces import audit

    if args.action == "show":
        return _config_show(args, call, screen)
    if not args.key or (args.action == "set") != (args.value is not None):
        raise UsageError("fleet config set KEY VALUE, fleet config unset KEY", hint="fleet config show")
    paths = call.house.paths
    if args.action == "set":
        change = edit.set_key(paths, args.key, args.value)
    else:
        change = edit.unset_key(paths, args.key)
    audit.note(call, screen, "config_set", {"setting": change.key, "action": args.action})
    found = {"key": change.key, "value": change.new, "old": change.old, "origin": str(paths.config)}
    running = " (acts at the next start)" if call.alive() else ""
    screen.talk(visible(f"{paths.config}: {change.key} was {_value(change.old)}, is {_value(change.new)}{running}"))
    if screen.json:
        screen.value(found)
    return 0


def _config_show(args: Namespace, call: Caller, screen: Screen) -> int:
    wanted = args.key or ""
    rows = [
        {"key": key, "value": value, "origin": origin}
        for key, value, origin in call.house.settings.items()
        if not wanted or key == wanted or key.startswith(f"{wanted}.")
    ]
    if wanted and not rows:
        from fleet.daemon import edit

        edit.get_key(call.house.settings, wanted)  # raises NotFound with the nearest name
    if screen.json:
        screen.value(rows)
        return 0
    for row in rows:
        origin = f"    # {row['origin']}" if args.origin else ""
        screen.line(visible(f"{row['key']} = {_value(row['value'])}{origin}"))
    return 0


def _value(value: Any) -> str:
    return "(not set)" if value is None else render.dumps(value)


def paths(args: Namespace, call: Caller, screen: Screen) -> int:
    """Print where everything of this node lies."""
    found = {name: str(getattr(call.house.paths, name)) for name in call.house.paths.__dataclass_fields__}
    if screen.json:
        screen.value(found)
    else:
        for name, place in found.items():
            screen.line(f"{name}\t{visible(place)}")
    return 0


def completion(args: Namespace, call: Caller, screen: Screen) -> int:
    """Print the completion script of a shell."""
    import shtab

    from fleet.faces.parser import build

    root, _ = build()
    script = str(shtab.complete(root, args.shell))
    if screen.json:
        screen.value({"shell": args.shell, "script": script})
    else:
        screen.line(script)
    return 0


def version(args: Namespace, call: Caller, screen: Screen) -> int:
    """Print the version."""
    import platform

    found = {"version": __version__, "python": platform.python_version(), "platform": platform.platform(terse=True)}
    _print(found, f"fleet {found['version']} (Python {found['python']}, {found['platform']})", screen)
    return 0
