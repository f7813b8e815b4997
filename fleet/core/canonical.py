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

_write = msgspec.json.Encoder(order="deterministic").encode
_defaults: dict[type, tuple[tuple[str, Any], ...]] = {}


def encode(value: Any) -> bytes:
    """Write a value as its canonical bytes.

    msgspec leaves a default out when it is the very object; one that is only equal to it is replaced by it first.
    """
    for name, default in _defaults.get(type(value), ()):
        found = getattr(value, name)
        if found is not default and found == default:
            msgspec.structs.force_setattr(value, name, default)
    return _write(value)


def reader(kind: type[T]) -> Callable[[bytes], T]:
    """Make the strict reader of one kind of value; it raises Malformed for anything but the canonical bytes."""
    decode = msgspec.json.Decoder(kind, strict=True).decode
    _defaults[kind] = _loose_defaults(kind)

    def read(data: bytes) -> T:
        try:
            value = decode(data)
            same = encode(value) == data
        except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
            raise Malformed(f"not a valid {kind.__name__.lower()}: {type(error).__name__}") from None
        if not same:
            raise Malformed(f"not the canonical form of a valid {kind.__name__.lower()}")
        return value

    return read


def _loose_defaults(kind: type) -> tuple[tuple[str, Any], ...]:
    """List the fields whose default has equals that are other objects: words, floats and structs."""
    defaults: tuple[Any, ...] = getattr(kind, "__struct_defaults__", ())
    names = getattr(kind, "__struct_fields__", ())[-len(defaults) :] if defaults else ()
    return tuple(
        (name, default)
        for name, default in zip(names, defaults, strict=True)
        if isinstance(default, float | msgspec.Struct) or (isinstance(default, str) and len(default) > 1)
    )


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
