"""The agent programs of this node: every part that serves them, made here and handed to the others; decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet.daemon import inward
from fleet.daemon.answers import Answers
from fleet.daemon.caretaker import Caretaker
from fleet.daemon.handover import Handover, Ways
from fleet.daemon.queries import Queries
from fleet.daemon.rollcall import RollCall
from fleet.daemon.sessions import Sessions
from fleet.engine.attempt import supervise

if TYPE_CHECKING:
    from fleet.daemon.service import Node


class Agents:
    """Sessions, mail into them, and what nodes ask each other about them."""

    def __init__(self, node: Node, *, real: bool = True) -> None:
        """Take the node; without `real` no agent program is asked or told anything."""
        self._node = node
        self.sessions = Sessions(node.writer, node.world)
        self.sessions.load(node.reader)
        self.handover = Handover(
            node.writer, node.reader, self.sessions, node.world, Ways(inward.say, inward.queue), node.mail.shown, node.log
        )
        self.queries = Queries(node)
        self.caretaker = Caretaker(node)
        self.rollcall = RollCall(node, ask_claude=real)
        self.handover.presence = self.caretaker.presence
        self.answers = Answers(node.writer, node.reader, node.waiting, node.world)
        self.handover.awaited = self.answers.awaits

    def begin(self) -> None:
        """Let what runs beside the rest run."""
        work = {"handover": self.handover.run, "queries": self.queries.run, "caretaker": self.caretaker.run}
        for name, part in work.items():
            self._node.task(supervise(name, part, self._node.log))

    def mail_came(self, *, asks: bool) -> None:
        """Say that mail came; `asks` = a query or a reply is among it."""
        self.handover.news()
        if asks:
            self.queries.news()
            self.answers.news()
