"""The commands status and peers: the node and its fleet on one page; prints what is known and judges nothing."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fleet.faces import render
from fleet.faces.caller import Caller
from fleet.faces.render import Screen, visible

SILENT = ("none", "untried")  # states of links that say nothing
QUIET = "this machine is alone: fleet invite prints a link for the next one"


def status(args: Namespace, call: Caller, screen: Screen) -> int:
    """Print this node, its peers, and what needs a person."""
    found = call.ask("status")
    if screen.json:
        screen.value(found)
        return 0
    for name, text in about(found):
        screen.talk(visible(f"{name:8}{text}"))
    _print_peers(found["peers"], screen)
    if not found["peers"]:
        screen.talk(QUIET)
    for notice in found.get("notices", ()):  # a daemon from before an upgrade tells none
        screen.talk(visible(f"{render.since(notice['at'])} ago: {notice['kind']}: {notice['text']}"))
    return 0


def peers(args: Namespace, call: Caller, screen: Screen) -> int:
    """Print the peers."""
    found = call.ask("peers")
    if screen.json:
        screen.value(found)
        return 0
    _print_peers(found, screen)
    if not found:
        screen.talk(QUIET)
    return 0


def about(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Say of a node itself, line by line: who it is, its doors and roads, its mail."""
    up = f", up {render.since(found['started_at'])}" if found.get("started_at") else ""
    yield "node", f"{found['node']} of {found.get('fleet', '?')}, fleet {found.get('version', '?')}{up}"
    doors = [found.get("address", ""), *found.get("doors", ())]
    yield "doors", " ".join(door for door in doors if door) or "none"
    yield "broker", found.get("broker") or "none"
    failed = found.get("failed", {})
    yield "roads", " ".join(name for name in found.get("roads", ()) if name not in failed) or "none"
    for name, why in failed.items():
        yield "", f"{name} is out: {why}"
    mail = found.get("mail")
    if mail:
        words = [f"{mail['unread']} unread", f"{mail['waiting']} waiting", f"{mail['dead']} dead"]
        yield "mail", ", ".join(words + ([f"{mail['kept']} kept for others"] if mail["kept"] else []))
    clock = found.get("clock", {})
    if clock.get("unsure"):
        yield "clock", f"in doubt: {clock.get('reason', '')}"


def _print_peers(found: Sequence[Mapping[str, Any]], screen: Screen) -> None:
    if screen.out.isatty():
        columns: Sequence[str] = ("node", "state", "heard", "trust", "queue", "roads", "branch")
        rows = [(*_alive(peer), roads(peer.get("channels", {})), _branch(peer)) for peer in found]
    else:
        columns = ("node", "address", "role", "state", "trust", "queue", "heard", "roads", "agents", "branch")
        rows = [_whole(peer) for peer in found]
    if found:
        screen.table(columns, rows)


def _alive(peer: Mapping[str, Any]) -> tuple[object, ...]:
    return (peer["node"], _state(peer), render.since(peer.get("last_seen")), peer.get("trust", ""), peer.get("queue", ""))


def _state(peer: Mapping[str, Any]) -> str:
    """Say what matters most of a peer: that it is shut out, or whether it was heard."""
    shut = "" if peer.get("breaker", "active") == "active" else str(peer["breaker"])
    return shut or str(peer.get("state", "")) if peer.get("enabled", True) else "disabled"


def _whole(peer: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        peer["node"], peer.get("address", ""), peer.get("role", ""), _state(peer), peer.get("trust", ""),
        peer.get("queue", ""), render.since(peer.get("last_seen")), render.channels(peer.get("channels", {})),
        " ".join(peer.get("agents", ())), _branch(peer),
    )  # fmt: skip


def _branch(peer: Mapping[str, Any]) -> str:
    return f"{peer.get('branch', '')} {peer.get('commit', '')[:8]}".strip()


def roads(links: Mapping[str, Mapping[str, Any]]) -> str:
    """Say how each road to a peer does, for a person: healthy ones by their round trip, others by their state."""
    told = []
    for name, link in links.items():
        state, trip = link.get("state", "?"), link.get("rtt_ms")
        if state == "healthy":
            told.append(f"{name}:{trip:.1f}ms" if trip is not None else name)
        elif state not in SILENT:
            told.append(f"{name}:{state}")
    return " ".join(told) or "none tried yet"
