"""The processes behind agent sessions: which one a hook belongs to, and whether it still lives; never ends any."""

from __future__ import annotations

import os

SHELLS = frozenset(
    {"sh", "bash", "dash", "zsh", "ksh", "fish", "ash", "busybox", "env", "timeout", "nice", "nohup", "setsid"}
)  # what may stand between an agent program and its hook
STEPS = 8  # generations looked at
SAME = 1_000  # ms two readings of one process's birth may differ


def owner(pid: int) -> tuple[int, int]:
    """Find the agent program above a hook whose parent is `pid`: its pid and birth (ms); (0, 0) when it is not found."""
    import psutil  # 5 ms, once a daemon

    try:
        process = psutil.Process(pid)
        for _ in range(STEPS):
            if process.pid <= 1:
                break
            if process.name().lstrip("-") not in SHELLS:
                return (process.pid, int(process.create_time() * 1000)) if process.uids().real == os.getuid() else (0, 0)
            above = process.parent()
            if above is None:
                break
            process = above
    except (psutil.Error, OSError, ValueError):
        return 0, 0
    return 0, 0


def lives(pid: int, born: int) -> bool:
    """Say whether that very process still runs; a pid that was given again is another one."""
    import psutil

    try:
        process = psutil.Process(pid)
        return abs(int(process.create_time() * 1000) - born) <= SAME and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError, ValueError):
        return False
