"""Time and dice as arguments, so that a simulated day and a real one run the same code; never anything else."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fleet.core.envelope import make_id


@dataclass(frozen=True, slots=True)
class World:
    """The clocks and the dice of one node."""

    now: Callable[[], int]  # wall clock, ms since the epoch
    steady: Callable[[], float]  # seconds, never goes back
    dice: Callable[[int], bytes]  # n random bytes for keys, ids, nonces
    chance: Callable[[], float]  # uniform in [0, 1) for jitter
    boottime: Callable[[], float] | None = None  # like steady, but runs on while the machine sleeps; None = steady does
    boot: str = ""  # which run of the machine; "" = it does not say

    def through_sleep(self) -> float:
        """Give the seconds of a clock that runs on in sleep."""
        return (self.boottime or self.steady)()

    def new_id(self) -> str:
        """Make a fresh UUIDv7 as 32 hex digits."""
        return make_id(self.now(), self.dice(10))


def real_world() -> World:
    """Give the machine's clocks and the kernel's dice."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS: CLOCK_MONOTONIC is the one that runs on
    return World(
        lambda: time.time_ns() // 1_000_000, time.monotonic, os.urandom, random.random, lambda: time.clock_gettime(clock),
        _boot(),
    )  # fmt: skip


def _boot() -> str:
    """Name this run of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
