"""Durations, sizes and addresses as people write them; never a unit that is guessed.

Durations: "500ms", "30s", "10m", "1h30m", "7d", "2w", or a number of seconds. Sizes: "64MB" (powers of 1000), "64MiB"
(powers of 1024), or a number of bytes. Money: whole micro-dollars inside, dollars outside.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

from fleet.core.budget import MICRO
from fleet.core.budget import micro_dollars as micro_dollars  # read as a setting as it is read in a message

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h|d|w)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_BYTES = {
    "": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40,
}  # fmt: skip
_SIZE = re.compile(r"([0-9]{1,18}) ?([A-Za-z]{0,3})", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?", re.ASCII)


def duration(found: object) -> float:
    """Read a duration as seconds. Raises ValueError."""
    if isinstance(found, str):
        if _NUMBER.fullmatch(found):
            return float(found)
        if not _DURATION.fullmatch(found):
            raise ValueError("not a duration")
        return math.fsum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(found))
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < math.inf:
        raise ValueError("not a duration")
    return float(found)


def show_duration(seconds: float) -> str:
    """Write seconds so that duration() reads the same: in the largest unit that divides them."""
    if seconds == 0:
        return "0s"
    for unit in ("d", "h", "m", "s"):
        if seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds:.6f}".rstrip("0") + "s"


def size(found: object) -> int:
    """Read a size as bytes. Raises ValueError."""
    if isinstance(found, str):
        match = _SIZE.fullmatch(found)
        if not match or match[2].upper() not in _BYTES:
            raise ValueError("not a size")
        return int(match[1]) * _BYTES[match[2].upper()]
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise ValueError("not a size")
    return found


def show_size(count: int) -> str:
    """Write bytes so that size() reads the same: in the largest unit that divides them."""
    for unit in ("GiB", "MiB", "KiB"):
        if count and count % _BYTES[unit.upper()] == 0:
            return f"{count // _BYTES[unit.upper()]}{unit}"
    return f"{count}B"


def show_dollars(micro: int) -> float:
    """Give micro-dollars as dollars, for people and for TOML."""
    return float(Decimal(micro) / MICRO)


def split_address(text: str) -> tuple[str, int]:
    """Split "host:port" or "[::1]:port". Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" not in host:
            raise ValueError("not an address")
    elif ":" in host:
        raise ValueError("an IPv6 address needs brackets")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or int(port) > 65_535:
        raise ValueError("not an address")
    if not re.fullmatch(r"[A-Za-z0-9:%._-]{1,255}", host) or host.startswith(("-", ".")):
        raise ValueError("not an address")
    return host, int(port)
