"""`fleet demo`: the main job on real parts, with failures; must never say that all is well unless the inboxes say so.

A NATS server and three nodes on loopback. Mail goes over NATS; NATS is killed, HTTP takes over; the addressee's daemon is
killed, the mail waits and arrives after the restart. Then every inbox is read: each message exactly once.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from argparse import Namespace
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fleet.daemon.nats_program import find_program
from fleet.faces.local import PATH_LIMIT
from fleet.faces.render import Screen
from fleet.faces.sandbox import Member, Sandbox, answers, free_port, listens, wait_until

SETTLING = 15.0  # seconds the roads may take to be known as good
ARRIVING = 20.0  # …and waiting mail to arrive after a restart
BELOW = len("/fleet-demo-12345678/alpha/run/fleet.sock")  # what the path of a socket adds to the directory chosen
NAMES = ("alpha", "beta", "gamma")


@dataclass(slots=True)
class Sent:
    """One message of the story and what became of it."""

    story: str
    id: str
    sender: Member
    to: Member
    elapsed_ms: float
    state: str
    channel: str = ""
    tried: list[str] = field(default_factory=list)  # the channel of every attempt
    copies: int = 0  # in the addressee's inbox
    strays: int = 0  # in any other inbox

    @property
    def once(self) -> bool:
        """Whether it arrived exactly once, where it should."""
        return self.copies == 1 and self.strays == 0

    def words(self) -> dict[str, Any]:
        """Show it as JSON."""
        return {
            "id": self.id, "message": self.story, "from": self.sender.name, "to": self.to.name, "state": self.state,
            "channel": self.channel, "attempts": len(self.tried), "tried": self.tried,
            "elapsed_ms": round(self.elapsed_ms, 1), "copies": self.copies + self.strays,
        }  # fmt: skip


class Story:
    """The acts, in order, on one sandbox."""

    def __init__(self, sandbox: Sandbox, screen: Screen) -> None:
        """Take the stage."""
        self._sandbox = sandbox
        self._talk = screen.talk
        self.sent: list[Sent] = []

    def play(self) -> list[Sent]:
        """Play it and count what lies in the inboxes. Raises FleetError when a part does not come up."""
        port = free_port()
        self._talk(f"nats-server on port {port}")
        broker = self._sandbox.run([str(_find_server()), "-a", "127.0.0.1", "-p", str(port)])
        wait_until(lambda: listens(port), SETTLING, "nats-server")
        url = {"FLEET_NATS_SERVE": "false", "FLEET_NATS_URL": f"nats://127.0.0.1:{port}"}
        alpha, beta, gamma = self._sandbox.fleet_of(NAMES, url, self._talk)
        for sender in (alpha, gamma):
            wait_until(partial(answers, sender, beta.name, "nats"), SETTLING, f"NATS from {sender.name} to {beta.name}")
        self._send("NATS is up", alpha, beta)
        self._send("NATS is up, and these two never met", gamma, beta)
        self._talk("killing nats-server")
        broker.kill()
        broker.wait()
        self._send("NATS is dead", alpha, beta)
        self._send("NATS is dead", gamma, beta)
        self._wait_out(alpha, beta)
        self._count()
        return self.sent

    def _send(self, story: str, sender: Member, to: Member, timeout: float = 10.0) -> Sent:
        self._talk(f"{sender.name}: fleet send {to.name} {story!r}")
        answer = sender.fleet("send", to.name, story, "--timeout", f"{timeout:g}")
        sent = Sent(story, answer["id"], sender, to, answer["elapsed_ms"], answer["state"])
        self.sent.append(sent)
        self._trace(sent)
        self._talk(f"  {sent.state}{f' over {sent.channel}' if sent.channel else ''} in {sent.elapsed_ms:.0f} ms")
        return sent

    def _wait_out(self, alpha: Member, beta: Member) -> None:
        """Send to a node whose daemon is dead, start it again, and see the message arrive."""
        self._talk(f"killing the daemon of {beta.name}")
        beta.kill()
        began = time.monotonic()
        sent = self._send(f"the daemon of {beta.name} is dead", alpha, beta, timeout=2.0)
        waiting = [row["id"] for row in alpha.fleet("outbox")]
        self._talk(f"{alpha.name}: fleet outbox: {'it waits' if sent.id in waiting else 'it does NOT wait'}")
        self._talk(f"{beta.name}: fleet up")
        beta.start()
        wait_until(lambda: self._trace(sent) == "received", ARRIVING, f"the message that waits for {beta.name}")
        sent.elapsed_ms = (time.monotonic() - began) * 1000
        self._talk(f"  received over {sent.channel}, {sent.elapsed_ms / 1000:.1f} s after it was sent")

    def _trace(self, sent: Sent) -> str:
        """Look how far a message is."""
        found = sent.sender.ask("trace", id=sent.id)
        proven = [attempt["channel"] for attempt in found["attempts"] if attempt["result"] == "delivered"]
        sent.state = found["state"]
        sent.tried = [attempt["channel"] for attempt in found["attempts"] if attempt["result"] != "barred"]
        sent.channel = proven[-1] if proven else ""
        return sent.state

    def _count(self) -> None:
        """Read every inbox and count each message where it lies."""
        self._talk("reading the inboxes")
        found = {
            member.name: Counter(mail["id"] for mail in member.fleet("inbox", "--all"))
            for member in self._sandbox.members.values()
        }
        for sent in self.sent:
            sent.copies = found[sent.to.name][sent.id]
            sent.strays = sum(count[sent.id] for name, count in found.items() if name != sent.to.name)


def run(args: Namespace) -> int:
    """Play the story; 0 only when every message arrived exactly once."""
    screen = Screen(json=args.json)
    began = time.monotonic()
    with Sandbox(_directory(), "fleet-demo-") as sandbox:
        story = Story(sandbox, screen)
        sent = story.play()
    took = time.monotonic() - began
    good = all(one.once and one.state == "received" for one in sent)
    if screen.json:
        screen.value({"ok": good, "elapsed_ms": round(took * 1000), "messages": [one.words() for one in sent]})
    else:
        _report(sent, screen)
        verdict = "every message arrived exactly once" if good else "NOT every message arrived exactly once"
        screen.talk(f"{verdict}; {took:.0f} s, and nothing is left running")
    return 0 if good else 1


def _report(sent: list[Sent], screen: Screen) -> None:
    rows = [
        (
            one.story, f"{one.sender.name} → {one.to.name}", one.channel, f"{len(one.tried)} ({', '.join(one.tried)})",
            _span(one.elapsed_ms), "exactly once" if one.once else f"{one.copies + one.strays} copies",
        )
        for one in sent
    ]  # fmt: skip
    screen.table(("message", "way", "channel", "attempts", "time", "arrived"), rows)


def _span(ms: float) -> str:
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def _directory() -> Path:
    """Choose a directory for temporary files whose path leaves room for a Unix socket."""
    usual = Path(tempfile.gettempdir())
    return usual if len(os.fsencode(usual)) + BELOW <= PATH_LIMIT else Path("/tmp")  # noqa: S108  mkdtemp makes it private


def _find_server() -> Path:
    return asyncio.run(find_program())
