"""Starts a program that must not outlive the daemon, as `python leash.py PARENT PROGRAM …`; never imports of ours.

On Linux the kernel ends the program when the daemon ends. Elsewhere this process stays between the two: it passes
signals on, and ends the program when standard input, whose other end only the daemon holds, ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> int:
    """Run `command` for as long as the process `parent` lives."""
    if sys.platform != "linux":
        return stay(command)
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == parent:  # else it ended before we asked
        os.execv(command[0], command)  # noqa: S606 - no shell is what we want
    return 1


def stay(command: list[str]) -> int:
    """Run `command` until it ends or standard input does."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda received, frame: process.send_signal(received))
    threading.Thread(target=_end_with_input, args=(process,), daemon=True).start()
    return process.wait()


def _end_with_input(process: subprocess.Popen[bytes]) -> None:
    while os.read(0, 64):
        pass
    process.terminate()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
