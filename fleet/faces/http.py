"""The verbs as JSON over HTTP, on the Unix socket and on loopback; must never serve a browser, a stranger or a secret.

Whoever opens the Unix socket is vouched for by the kernel. Whoever comes over TCP shows the token of this boot, names
this machine as Host and sends no Origin: a web page in a browser on this machine can do none of the three.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import re
import secrets
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from fleet.daemon.measures import measure
from fleet.engine.attempt import contain
from fleet.errors import FleetError
from fleet.faces import messages, metrics, parcels, verbs
from fleet.faces.reader import Reply, Request, failed, refusal

if TYPE_CHECKING:
    from fleet.daemon.service import Node

_JSON, _LINES = b"application/json", b"application/x-ndjson"
_PRIVATE_HOST = re.compile(rb"(?:[a-z0-9_-]*|127\.0\.0\.1|\[::1\])(?::\d+)?\Z").match  # no domain name, any short one
_HOST = re.compile(rb"(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?\Z").match
GETS = {
    "/inbox": "inbox", "/outbox": "outbox", "/dead": "dead", "/status": "status", "/peers": "peers",
    "/sessions": "sessions", "/stats": "stats", "/doctor": "doctor", "/explain": "explain",
}  # fmt: skip
POSTS = {"/inbox/shown": "shown", "/sessions": "session"}
BREATH = 15.0  # seconds after which a silent stream of events says that it is alive
_encode = msgspec.json.Encoder().encode


def front(token: str) -> Callable[[Request], Reply | None]:
    """Make the judge of heads; callers over TCP must show `token`."""
    wanted = b"Bearer " + token.encode("ascii")

    def judge(request: Request) -> Reply | None:
        headers = request.headers
        if b"origin" in headers:
            return refusal(403, "forbidden", "requests of web pages are not served")
        if not (_PRIVATE_HOST if request.private else _HOST)(headers.get(b"host", b"").lower()):
            return refusal(403, "forbidden", "this Host is not this machine")
        if request.method not in ("GET", "POST"):
            return refusal(405, "usage", "GET and POST only")
        free = request.private or (request.method == "GET" and request.target == b"/health")
        if not free and not hmac.compare_digest(headers.get(b"authorization", b""), wanted):
            return refusal(401, "unauthorized", "Authorization: Bearer with the token in run/token is missing or wrong")
        parcel = request.private and request.path == parcels.PATH and _kind(request) == parcels.BYTES
        if request.method == "POST" and not parcel and _kind(request) not in (_JSON, _LINES):
            return refusal(415, "usage", "Content-Type must be application/json or application/x-ndjson")
        return None

    return judge


def new_token() -> str:
    """Make the token of this boot: 256 bits."""
    return secrets.token_urlsafe(32)


def _kind(request: Request) -> bytes:
    return request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()


class Api:
    """The handler behind both doors."""

    def __init__(self, node: Node) -> None:
        """Serve one node."""
        self._node = node
        self._open = asyncio.Event()
        self._open.set()

    def close(self) -> None:
        """Let requests wait: the node starts anew."""
        self._open.clear()

    def open(self, node: Node) -> None:
        """Serve the new node, those that waited first."""
        self._node = node
        self._open.set()

    async def handle(self, request: Request) -> Reply:
        """Answer one request whose head was judged."""
        if not self._open.is_set():
            await self._open.wait()
        work = self._post(request) if request.method == "POST" else self._get(request, request.path)
        try:
            return await contain(f"api {request.path}", work, self._node.log)
        except FleetError as error:
            return failed(error)

    async def _post(self, request: Request) -> Reply:
        path = request.path
        if path == "/message":
            if _kind(request) == _LINES:
                return await messages.post_lines(self._node, request)
            return await messages.post_one(self._node, request)
        if path == parcels.PATH:
            return await parcels.post(self._node, request)
        name = POSTS.get(path) or (path[6:] if path.startswith("/verb/") else "")
        if name not in verbs.VERBS:
            return refusal(404, "not_found", f"nothing takes a POST at {path!a}")
        request.patient = verbs.VERBS[name].patient
        answer = await verbs.live(self._node, name, verbs.words_of(name, request.body))
        if name == "join":
            self.close()  # whoever asks next is answered by the node in its new fleet
        return _json(answer)

    async def _get(self, request: Request, path: str) -> Reply:
        if path == "/health":
            return Reply(body=b'{"ok":true}')
        if path == "/metrics":
            return Reply(body=metrics.text(measure(self._node)).encode(), kind=metrics.KIND)
        if path == "/events":
            request.patient = True
            return Reply(kind="text/event-stream", stream=_stream(self._node), headers=(("Cache-Control", "no-store"),))
        if path.startswith("/trace/"):
            return _json(await verbs.live(self._node, "trace", verbs.words_of_query("trace", {"id": path[7:]})))
        if path in GETS:
            return _json(await verbs.live(self._node, GETS[path], verbs.words_of_query(GETS[path], request.query)))
        if path in ("/message", *POSTS) or path.removeprefix("/verb/") in verbs.VERBS:
            return refusal(405, "usage", f"{path!a} takes a POST")
        return refusal(404, "not_found", f"nothing is served at {path!a}")


def _json(value: Any) -> Reply:
    return Reply(body=_encode(value))


async def _stream(node: Node) -> AsyncIterator[bytes]:
    """Write events as server-sent events; a comment now and then shows a caller who is gone."""
    events = node.exchange.events.listen()
    coming: asyncio.Task[dict[str, Any]] | None = None
    try:
        yield b": fleet\n\n"
        while True:
            coming = coming or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait({coming}, timeout=BREATH)
            if not done:
                yield b": still here\n\n"
                continue
            try:
                event = coming.result()
            except StopAsyncIteration:
                return
            coming = None
            yield b"data: " + _encode(event) + b"\n\n"
    finally:
        if coming is not None:
            coming.cancel()
            with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                await coming
