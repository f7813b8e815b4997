"""Keeps a process's memory to itself: no core dump, and on Linux no look into it by the user's other programs either.

It holds keys and bodies; a core file outlives both. What it costs: a debugger has to be started as root.
"""

from __future__ import annotations

import sys

PR_SET_DUMPABLE = 4


def close_memory() -> None:
    """Allow no core file of this process and of what it will start, and no other program's look into this one."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
