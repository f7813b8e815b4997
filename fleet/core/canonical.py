"""The one way a value is written as JSON; never accepts a second spelling of the same value.

Whatever a peer sends must equal its own canonical encoding byte for byte. That one comparison rules out duplicate keys,
white space, escapes that were not needed, NaN, integers the codec rounds, and defaults written out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from fleet.core import policy
from fleet.errors import Malformed

T = TypeVar("T")

_encoder = msgspec.json.Encoder(order="deterministic")
encode: Callable[[Any], bytes] = _encoder.encode


def reader(kind: type[T]) -> Callable[[bytes], T]:
    """Make the strict reader of one kind of value; it raises Malformed for anything but the canonical bytes."""
    decode = msgspec.json.Decoder(kind, strict=True).decode

    def read(data: bytes) -> T:
        try:
            value = decode(data)
            same = encode(value) == data
        except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
            raise Malformed(f"not a valid {kind.__name__.lower()}: {type(error).__name__}") from None
        if not same:
            raise Malformed(f"a {kind.__name__.lower()} that is not in canonical form")
        return value

    return read


def bound(value: Any, depth: int = policy.JSON_DEPTH) -> None:
    """Check a free-form value: nesting within `depth`, whole numbers within 2^53, words that are real text.

    Raises Malformed. Only bodies and contexts need it; everything else is bounded by its type.
    """
    if isinstance(value, dict | list):
        if depth == 0:
            raise Malformed(f"nested deeper than {policy.JSON_DEPTH} levels")
        for item in value.values() if isinstance(value, dict) else value:
            bound(item, depth - 1)
    elif isinstance(value, int) and not -policy.SAFE_INTEGER <= value <= policy.SAFE_INTEGER:
        raise Malformed("a whole number beyond 2^53")
