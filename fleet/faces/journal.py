"""The daemon's log: one line of JSON an event, of the fields that were named; must never hold a body or a key."""

from __future__ import annotations

import sys
import time
from typing import Any

import msgspec

FIELDS = frozenset(
    {
        "node", "peer", "channel", "road", "roads", "id", "pid", "state", "old", "new", "size", "ms", "code", "reason",
        "count", "part", "free", "pause", "listen", "name", "error", "level", "port", "url", "address", "line", "kind",
        "path", "source",
    }
)  # fmt: skip
_LONGEST = 400  # characters of one field
_encode = msgspec.json.Encoder(enc_hook=str).encode


def line(event: str, **fields: Any) -> None:
    """Write one event; fields that are not on the list leave only their name."""
    kept = {name: _short(value) for name, value in fields.items() if name in FIELDS}
    left_out = sorted(set(fields) - FIELDS)
    entry = {"at": time.time_ns() // 1_000_000, "event": event, **kept, **({"left_out": left_out} if left_out else {})}
    sys.stderr.write(_encode(entry).decode() + "\n")
    sys.stderr.flush()


def _short(value: Any) -> Any:
    return value[:_LONGEST] if isinstance(value, str) else value
