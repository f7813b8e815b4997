"""`fleetd`: builds the node, starts it, opens the local API last, stops in order; must never decide for the node."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from fleet.core import policy
from fleet.daemon.paths import prepare
from fleet.daemon.quantities import split_address
from fleet.daemon.secrecy import close_memory
from fleet.daemon.service import Node
from fleet.engine.attempt import where
from fleet.errors import FleetError
from fleet.faces import http, manager, verbs
from fleet.faces.door import Door, bind_tcp, bind_unix
from fleet.faces.house import House
from fleet.faces.journal import NAME, Journal
from fleet.faces.lock import Lock
from fleet.faces.verdicts import DONE
from fleet.store.files import atomic_write, remove

Announce = Callable[[Mapping[str, Any]], None]
UNIX_CONNECTIONS = 256  # callers of this user at once: many sessions, hooks and a benchmark beside them


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bare daemon, for service managers; gives the exit code."""
    parser = argparse.ArgumentParser(prog="fleetd", description="The daemon of this machine's node, in the foreground.")
    parser.add_argument("--bind", metavar="HOST:PORT", help="where other nodes reach this one's parcel door")
    parser.add_argument("--quiet", action="store_true", help="write the log to its file only")
    args = parser.parse_args(arguments)
    try:
        return serve(os.environ, {"node.bind": args.bind}, announce=_announce, quiet=args.quiet)
    except FleetError as error:
        print(f"fleetd: {error.message}", *([f"try: {error.hint}"] if error.hint else []), sep="\n", file=sys.stderr)
        return error.exit_code


def _announce(found: Mapping[str, Any]) -> None:
    print(f"fleetd: {found['node']} is up: {found['socket']}, {found['bind']}", file=sys.stderr, flush=True)


def serve(
    environ: Mapping[str, str], flags: Mapping[str, Any], announce: Announce = lambda found: None, *, quiet: bool = False
) -> int:
    """Run the node until it is told to stop; `quiet` = no log on stderr. Raises FleetError when it cannot start."""
    os.umask(0o077)
    close_memory()
    house = House(environ, flags)
    house.settings, house.ring  # noqa: B018  every mistake before anything is touched
    prepare(house.paths)
    with Lock(house.paths):
        journal = Journal(house.paths.log / NAME, house.settings.log, None if quiet else sys.stderr)
        try:
            _run(_serve(lambda: _node(House(environ, flags), journal), announce, journal))
        finally:
            journal.close()
    return DONE


def _node(house: House, journal: Journal) -> Node:
    return Node(house.settings, house.paths, house.ring, log=journal.line)


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)


def _report(journal: Journal, context: Mapping[str, Any]) -> None:
    """Log what nobody caught by its place; its words could be a peer's."""
    error = context.get("exception")
    name = type(error).__name__ if error is not None else str(context.get("message", ""))
    journal.line("bug", part="loop", error=name, where=where(error) if error is not None else "")


async def _serve(build: Callable[[], Node], announce: Announce, journal: Journal) -> None:
    """Run a node, and the next one when it joined another fleet, behind the same doors."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: _report(journal, context))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    node = build()
    if await _unless(stop, node.start()):
        return
    api = http.Api(node)
    doors: list[Door] = []
    try:
        doors = await open_doors(node, api)
        announce(await verbs.live(node, "here", None))
        manager.tell(os.environ, "READY=1")
        while not await _unless(stop, node.run_until_stopped()) and node.renewed:
            api.close()
            await node.stop()
            node = build()
            if await _unless(stop, node.start()):
                return
            api.open(node)
    finally:
        for path in (node.paths.socket, node.paths.token):
            with contextlib.suppress(FleetError):
                remove(path)
        manager.tell(os.environ, "STOPPING=1")
        await asyncio.gather(*(door.close() for door in doors))
        await node.exchange.settle(policy.STOP_GRACE)
        await node.stop()


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do something unless a signal comes first; says whether one did. Raises what the work raised."""
    doing, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not doing.done():
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)
        return True
    doing.result()
    return False


async def open_doors(node: Node, api: http.Api) -> list[Door]:
    """Open the local API: the TCP door, if any, and the Unix socket last of all."""
    token = http.new_token()
    front = http.front(token)
    doors: list[Door] = []
    if node.settings.api.listen != "off":
        host, port = split_address(node.settings.api.listen)
        try:
            sock = bind_tcp(host, port)
        except OSError as error:
            node.log("the local API serves its socket only", listen=node.settings.api.listen, reason=error.strerror)
        else:
            atomic_write(node.paths.token, token.encode() + b"\n")
            doors.append(Door(front, api.handle))
            await doors[0].open(sock)
    users = frozenset({os.geteuid(), 0})
    door = Door(front, api.handle, connections=UNIX_CONNECTIONS, users=users)
    await door.open(bind_unix(node.paths.socket))
    return [*doors, door]


if __name__ == "__main__":
    sys.exit(main())
