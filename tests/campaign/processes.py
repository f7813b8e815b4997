"""What campaigns over real processes share: submitters that write down every promise."""

import random
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from fleet.errors import NoDaemon
from tests.campaign.reading import Record, Sent, sha
from tests.support.nodes import Node

RETRY = 0.05  # pause before a daemon that is away is asked again
BATCH = 24  # most messages of one request
ODDS_OF_COMMAND = 0.02  # how often fleet_send is used, by one process each, daemon up or down


class Load(threading.Thread):
    """Submits from one node to others until told to stop; what got no answer is asked again under the same id."""

    def __init__(self, node: Node, targets: Sequence[str], record: Record, dice: random.Random, pause: float) -> None:
        super().__init__(daemon=True, name=f"load {node.name}")
        self._node = node
        self._targets = list(targets)
        self._record = record
        self._dice = dice
        self._pause = pause
        self._ended = threading.Event()
        self._made = 0
        self.by_command = 0
        self.refused: list[Any] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._ended.is_set():
                self._submit(self._messages())
                self._ended.wait(self._pause * self._dice.random() * 2)
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        """Let the last request end; raises what went wrong in the thread."""
        self._ended.set()
        self.join(60)
        assert not self.is_alive(), f"{self.name} hangs"
        if self.error is not None:
            raise self.error

    def _messages(self) -> list[dict[str, Any]]:
        count = self._dice.choice((1, 1, 2, self._dice.randint(1, BATCH)))
        return [self._message() for _ in range(count)]

    def _message(self) -> dict[str, Any]:
        dice = self._dice
        self._made += 1  # no long random number: one in some thousands is that of a card, and the content gate hides it
        body = f"{self._node.name} {self._made} " + "ä\u2028x" * dice.choice((0, 1, 30, 300))
        id = f"{time.time_ns() // 1_000_000:012x}7{dice.getrandbits(12):03x}{dice.getrandbits(62) | 2 << 62:016x}"
        message = {
            "id": id,
            "to": dice.choice(self._targets),
            "body": body,
            "priority": dice.choice(("normal", "high", "low")),
        }
        self._record.asked[id] = Sent(self._node.name, message["to"], sha(body))
        return message

    def _submit(self, messages: list[dict[str, Any]]) -> None:
        if len(messages) == 1 and self._dice.random() < ODDS_OF_COMMAND:
            self._by_command(messages[0])
            return
        while True:
            try:
                answers = self._node.submit(messages)
            except NoDaemon:
                if self._ended.wait(RETRY):
                    return
                continue
            self._note(answers)
            missing = [m for m, answer in zip(messages, answers, strict=True) if _come_again(answer)]
            if not missing or self._ended.wait(RETRY):
                return
            messages = missing

    def _by_command(self, message: dict[str, Any]) -> None:
        """Let fleet_send do it; with a daemon that is down it writes to the store itself."""
        words = [message["to"], "-", "--id", message["id"], "--priority", message["priority"], "--json"]
        done = self._node.fleet_send(*words, stdin=message["body"].encode())
        if done.code == 0:
            self._record.accepted.add(done.value["id"])
            self.by_command += 1
        else:
            self.refused.append(done)

    def _note(self, answers: list[dict[str, Any]]) -> None:
        for answer in answers:
            if answer.get("state") == "accepted":
                self._record.accepted.add(answer["id"])
            elif not _come_again(answer):
                self.refused.append(answer)


def _come_again(answer: Mapping[str, Any]) -> bool:
    return bool(answer.get("error", {}).get("retryable"))
