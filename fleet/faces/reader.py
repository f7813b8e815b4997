"""Bytes of a connection in, requests out: the sans-I/O half of the local door; must never trust a length or header."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

import httptools
import msgspec

from fleet.errors import FleetError, UsageError

HEAD_LIMIT = 8 * 1024  # bytes of request line and headers
BODY_LIMIT = 16 * 1024 * 1024  # bytes; 64 messages of the default size limit in one request
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Request:
    """One request as it came in. `private` = over the Unix socket, where the kernel vouches for the user."""

    method: str
    target: bytes
    headers: dict[bytes, bytes]
    private: bool
    body: bytes = b""
    last: bool = False  # the caller wants no other answer on this connection
    patient: bool = False  # its handler only waits now and may be cancelled when the caller hangs up

    @property
    def path(self) -> str:
        """The target without its query."""
        return unquote(self.target.partition(b"?")[0].decode("ascii", "replace"))

    @property
    def query(self) -> dict[str, str]:
        """The words of the query, the last of each name. Raises UsageError."""
        words = self.target.partition(b"?")[2].decode("ascii", "replace")
        try:
            return dict(parse_qsl(words, keep_blank_values=True, max_num_fields=32))
        except ValueError as error:
            raise UsageError(f"not a query: {error}") from None


@dataclass(slots=True)
class Reply:
    """What goes back; a stream is sent as it comes and ends the connection."""

    status: int = 200
    body: bytes = b""
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    stream: AsyncIterator[bytes] | None = None


Front = Callable[[Request], Reply | None]  # judges a request by its head, before its body is kept


def refusal(status: int, code: str, message: str, *, hint: str = "", retry_after: float = 0.0) -> Reply:
    """Build the answer to a request that is not served."""
    body = {"error": {"code": code, "message": message, "hint": hint, "retryable": retry_after > 0}}
    later = (("Retry-After", f"{max(1, round(retry_after))}"),) if retry_after else ()
    return Reply(status, _encode(body), headers=later)


STATUS_OF = {
    "usage": 400, "unknown_type": 400, "too_large": 413, "not_found": 404, "unknown_peer": 404, "refused": 403,
    "join_refused": 403, "conflict": 409, "no_daemon": 503, "disk_full": 503, "busy": 503,
}  # fmt: skip


def error_of(error: FleetError) -> dict[str, Any]:
    """Put an error into the shape that every face gives."""
    return {"error": {"code": error.code, "message": error.message, "hint": error.hint, "retryable": error.retryable}}


def failed(error: FleetError) -> Reply:
    """Build the answer to a request that raised one of the house's errors."""
    headers = (("Fleet-Exit", str(error.exit_code)),)
    return Reply(STATUS_OF.get(error.code, 500), _encode(error_of(error)), headers=headers)


class Reader:
    """One connection's parser; feed() gives what is complete, a refusal is always the last it gives."""

    def __init__(self, front: Front, private: bool) -> None:
        """Judge heads with `front`."""
        self._front = front
        self._private = private
        self._parser = httptools.HttpRequestParser(self)
        self._found: list[Request | Reply] = []
        self._refusal: Reply | None = None
        self._start()
        self.open = False  # a request has begun and is not complete

    def feed(self, data: bytes) -> list[Request | Reply]:
        """Take bytes; give the requests they complete, and at most one refusal after which nothing counts."""
        self._found = []
        if self._refusal is not None:
            return []
        self._head += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(refusal(400, "usage", "no other protocol is spoken here"))
        except httptools.HttpParserError:
            self._refuse(refusal(400, "usage", "this is not HTTP/1.1"))
        if self.open and not self._headed and self._head > HEAD_LIMIT:
            self._refuse(refusal(431, "too_large", f"headers of more than {HEAD_LIMIT} bytes"))
        if self._refusal is not None:
            self._found.append(self._refusal)
        return self._found

    def _refuse(self, reply: Reply) -> None:
        if self._refusal is None:
            self._refusal = reply

    def _start(self) -> None:
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._size = 0  # of what is kept: headers, then body
        self._head = 0  # bytes fed since the last request was complete
        self._headed = False

    def on_message_begin(self) -> None:
        """Start a request."""
        head = self._head
        self._start()
        self._head = head
        self.open = True

    def on_url(self, url: bytes) -> None:
        """Collect the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes | None) -> None:
        """Keep a header; one that comes twice is joined, so that it matches nothing."""
        name, value = name.lower(), value or b""
        self._size += len(name) + len(value) + 4
        if self._size > HEAD_LIMIT:
            self._refuse(refusal(431, "too_large", f"headers of more than {HEAD_LIMIT} bytes"))
            return
        had = self._headers.get(name)
        self._headers[name] = value if had is None else had + b", " + value

    def on_headers_complete(self) -> None:
        """Judge the head before a byte of the body is kept."""
        self._headed = True
        self._size = 0
        method = self._parser.get_method().decode("ascii", "replace")
        last = not self._parser.should_keep_alive()
        self._request = Request(method, self._target, self._headers, self._private, last=last)
        if len(self._target) > HEAD_LIMIT:
            self._refuse(refusal(431, "too_large", f"headers of more than {HEAD_LIMIT} bytes"))
        elif b"upgrade" in self._headers:
            self._refuse(refusal(400, "usage", "no other protocol is spoken here"))
        elif (turned_down := self._front(self._request)) is not None:
            self._refuse(turned_down)
        elif int(self._headers.get(b"content-length", b"0")) > BODY_LIMIT:
            self._too_large()

    def on_body(self, body: bytes) -> None:
        """Collect the body within its limit."""
        self._size += len(body)
        if self._size > BODY_LIMIT:
            self._too_large()
        elif self._refusal is None:
            self._parts.append(body)

    def _too_large(self) -> None:
        self._refuse(refusal(413, "too_large", f"a body of more than {BODY_LIMIT} bytes"))

    def on_message_complete(self) -> None:
        """Hand the request over."""
        self.open = False
        if self._refusal is None:
            self._request.body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._found.append(self._request)
        self._start()
