"""fleet_send's short way: arguments → one request → one line; must never import what a plain send does not use.

Only what is right and common is understood here. A mistake, --help, a daemon that is down: the full parser takes over,
so that there is one grammar and one wording. `_json` is the C core of `json`, whose wrapper loads `re`.
"""

from __future__ import annotations

import os
import sys
import time

try:
    from _json import encode_basestring_ascii as quoted
except ImportError:  # another Python than CPython
    from json.encoder import encode_basestring_ascii as quoted

from fleet.errors import FleetError, NoDaemon
from fleet.faces.local import Answer, Client, socket_path

FIELDS = {
    "--type": "type", "--priority": "priority", "--re": "re", "--correlation": "correlation", "--agent": "agent",
    "--session": "session", "--channel": "channel", "--ttl": "ttl", "--id": "id",
}  # fmt: skip
READ_AT_MOST = (1 << 20) + 1  # bytes of standard input; twice the hard limit of a message


class NotPlain(Exception):
    """The arguments need the full parser."""


class Plain:
    """What a plain command line asks for."""

    __slots__ = ("body", "fields", "id", "json", "timeout", "to", "wait")

    def __init__(self, arguments: list[str]) -> None:
        """Read the arguments. Raises NotPlain for everything but the known options and one or two words."""
        self.fields: list[tuple[str, str]] = []
        self.json = False
        self.wait, self.timeout = "none", "10"
        words: list[str] = []
        rest = iter(arguments)
        for word in rest:
            if word in FIELDS:
                self.fields.append((FIELDS[word], _value(rest)))
            elif word == "--json":
                self.json = True
            elif word == "--wait":
                self.wait = _value(rest)
            elif word == "--timeout":
                self.timeout = _value(rest)
            elif word.startswith("-") and word != "-":
                raise NotPlain
            else:
                words.append(word)
        if not 1 <= len(words) <= 2 or self.wait not in ("none", "received", "shown", "done") or words[0] == "-":
            raise NotPlain
        names = [name for name, _ in self.fields]
        if len(set(names)) != len(names) or not self.timeout.replace(".", "", 1).isdigit():
            raise NotPlain
        self.to = words[0]
        self.body = words[1] if len(words) == 2 else ""
        self.id = dict(self.fields).get("id", "")

    def request(self, id: str) -> bytes:
        """Write the message as JSON; text that is no UTF-8 becomes escapes that the daemon refuses."""
        members = [("to", self.to), ("body", self.body), *self.fields]
        if not self.id:
            members.append(("id", id))
        return ("{" + ",".join(f"{quoted(name)}:{quoted(value)}" for name, value in members) + "}").encode("ascii")

    @property
    def target(self) -> str:
        """The request's target, with what is waited for."""
        return "/message" if self.wait == "none" else f"/message?wait={self.wait}&timeout={self.timeout}"


def _value(rest: object) -> str:
    value = next(rest, None)  # type: ignore[call-overload]
    if value is None or value.startswith("--"):
        raise NotPlain
    return str(value)


def main(arguments: list[str]) -> int:
    """Send as the arguments say; gives the exit code."""
    body = None
    id = new_id()
    try:
        plain = Plain(arguments)
        if plain.body == "-":
            body = sys.stdin.buffer.read(READ_AT_MOST)
            plain.body = body.decode()
        client = Client(socket_path(os.environ))
        answer = client.ask("POST", plain.target, plain.request(id), wait=float(plain.timeout))
    except (NotPlain, NoDaemon, UnicodeDecodeError):
        return _in_full(arguments, id, body)
    except FleetError:
        return _in_full(arguments, id, body)
    return _report(answer, plain)


def _report(answer: Answer, plain: Plain) -> int:
    text = answer.body.decode()
    if plain.json:
        print(text)
    elif answer.status == 200:
        print(_member(text, "id"), _member(text, "state"))
        if '"reason":"' in text:
            print(f"fleet_send: {_member(text, 'reason')}", file=sys.stderr)
        elif '"content":[{' in text:
            print(f"fleet_send: marked {_member(text, 'kind')} at {_member(text, 'place')}", file=sys.stderr)
    else:
        print(f"fleet_send: {_member(text, 'message')}", file=sys.stderr)
    return answer.exit_code


def _member(text: str, name: str) -> str:
    """Read one text member of a small JSON object, escapes left as they are: they are what a terminal may see."""
    start = text.find(f'"{name}":"') + len(name) + 4
    end = start
    while text[end] != '"':
        end += 2 if text[end] == "\\" else 1
    return text[start:end]


def new_id() -> str:
    """Make a UUIDv7, so that a daemon that dies before it answers makes no second message."""
    dice = int.from_bytes(os.urandom(10), "big")
    high, low = (dice >> 62) & 0xFFF, dice & ((1 << 62) - 1) | (2 << 62)
    return f"{time.time_ns() // 1_000_000:012x}7{high:03x}{low:016x}"


def _in_full(arguments: list[str], id: str, body: bytes | None) -> int:
    """Let `fleet send` do it, with the id already made and what was already read."""
    if "site" not in sys.modules:
        import site

        site.main()
    from fleet.faces import cli

    return cli.main(["send", *arguments], prog="fleet_send", id=id, stdin=body)
