"""Who waits for which message to come how far; told after a commit, never before. Holds nothing that must survive."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from fleet.core.lifecycle import State, Status, outside
from fleet.store.outbox import Applied

_FAR = {State.RECEIVED: 1, State.SHOWN: 2, State.DONE: 3}


class Waiting:
    """The callers that wait for a state, by message id."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._futures: dict[str, list[tuple[State, asyncio.Future[str]]]] = {}

    def enter(self, id: str, wanted: State) -> asyncio.Future[str]:
        """Give a future that becomes `reached`, `ended` or `walked`; leave() it in the end."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(id, []).append((wanted, future))
        return future

    def leave(self, id: str, future: asyncio.Future[str]) -> None:
        """Stop waiting."""
        left = [pair for pair in self._futures.get(id, []) if pair[1] is not future]
        if left:
            self._futures[id] = left
        else:
            self._futures.pop(id, None)

    def applied(self, changes: Sequence[Applied]) -> None:
        """Wake those whose message came as far as they wanted, or will come no further."""
        if not self._futures:
            return
        for change in changes:
            for wanted, future in self._futures.get(change.id, ()):
                if change.new is Status.DONE:
                    if reached(change.reached, wanted):
                        _wake(future, "reached")
                elif change.new in (Status.REFUSED, Status.DEAD):
                    _wake(future, "ended")

    def walked(self, ids: Iterable[str]) -> None:
        """Wake those whose message no road took in its first walk."""
        if self._futures:
            for id in ids:
                for _, future in self._futures.get(id, ()):
                    _wake(future, "walked")


def reached(state: str, wanted: State) -> bool:
    """Say whether a receipt's state is as far as was wanted."""
    return _FAR[State(state or State.RECEIVED)] >= _FAR[wanted]


def state_of(status: Status, taken: bool, reached_state: str) -> State:
    """Say a row's state in the outside word."""
    return outside(status, taken=taken, reached=State(reached_state) if reached_state else State.RECEIVED)


def _wake(future: asyncio.Future[str], word: str) -> None:
    if not future.done():
        future.set_result(word)
