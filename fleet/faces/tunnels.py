"""The command tunnel: a peer's parcel door and broker through SSH, while the daemon runs; must never run ssh itself."""

from __future__ import annotations

from argparse import Namespace

from fleet.errors import UsageError
from fleet.faces.caller import Caller
from fleet.faces.render import Screen, visible

SHOWN = ("peer", "state", "http", "nats", "breaks", "reason")


def tunnel(args: Namespace, call: Caller, screen: Screen) -> int:
    """Open, close or list tunnels."""
    if args.action == "list":
        found = [one for one in call.ask("tunnels") if args.peer in (None, one["peer"])]
        if screen.json:
            screen.value(found)
        else:
            screen.table(SHOWN, [tuple(one.get(key) or "" for key in SHOWN) for one in found])
        return 0
    if not args.peer:
        raise UsageError(f"fleet tunnel {args.action} PEER", hint="fleet peers")
    verb = "tunnel_open" if args.action == "open" else "tunnel_close"
    one = call.ask(verb, wait=30.0, peer=args.peer)
    if screen.json:
        screen.value(one)
    else:
        ends = ", ".join(f"{road} {one[road]}" for road in ("http", "nats") if road in one)
        screen.line(visible(f"the tunnel to {args.peer} is {one['state']}: {ends}"))
    return 0
