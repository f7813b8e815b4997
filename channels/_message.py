"""How HTTP/1.1 heads are read on both sides of the http road; strict, bounded, never guesses a length."""

from __future__ import annotations

import asyncio

from fleet.core import policy
from fleet.errors import Malformed

HEAD_LIMIT = 8 * 1024  # bytes of first line and headers
FRAME_LIMIT = policy.PARCEL_LIMIT + 1024  # a parcel and its hop frame
END = b"\r\n\r\n"
GONE = (OSError, EOFError, asyncio.LimitOverrunError)  # the other side, not us; TimeoutError is an OSError


def read_head(head: bytes) -> tuple[list[bytes], dict[bytes, bytes]]:
    """Split a head into the words of its first line and its fields, names in lower case. Raises Malformed."""
    first, *lines = head[: -len(END)].split(b"\r\n")
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        name = name.lower()
        if not colon or not name or name.split() != [name] or (name in fields and name == b"content-length"):
            raise Malformed("a header line that is none")
        fields[name] = value.strip()
    return first.split(b" ", 2), fields


def body_length(fields: dict[bytes, bytes], limit: int) -> int:
    """Read the body's length. Raises Malformed unless it is there, a number and within the limit."""
    text = fields.get(b"content-length", b"")
    if b"transfer-encoding" in fields or not text.isdigit() or len(text) > 9 or int(text) > limit:
        raise Malformed("no length, or one over the limit")
    return int(text)
