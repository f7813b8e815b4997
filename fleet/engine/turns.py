"""Whose turn it is to be opened: one at a time, and the next may begin as soon as the one before says so; never a result."""

from __future__ import annotations

import asyncio


class Turn:
    """One caller's turn; it must end()."""

    __slots__ = ("_ended", "_lock")

    def __init__(self, lock: asyncio.Lock) -> None:
        """Hold the lock that was taken."""
        self._lock = lock
        self._ended = False

    def end(self) -> None:
        """Let the next one begin; saying it twice changes nothing."""
        if not self._ended:
            self._ended = True
            self._lock.release()


class Turns:
    """Gives turns in the order in which they were asked for."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._lock = asyncio.Lock()

    async def take(self) -> Turn:
        """Wait for a turn."""
        await self._lock.acquire()
        return Turn(self._lock)
