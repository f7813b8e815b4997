"""Which process stands behind a hook: the first above it that is no shell, and whether it is still that very one."""

import os
import subprocess
import sys

from fleet.daemon import processes


def test_the_owner_of_a_hook_is_the_first_process_above_it_that_is_no_shell() -> None:

    shell = subprocess.Popen(["/bin/sh", "-c", "read word; exit 0"], stdin=subprocess.PIPE)
    try:
        pid, born = processes.owner(shell.pid)
        assert pid == os.getpid()
        assert processes.lives(pid, born)
    finally:
        shell.kill()
        shell.communicate()


def test_a_pid_that_nobody_has_owns_nothing() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert processes.owner(done.pid) == (0, 0)
    assert not processes.lives(done.pid, 0)


def test_a_pid_that_was_given_again_is_another_process() -> None:
    pid, born = processes.owner(os.getpid())
    assert pid == os.getpid()
    assert not processes.lives(pid, born - 60_000)


def test_a_process_that_ended_and_was_not_collected_does_not_live() -> None:
    child = subprocess.Popen(["sleep", "60"])
    _, born = processes.owner(child.pid)
    assert processes.lives(child.pid, born)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not processes.lives(child.pid, born)
    child.wait()
