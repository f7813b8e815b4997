"""The commands up and down: start the daemon of this node, stop it; must never end a process that it cannot name."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleet.daemon import edit
from fleet.daemon.paths import Paths, prepare
from fleet.errors import FleetError, NoDaemon
from fleet.faces import lock
from fleet.faces.caller import Caller
from fleet.faces.render import Screen, visible

STARTING = 10.0  # seconds a daemon may take until it answers
STOPPING = 20.0  # …and until it is gone
LOOK = 0.02


def up(args: Namespace, call: Caller, screen: Screen) -> int:
    """Run the daemon here, or start it in a session of its own and return when it answers."""
    from fleet.faces import serve

    flags = {"node.bind": args.bind}
    if args.bind and call.alive() is None:
        edit.set_key(call.house.paths, "node.bind", args.bind)  # the others are told this address: it holds from now on
    if not args.detach:
        return serve.serve(call.environ, flags, announce=lambda found: _say_up(found, screen))
    running = call.alive()
    if running is None:
        call.house.settings  # noqa: B018  every mistake of the configuration is said here, not in a log file
        call.house.ring  # noqa: B018
        running = start(call, args.bind)
    elif args.bind and args.bind != running["bind"] and not args.bind.endswith(":0"):
        why = f"the daemon runs already, with its parcel door at {running['bind']}"
        raise FleetError(why, hint=f"fleet down, then fleet up --detach --bind {args.bind}")
    elif not screen.json:
        screen.talk("it runs already")
    _say_up(running, screen)
    return 0


def _say_up(found: Mapping[str, Any], screen: Screen) -> None:
    if screen.json:
        screen.value(found)
    else:
        screen.line(visible(f"{found['node']} is up: pid {found['pid']}, {found['socket']}, {found['bind']}"))


def start(call: Caller, bind: str | None = None) -> dict[str, Any]:
    """Start a daemon of its own session and wait until it answers. Raises FleetError with what it said last."""
    paths = call.house.paths
    prepare(paths)
    command = [sys.executable, "-I", "-m", "fleet.faces.serve", "--quiet", *(["--bind", bind] if bind else [])]
    words = paths.log / "fleetd.err"  # what the interpreter itself says; the log has a file of its own
    with words.open("wb") as out:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd="/",
            env=dict(call.environ),
        )  # fmt: skip
    deadline = time.monotonic() + STARTING
    while time.monotonic() < deadline:
        found = call.alive()
        if found is not None:
            return found
        if child.poll() is not None:
            raise FleetError(f"the daemon ended at once: {_last_words(words)}", hint="fleet logs, or fleet up")
        time.sleep(LOOK)
    child.terminate()
    raise FleetError(f"the daemon did not answer within {STARTING:.0f} s: {_last_words(words)}", hint="fleet logs")


def _last_words(said: Path) -> str:
    lines = said.read_bytes()[-4096:].decode("utf-8", "replace").strip().splitlines()
    return "\n".join(lines[-5:]) or "it said nothing"


def down(args: Namespace, call: Caller, screen: Screen) -> int:
    """Ask the daemon to stop and wait until it is gone."""
    paths = call.house.paths
    try:
        found = call.daemon("stop")
    except NoDaemon as gone:
        raise call.explained(gone) from None
    call.client.close()
    if not _gone(paths):
        raise FleetError(f"the daemon (pid {found['pid']}) does not end", hint=f"kill {found['pid']}")
    if screen.json:
        screen.value(found)
    else:
        screen.line(visible(f"{found['node']} is down"))
    return 0


def restart(call: Caller) -> dict[str, Any]:
    """Stop the daemon if it runs and start it; says who the new one is. Raises FleetError when it does not end."""
    running = call.alive()
    if running is not None:
        with contextlib.suppress(NoDaemon):
            call.daemon("stop")
    call.client.close()
    if not _gone(call.house.paths):
        raise FleetError(f"the daemon ({lock.holder(call.house.paths)}) does not end", hint="fleet logs")
    return start(call, running["bind"] if running is not None else None)


def _gone(paths: Paths) -> bool:
    deadline = time.monotonic() + STOPPING
    while time.monotonic() < deadline:
        if lock.holder(paths) is None:
            return True
        time.sleep(LOOK)
    return False
