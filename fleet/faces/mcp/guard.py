"""Who may speak to the tools over HTTP: whoever has the token of run/token; never a browser, never a stranger."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from fleet.core import policy

_HOST = re.compile(rb"(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?\Z").match
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class Guard:
    """Judges each request by its head before the server behind it sees anything."""

    def __init__(self, app: App, token: Path) -> None:
        """Stand before `app`; the token is read anew each time, because every start of the daemon makes another."""
        self._app = app
        self._token = token

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            status, reason = self._refusal(scope)
            if status:
                await _say(send, status, reason)
            else:
                await self._app(scope, _hurried(receive), send)

    def _refusal(self, scope: MutableMapping[str, Any]) -> tuple[int, str]:
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            headers[name] = headers[name] + b", " + value if name in headers else value
        if b"origin" in headers:
            return 403, "requests of web pages are not served"
        if not _HOST(headers.get(b"host", b"").lower()):
            return 403, "this Host is not this machine"
        wanted = self._wanted()
        if wanted is None:
            return 503, "there is no run/token: fleet up --detach, with [api] listen not off"
        if not hmac.compare_digest(headers.get(b"authorization", b""), wanted):
            return 401, "Authorization: Bearer with the token in run/token is missing or wrong"
        return 0, ""

    def _wanted(self) -> bytes | None:
        try:
            token = self._token.read_bytes().strip()
        except OSError:
            return None
        return b"Bearer " + token if token else None


def _hurried(receive: Receive) -> Receive:
    """Give a caller a while for its whole body; one that trickles is taken to have gone."""
    until = asyncio.get_running_loop().time() + policy.REQUEST_DEADLINE
    whole = False

    async def hurried() -> Message:
        nonlocal whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            message = {"type": "http.disconnect"}
        whole = not message.get("more_body", False)
        return message

    return hurried


async def _say(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"error": {"code": "forbidden", "message": reason, "hint": "", "retryable": status == 503}}).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
