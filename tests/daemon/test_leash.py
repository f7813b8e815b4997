"""The leash: whatever the daemon starts ends with it, on systems where the kernel does that and on the others."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from fleet.daemon import leash
from tests.support.hosts import is_alive

AT_ONCE = 5.0
SLEEPER = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
STAY = "import sys; sys.path.insert(0, sys.argv.pop(1)); import leash; sys.exit(leash.stay(sys.argv[1:]))"


async def gone(pid: int) -> None:
    async with asyncio.timeout(AT_ONCE):
        while is_alive(pid):
            await asyncio.sleep(0.01)


async def held(*command: str) -> tuple[Process, int]:
    """Start something that prints the id of the program at the end of the leash."""
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    assert process.stdout is not None
    return process, int(await process.stdout.readline())


def stay(*command: str) -> list[str]:
    return [sys.executable, "-c", STAY, str(Path(leash.__file__).parent), *command]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel does it only on Linux")
async def test_the_kernel_ends_the_program_with_its_parent() -> None:
    parent = (
        f"import os, subprocess; subprocess.run([{sys.executable!r}, {leash.__file__!r}, str(os.getpid()), *{SLEEPER!r}])"
    )
    process, pid = await held(sys.executable, "-c", parent)
    process.kill()
    await process.wait()
    await gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel does it only on Linux")
async def test_a_parent_that_ended_before_starts_nothing() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, leash.__file__, "1", *SLEEPER, stdout=PIPE)
    assert (await process.communicate(), process.returncode) == ((b"", None), 1)


async def test_elsewhere_the_end_of_input_ends_the_program() -> None:
    process, pid = await held(*stay(*SLEEPER))
    assert process.stdin is not None and is_alive(pid)
    process.stdin.close()
    assert await process.wait() != 0
    await gone(pid)


async def test_elsewhere_a_signal_to_the_leash_reaches_the_program() -> None:
    process, pid = await held(*stay(*SLEEPER))
    os.kill(process.pid, signal.SIGTERM)
    await process.wait()
    await gone(pid)


async def test_elsewhere_the_leash_ends_with_the_program() -> None:
    process, pid = await held(*stay(*SLEEPER))
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(AT_ONCE):
        await process.wait()
