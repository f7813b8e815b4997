"""The commands about messages: send, inbox, done, outbox, cancel, dead; never decides what may go."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from typing import Any

from fleet.errors import NoDaemon, UsageError
from fleet.faces import render
from fleet.faces.caller import Caller
from fleet.faces.local import Lost
from fleet.faces.quick import new_id
from fleet.faces.render import Screen, visible, visible_text

READ_AT_MOST = (1 << 20) + 1  # bytes of standard input; twice the hard limit of a message
FOLLOW = 0.3  # seconds between two looks of `inbox --follow`
_COPIED = ("type", "priority", "re", "correlation", "agent", "session", "channel", "ttl", "id")


def send(args: Namespace, call: Caller, screen: Screen) -> int:
    """Hand a message over, wait as asked, print where it stands."""
    from fleet.core.submission import seconds

    message = message_of(args)
    if not args.all:
        message.setdefault("id", new_id())  # so that a daemon that dies before it answers makes no second message
    timeout = seconds(args.timeout)
    try:
        answer, code = call.post(message, args.wait, timeout)
    except NoDaemon as gone:
        if args.all and isinstance(gone, Lost):
            raise  # a broadcast has no id of its own: asking again would send it twice
        answer, code = call.house.accept(message, args.wait)
    if screen.json:
        screen.value(answer)
        return code
    for one in answer if isinstance(answer, list) else [answer]:
        _say_sent(one, screen)
    return code


def _say_sent(answer: dict[str, Any], screen: Screen) -> None:
    if "error" in answer:
        screen.talk(visible(answer["error"]["message"]))
        if answer["error"].get("hint"):
            screen.talk(f"try: {visible(answer['error']['hint'])}")
        return
    words = [answer["id"], answer["state"]]
    if answer.get("channel"):
        words.append(f"over {answer['channel']}")
    if answer.get("elapsed_ms") is not None:
        words.append(f"in {answer['elapsed_ms']:.0f} ms")
    screen.line(visible(" ".join(words)))
    if answer.get("reason"):
        screen.talk(visible(answer["reason"]))
    for one in answer.get("content", ()):
        screen.talk(visible(f"{one['action']}: {one['kind']} at {one['place']}"))


def message_of(args: Namespace) -> dict[str, Any]:
    """Make the message that the arguments describe. Raises UsageError."""
    words = list(args.words)
    if args.all:
        words.insert(0, "*")
    if not 1 <= len(words) <= 2 or (words[0] == "-" and not args.all):
        raise UsageError("PEER and one TEXT, in quotes when it has spaces", hint="fleet send PEER 'several words'")
    message: dict[str, Any] = {"to": words[0], "body": text_of(words[1] if len(words) == 2 else "", args)}
    message |= {name: getattr(args, name) for name in _COPIED if getattr(args, name) is not None}
    if args.all:
        message.setdefault("type", "broadcast")
    elif getattr(args, "made_id", ""):
        message.setdefault("id", args.made_id)
    if args.cost:
        message["cost"] = _cost(args.cost)
    return message


def text_of(word: str, args: Namespace) -> str:
    """Give the text of a message: what was typed, or standard input for `-`. Raises UsageError for what is no UTF-8."""
    if word != "-":
        if any("\ud800" <= character <= "\udfff" for character in word):
            raise UsageError("TEXT is not UTF-8")
        return word
    data = getattr(args, "read_already", None)
    try:
        return (sys.stdin.buffer.read(READ_AT_MOST) if data is None else data).decode()
    except UnicodeDecodeError:
        raise UsageError("what came on standard input is not UTF-8") from None


def _cost(words: str) -> dict[str, Any]:
    cost: dict[str, Any] = {}
    for word in words.split(","):
        name, _, value = word.partition("=")
        try:
            cost[name.strip()] = float(value) if name.strip() == "usd" else int(value)
        except ValueError:
            raise UsageError(f"{word!a} in --cost: tokens=N, usd=X, hops=N") from None
    return cost


def inbox(args: Namespace, call: Caller, screen: Screen) -> int:
    """Print what was not shown yet and mark it shown, or go on doing so."""
    seen: set[str] = set()
    while True:
        found = call.ask("inbox", limit=args.limit, all=args.all, session=args.session, id=args.id)
        mails = [mail for mail in found if mail["id"] not in seen]
        _print_mails(mails, args, screen)
        if not args.peek:
            fresh = [mail["id"] for mail in mails if mail["state"] == "received"]
            if fresh:
                call.ask("shown", ids=fresh, session=args.session)
        if not args.follow:
            return 0
        seen.update(mail["id"] for mail in mails)
        time.sleep(FOLLOW)


def _print_mails(mails: list[dict[str, Any]], args: Namespace, screen: Screen) -> None:
    if screen.json and not args.follow:
        screen.value(mails)
        return
    for mail in mails:
        if screen.json:
            screen.value(mail)
        else:
            _print_mail(mail, screen)
    if not mails and not args.follow and not screen.json:
        screen.talk("nothing new" if not args.all else "nothing there")


def _print_mail(mail: dict[str, Any], screen: Screen) -> None:
    head = (mail["id"], f"from {mail['from']}", mail["type"], mail["priority"], render.since(mail["received_at"]))
    screen.line(visible("  ".join([*head, f"trust {mail['trust']}", mail["state"]])))
    body = mail["body"] if isinstance(mail["body"], str) else render.dumps(mail["body"])
    for line in visible_text(body).split("\n"):
        screen.line(f"    {line}")


def done(args: Namespace, call: Caller, screen: Screen) -> int:
    """Tell the sender that a message was processed."""
    return _one(call.ask("done", id=args.id), screen)


def cancel(args: Namespace, call: Caller, screen: Screen) -> int:
    """Take a message back."""
    return _one(call.ask("cancel", id=args.id), screen)


def _one(answer: dict[str, Any], screen: Screen) -> int:
    if screen.json:
        screen.value(answer)
    else:
        screen.line(visible(f"{answer['id']} {answer['state']}"))
    return 0


def outbox(args: Namespace, call: Caller, screen: Screen) -> int:
    """Print what waits."""
    rows = call.ask("outbox", limit=args.limit)
    if screen.json:
        screen.value(rows)
        return 0
    shown = [
        (row["id"], row["to"], row["type"], row["state"], render.age(row["age_ms"]), row.get("reason", "")) for row in rows
    ]
    screen.table(("id", "to", "type", "state", "age", "reason"), shown)
    return 0


def dead(args: Namespace, call: Caller, screen: Screen) -> int:
    """Print dead letters, try one again, or drop it."""
    if args.action != "list":
        if not args.id:
            raise UsageError(f"which one? fleet dead {args.action} ID", hint="fleet dead")
        return _one(call.ask(args.action, id=args.id), screen)
    rows = call.ask("dead", limit=args.limit)
    if screen.json:
        screen.value(rows)
        return 0
    shown = [(row["id"], row["to"], row["type"], row["what"], render.since(row["dead_at"]), row["reason"]) for row in rows]
    screen.table(("id", "to", "type", "what", "ago", "reason"), shown)
    return 0
