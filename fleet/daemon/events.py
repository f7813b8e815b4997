"""What happens on this node, told to whoever listens now; nothing is kept and a slow listener loses, never the node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

QUEUE = 256  # events a listener may be behind before it misses some


class Events:
    """The listeners of `/events` and `--follow`."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._listeners: set[asyncio.Queue[dict[str, Any] | None]] = set()

    def tell(self, event: str, **fields: Any) -> None:
        """Say that something happened."""
        for queue in self._listeners:
            if not queue.full():
                queue.put_nowait({"event": event, **fields})

    async def listen(self) -> AsyncIterator[dict[str, Any]]:
        """Hear of everything from now on, until the node stops."""
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(QUEUE)
        self._listeners.add(queue)
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._listeners.discard(queue)

    def close(self) -> None:
        """End all listening."""
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)
