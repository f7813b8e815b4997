"""Which sequence numbers of one incarnation were seen: ranges from `low` up; pure, the store keeps it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable


class Ranges:
    """A set of whole numbers kept as sorted, disjoint, half-open ranges."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        """Start from [start, end) pairs, sorted and disjoint."""
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in pairs:
            self._starts.append(start)
            self._ends.append(end)

    def __contains__(self, number: int) -> bool:
        """Say whether `number` was seen."""
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number < self._ends[at]

    def __len__(self) -> int:
        """Count the ranges (not the numbers): what memory they take."""
        return len(self._starts)

    def add(self, number: int) -> None:
        """Put one number in, joining the ranges it touches."""
        at = bisect_right(self._starts, number)
        if at and number < self._ends[at - 1]:
            return
        joins_left = at > 0 and self._ends[at - 1] == number
        joins_right = at < len(self._starts) and self._starts[at] == number + 1
        if joins_left and joins_right:
            self._ends[at - 1] = self._ends.pop(at)
            del self._starts[at]
        elif joins_left:
            self._ends[at - 1] = number + 1
        elif joins_right:
            self._starts[at] = number
        else:
            self._starts.insert(at, number)
            self._ends.insert(at, number + 1)

    def forget_below(self, low: int) -> None:
        """Drop what is below `low`: the sender promised it is final."""
        at = bisect_right(self._starts, low) - 1
        if at >= 0 and self._ends[at] > low:
            self._starts[at] = low
        else:
            at += 1
        del self._starts[:at], self._ends[:at]

    def pairs(self) -> list[tuple[int, int]]:
        """Give the ranges as [start, end) pairs."""
        return list(zip(self._starts, self._ends, strict=True))
