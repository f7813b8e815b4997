"""The walks of one peer that are under way, and which of them nobody needs any more; it starts and ends none.

A receipt may come home by another road, or the operator may cancel, while a parcel still looks for a road. Such a walk
ends there: the rest of its plan would only make duplicates, or wake a machine for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(slots=True)
class Walk:
    """One walk: the rows of the outbox that still need it, and the future that is done when none does."""

    open: set[int]
    needless: asyncio.Future[None]


class Walks:
    """Every walk under way, by the number of its parcel."""

    def __init__(self) -> None:
        """Begin with none."""
        self._walks: dict[int, Walk] = {}

    def begin(self, number: int, rows: Iterable[int]) -> asyncio.Future[None]:
        """Note a walk; gives the future that will be done when all its rows are final."""
        walk = Walk(set(rows), asyncio.get_running_loop().create_future())
        self._walks[number] = walk
        return walk.needless

    def end(self, number: int) -> None:
        """Forget a walk that is over."""
        self._walks.pop(number, None)

    def final(self, rows: Iterable[int]) -> None:
        """Note that messages became final by other means than their walk."""
        over = set(rows)
        for walk in self._walks.values():
            walk.open -= over
            if not walk.open and not walk.needless.done():
                walk.needless.set_result(None)
