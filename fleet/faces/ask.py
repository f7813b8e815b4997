"""`fleet ask`: a message to a peer and the answer that regards it; an answer counts as shown only once it is printed."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fleet.core import policy
from fleet.core.submission import seconds
from fleet.errors import NoDaemon, UsageError
from fleet.faces import render
from fleet.faces.caller import Caller, Told
from fleet.faces.local import Lost
from fleet.faces.mail import text_of
from fleet.faces.quick import new_id
from fleet.faces.render import Screen, visible, visible_text
from fleet.faces.verdicts import DONE, NOT_YET, exit_of

SESSION = "ask"  # who was shown the answer, for the inbox
BACK = 0.5  # seconds between two tries to reach a daemon that starts anew


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a question: how far it went, the answer as an inbox row if there is one, the exit code."""

    standing: dict[str, Any]
    answer: dict[str, Any] | None
    code: int


def ask(args: Namespace, call: Caller, screen: Screen) -> int:
    """Send a message, wait for its answer, print it."""
    if len(args.words) != 2 or args.words[0] == "-":
        raise UsageError("PEER and one TEXT, in quotes when it has spaces", hint="fleet ask PEER 'several words'")
    timeout = seconds(args.timeout)
    if timeout > policy.ASK_LIMIT:
        raise UsageError(f"an answer is waited for {policy.ASK_LIMIT / 3600:.0f} hours at most: it comes to the inbox later")
    message: dict[str, Any] = {"to": args.words[0], "body": text_of(args.words[1], args), "type": args.type}
    message |= {name: getattr(args, name) for name in ("agent", "priority") if getattr(args, name)}
    found = question(call, message, timeout, SESSION)
    if screen.json:
        screen.value(_view(found))
    elif found.answer is not None:
        _print(found.answer, screen)
    else:
        _say_none(found, screen)
    if found.answer is not None and found.answer["state"] == "received":
        call.ask("shown", ids=[found.answer["id"]], session=SESSION)
    return found.code


def question(call: Caller, message: Mapping[str, Any], timeout: float, session: str) -> Asked:
    """Hand a message over and wait at most `timeout` seconds for the addressee's answer; marks nothing shown.

    Raises what a message that is not accepted raises.
    """
    began = time.monotonic()
    message = {**message, "id": new_id()}
    try:
        standing, code = call.post(message, "none", 0.0)
    except NoDaemon:
        standing, code = call.house.accept(message, "none")
        code = code or NOT_YET
    if "error" in standing:
        raise Told(standing["error"])
    if code:
        return Asked(standing, None, code)
    found = await_answer(call, standing["id"], message["to"], session, began + timeout)
    answer = found.pop("answer")
    return Asked(found, answer, DONE if answer else exit_of(found, "none") or NOT_YET)


def await_answer(call: Caller, id: str, peer: str, session: str, until: float) -> dict[str, Any]:
    """Wait for an answer until the steady clock says `until`, also while the daemon starts anew."""
    while True:
        left = max(0.1, until - time.monotonic())
        try:
            found: dict[str, Any] = call.daemon("answer", wait=left, id=id, peer=peer, session=session, timeout=left)
            return found
        except (Lost, NoDaemon):
            if time.monotonic() + BACK >= until:
                last: dict[str, Any] = call.ask("answer", id=id, peer=peer, session=session, timeout=BACK)
                return last
            time.sleep(BACK)


def _view(found: Asked) -> dict[str, Any]:
    """Show a question and its answer; `reply` is the answer's body, null when there is none."""
    view = {name: found.standing[name] for name in ("id", "to", "state", "reason") if found.standing.get(name)}
    if found.answer is None:
        return view | {"reply": None}
    one = found.answer
    more = {"reply_id": one["id"], "received_at": one["received_at"], "trust": one["trust"], "type": one["type"]}
    return view | {"reply": one["body"], **more}


def _print(answer: dict[str, Any], screen: Screen) -> None:
    screen.talk(visible(f"{answer['from']}, trust {answer['trust']}, message {answer['id']}:"))
    body = answer["body"] if isinstance(answer["body"], str) else render.dumps(answer["body"])
    for line in visible_text(body).split("\n"):
        screen.line(line)


def _say_none(found: Asked, screen: Screen) -> None:
    standing = found.standing
    screen.line(visible(f"{standing['id']} {standing['state']}, no answer"))
    if standing.get("reason"):
        screen.talk(visible(standing["reason"]))
    if found.code == NOT_YET:
        screen.talk("an answer that comes later is in the inbox: fleet inbox")
