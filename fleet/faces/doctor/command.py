"""The command doctor: prints what was looked at, and with --fix what was done; must never judge what is well."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from fleet.faces import agents
from fleet.faces.caller import Caller
from fleet.faces.render import Screen, visible
from fleet.faces.verdicts import DONE, FAILED

WAIT = 60.0  # seconds; two rounds at their deadlines


def doctor(args: Namespace, call: Caller, screen: Screen) -> int:
    """Print every check; something that failed is exit 1."""
    found = call.ask("mend" if args.fix else "doctor", wait=WAIT)
    others = [check for check in found["checks"] if not check["id"].startswith("agents-")]
    found["checks"] = others + agents.installed(Path.home(), call.environ)  # with the user's own PATH, not the daemon's
    if screen.json:
        screen.value(found)
    else:
        for done in found.get("fixed", ()):
            screen.talk(visible(f"{done['id']}: {done['did']}"))
        rows = [(check["id"], check["status"], check["why"], check["fix"]) for check in found["checks"]]
        screen.table(("check", "status", "why", "fix"), rows)
    return FAILED if any(check["status"] == "failed" for check in found["checks"]) else DONE
