"""Two real nodes in this process that only one road joins: engine, store and clocks are the real ones; no SimNet.

async with Pair(tmp_path, "git", "[channel.git]\\nremote = …") as pair:
    await pair.start("a"); id = await pair.send("hello"); await pair.until(lambda: pair.state(id) == "custody")
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from fleet.core.outcome import Attempt
from fleet.core.submission import Submission
from fleet.daemon.service import Node
from fleet.store.keys import KeyRing
from tests.support.enrolment import enrol, paths_at, settings_of

PATIENCE = 60.0


class Pair:
    """a writes to b."""

    def __init__(self, directory: Path, road: str, config: str | Mapping[str, str]) -> None:
        """Enrol both; `config` is what both say besides the order, or what each says."""
        self.directory = directory
        texts = config if not isinstance(config, str) else dict.fromkeys("ab", config)
        order = f'[order]\nchannels = ["{road}"]\n'
        enrol(directory, "ab", config={name: order + texts[name] for name in "ab"})
        self.nodes: dict[str, Node] = {}
        self.logged: list[str] = []

    async def start(self, *names: str) -> None:
        for name in names or "ab":
            home = self.directory / name
            self.nodes[name] = node = Node(
                settings_of(home), paths_at(home), KeyRing.load(paths_at(home).keys),
                log=lambda event, name=name, **fields: self.logged.append(f"{name} {event} {fields}"),
            )  # fmt: skip
            await node.start()

    async def stop(self, *names: str) -> None:
        for name in names or tuple(self.nodes):
            await self.nodes.pop(name).stop()

    async def send(self, *bodies: str) -> list[str]:
        """Submit texts from a to b in one go; gives their ids."""
        answers = await self.nodes["a"].mail.submit([Submission(to="b", body=body) for body in bodies])
        return [str(answer["id"]) for answer in answers]

    def state(self, id: str) -> str:
        return str(self.nodes["a"].mail.standing(id)["state"])

    def attempts(self, id: str) -> list[Attempt]:
        row = self.nodes["a"].reader.outbox.get(id)
        assert row is not None
        return self.nodes["a"].reader.ledger.attempts_of(row)

    def arrived(self, name: str = "b") -> list[str]:
        """The bodies in an inbox, one for each row."""
        mail = self.nodes[name].reader.inbox.unshown(100_000, all=True)
        return [json.loads(b"{" + each.content)["body"] for each in mail]

    async def until(self, done: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not done():
                await asyncio.sleep(0.02)

    async def received(self, ids: list[str]) -> None:
        await self.until(lambda: all(self.state(id) == "received" for id in ids))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()
