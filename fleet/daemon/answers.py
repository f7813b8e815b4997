"""Who waits on this node for the answer to which message; only its addressee can answer it, and what waits here is not
handed to a session meanwhile. It sends nothing and marks nothing shown.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from fleet.core.lifecycle import State, Status
from fleet.daemon.letters import regards
from fleet.engine.waiting import Waiting
from fleet.engine.world import World
from fleet.engine.writer import Writer
from fleet.store import Store
from fleet.store.inbox import Mail

ENDED = (Status.REFUSED, Status.DEAD)


class Answers:
    """The callers that wait for an answer."""

    def __init__(self, writer: Writer, reader: Store, waiting: Waiting, world: World) -> None:
        """Take where answers are found, and what tells that a question came to nothing."""
        self._writer = writer
        self._reader = reader
        self._waiting = waiting
        self._world = world
        self._news: set[asyncio.Event] = set()
        self._awaited: Counter[tuple[str, str]] = Counter()  # (peer, id of the question)

    def news(self) -> None:
        """Say that a reply came."""
        for event in self._news:
            event.set()

    def awaits(self, mail: Mail) -> bool:
        """Say whether somebody waits for just this mail."""
        return mail.type == "reply" and bool(self._awaited) and (mail.sender, regards(mail)) in self._awaited

    async def wait(self, id: str, peer: str, session: str, timeout: float) -> Mail | None:
        """Wait at most `timeout` seconds for what `peer` answers to message `id`; None when nothing came or can come.

        A new answer is noted as handed to `session`, which confirms it by marking it shown.
        """
        news = asyncio.Event()
        self._news.add(news)
        self._awaited[peer, id] += 1
        try:
            async with asyncio.timeout(timeout):
                found = await self._first(id, peer, news)
            if found is not None and found.state is State.RECEIVED:
                mail, now = found, self._world.now()
                await self._writer.run(lambda store: store.sessions.offer([mail.id], session, now))
            return found
        except TimeoutError:
            return None
        finally:
            self._news.discard(news)
            self._awaited -= Counter({(peer, id): 1})

    async def _first(self, id: str, peer: str, news: asyncio.Event) -> Mail | None:
        while True:
            news.clear()
            over = self._waiting.enter(id, State.DONE)
            over.add_done_callback(lambda _: news.set())
            try:
                found = find(self._reader, id, peer)
                row = self._reader.outbox.get(id)
                if found is not None or (row is not None and row.status in ENDED):
                    return found
                await news.wait()
            finally:
                self._waiting.leave(id, over)


def find(store: Store, id: str, peer: str) -> Mail | None:
    """Find the first reply of a peer that regards a message; anybody else's word about it is no answer."""
    return next((mail for mail in store.inbox.replies(peer) if regards(mail) == id), None)
