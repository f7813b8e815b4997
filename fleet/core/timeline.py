"""Time that no wall clock can push: what budget windows, threats and suspensions are measured by; reads no clock itself.

While the machine runs, the clock that goes on in sleep counts. After a boot the wall clock is asked again, but the time
never falls behind what was kept: setting a clock forward or back resets no window.
"""

from __future__ import annotations

import msgspec


class Mark(msgspec.Struct, frozen=True, gc=False):
    """One reading that was kept."""

    boot: str  # which run of the machine; "" = it does not say
    steady: float  # seconds, of a clock that never goes back within one run
    time: int  # ms; begins as the wall clock's time


def reckon(last: Mark | None, boot: str, steady: float, wall: int) -> Mark:
    """Say what time it is, `last` being the latest mark that was kept; `steady` in seconds, `wall` in ms."""
    if last is None:
        return Mark(boot, steady, wall)
    if last.boot == boot and steady >= last.steady:
        return Mark(boot, steady, last.time + round((steady - last.steady) * 1000))
    return Mark(boot, steady, max(last.time, wall))
