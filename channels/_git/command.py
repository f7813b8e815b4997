"""Runs git as a program: a clean environment, no shell, a deadline, caps on all it may say or store; trusts no output.

Nothing of the daemon's environment reaches git but what NEEDED names: no GIT_*, no user's configuration, no .netrc, no
SSH configuration. What git says on stderr is matched, never repeated: it may hold a peer's words or a password.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleet.errors import Faulty, Malformed, RoadError, Unreachable

NEEDED = ("PATH", "SSH_AUTH_SOCK", "TMPDIR", "USER", "LOGNAME")
OUTPUT_LIMIT = 1 << 20  # bytes of stdout unless a caller allows more
STDERR_LIMIT = 64 * 1024
MEMORY_LIMIT = 1 << 30  # bytes of address space: a pack may hold an object that unfolds without end
LOOK = 0.1  # seconds between two looks at what a fetch has stored
GRACE = 1.0  # seconds between asking git to end, so that it ends what it started, and ending it
PIPE_TURNS = 3  # of the loop, until a pipe of an ended process is closed

_NO_ENTRY = Faulty("the git remote does not let us in", hint="channel.git.identity, channel.git.credentials")
_NOTHING_THERE = Faulty("there is no repository at the git remote")
_OTHER_KEY = Faulty("the git host's key or certificate is not the known one", security=True)
_NO_ROOM = Unreachable("no room is left for the git mailbox", unsent=True)
REASONS: tuple[tuple[re.Pattern[str], RoadError], ...] = (
    (re.compile("host key verification failed|host identification has changed|certificate (problem|veri)"), _OTHER_KEY),
    (re.compile("permission denied|authentication failed|could not read (username|password)|prompts disabled"), _NO_ENTRY),
    (re.compile("access denied|unauthorized|invalid credentials|returned error: 40[13]|not have permission"), _NO_ENTRY),
    (re.compile("repository ('[^']*' )?not found|not appear to be a git repo|returned error: 404"), _NOTHING_THERE),
    (re.compile("dubious ownership"), Faulty("the repository at the git remote belongs to another user")),
    (re.compile("transport .* not allowed"), Faulty("git may not use this kind of remote")),
    (re.compile("no space left|disk quota"), _NO_ROOM),
    (re.compile("could not resolve host|name or service not known"),
     Unreachable("the git host's name is not known", unsent=True)),
    (re.compile("connection refused"), Unreachable("the git host refuses the connection", unsent=True)),
    (re.compile("timed out"), Unreachable("the git host does not answer")),
    (re.compile("unable to access|could not read from remote|hung up|connection (reset|closed)|early eof|broken pipe"),
     Unreachable("the connection to the git remote broke off")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Done:
    """What a run of git came to."""

    code: int
    out: bytes
    err: str

    def why(self) -> RoadError:
        """Say in our own words why it failed."""
        return self.known() or Unreachable(f"git ended with {self.code}")

    def known(self) -> RoadError | None:
        """Say why it failed if that is one of the reasons we know; what the remote's own programs said is passed over."""
        lines = [line for line in self.err.lower().splitlines() if not line.startswith("remote:")]
        text = "\n".join(lines)
        return next((_copy(error) for pattern, error in REASONS if pattern.search(text)), None)


def _copy(error: RoadError) -> RoadError:
    """Make an error of its own: a raised one carries its traceback."""
    if isinstance(error, Faulty):
        return Faulty(error.message, security=error.security, hint=error.hint)
    return Unreachable(error.message, hint=error.hint, unsent=getattr(error, "unsent", False))


def environment(given: Mapping[str, str], home: Path, protocols: str) -> dict[str, str]:
    """Give git its whole environment: what it needs of ours, and what keeps it from everything else."""
    return {
        **{name: given[name] for name in NEEDED if name in given},
        "HOME": str(home),
        "LANG": "C",
        "LC_ALL": "C",
        "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_ASKPASS": "",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "SSH_ASKPASS": "",
    }


class Command:
    """Git in one bare repository."""

    def __init__(self, directory: Path, protocols: str) -> None:
        """Take the repository and the protocols its remote may speak."""
        self._directory = directory
        self._environ = environment(os.environ, directory, protocols)

    async def run(
        self, *words: str, timeout: float, stdin: bytes = b"", limit: int = OUTPUT_LIMIT,
        excess: Callable[[], bool] | None = None,
    ) -> Done:  # fmt: skip
        """Run git and give what it said.

        Raises Malformed when it says more than `limit` bytes or `excess` says that it stores too much, Unreachable when
        it does not end within `timeout` seconds, Faulty when there is no git.
        """
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                "git", f"--git-dir={self._directory}", *words, cwd=self._directory, env=self._environ,
                stdin=pipe if stdin else asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe,
            )  # fmt: skip
        except FileNotFoundError:
            raise Faulty("git is not installed, or its directory is gone", hint="apt-get install git") from None
        try:
            bound(process.pid)
            async with asyncio.timeout(timeout):
                return await _talk(process, stdin, limit, excess)
        except TimeoutError:
            raise Unreachable(f"git did not end within {timeout:g} s") from None
        finally:
            await _end(process)


def bound(pid: int) -> None:
    """Bound the memory of git and of all it will start, where the system can."""
    if sys.platform == "linux":
        import resource

        with contextlib.suppress(ProcessLookupError):  # it has ended already
            resource.prlimit(pid, resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))


async def _talk(process: asyncio.subprocess.Process, stdin: bytes, limit: int, excess: Callable[[], bool] | None) -> Done:
    assert process.stdout and process.stderr
    talk = asyncio.gather(_feed(process.stdin, stdin), _read(process.stdout, limit), _tail(process.stderr), process.wait())
    try:
        while not (await asyncio.wait({talk}, timeout=LOOK if excess else None))[0]:
            if excess and excess():
                raise Malformed("the git remote sends more than a mailbox may hold")
        _, out, err, code = talk.result()
        return Done(code, out, err)
    finally:
        talk.cancel()
        with contextlib.suppress(asyncio.CancelledError, Malformed):
            await talk


async def _feed(pipe: asyncio.StreamWriter | None, data: bytes) -> None:
    if pipe is not None:
        with contextlib.suppress(ConnectionError, RuntimeError):  # it ended without reading; uvloop's word is RuntimeError
            pipe.write(data)
            await pipe.drain()
        pipe.close()


async def _read(pipe: asyncio.StreamReader, limit: int) -> bytes:
    parts = []
    while part := await pipe.read(1 << 16):
        limit -= len(part)
        if limit < 0:
            raise Malformed("git says more than is asked of it")
        parts.append(part)
    return b"".join(parts)


async def _tail(pipe: asyncio.StreamReader) -> str:
    kept = b""
    while part := await pipe.read(1 << 16):
        kept = (kept + part)[-STDERR_LIMIT:]
    return kept.decode("utf-8", "replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    """End what still runs; asked first, git ends what it started. Its pipes get the turns of the loop to close in."""
    for signal in (process.terminate, process.kill):
        if process.returncode is not None:
            break
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            signal()
            async with asyncio.timeout(GRACE):
                await process.wait()
    for _ in range(PIPE_TURNS):
        await asyncio.sleep(0)


def words_of(out: bytes) -> Sequence[str]:
    """Split what git printed into lines, whatever bytes they hold."""
    return out.decode("utf-8", "replace").split("\n")
