"""The pause that a road reads from an answer saying `busy`: a stranger's number, never longer than we wait anyway."""

from __future__ import annotations

from fleet.core import policy


def asked_pause(text: bytes) -> float:
    """Read seconds; what is no sensible number is the usual pause."""
    try:
        value = float(text[:16])
    except ValueError:
        return policy.BUSY_RETRY
    return value if 0.0 <= value <= policy.BACKOFF_CAP else policy.BUSY_RETRY
