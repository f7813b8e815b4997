"""The ways into a session that need no hook: Claude Code's socket, Codex's queue; never a peer's word in an argv."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
from pathlib import Path

import msgspec

from fleet.daemon.sessions import Line
from fleet.errors import Faulty, Unreachable

PATIENCE = 2.0  # seconds a session's socket may take to accept and take everything
TEXT_LIMIT = 256 * 1024  # bytes of one text; Claude Code takes about 1 MB
QUEUE_PATIENCE = 15.0  # seconds `codex queue` may take
ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "CODEX_HOME", "CLAUDE_CONFIG_DIR", "TMPDIR", "XDG_RUNTIME_DIR")
POINTER = "Mail for this session waits on Fleet. It comes with this turn; otherwise read it with the tool fleet_inbox."

_encode = msgspec.json.encode


async def say(line: Line, text: str, sender: str) -> None:
    """Put text into a Claude Code session over its socket.

    Raises Unreachable when nothing was written, Faulty when something may have been. There is no acknowledgement.
    """
    data = b"".join(
        _encode(row) + b"\n"
        for row in (
            {"type": "auth", "token": line.token},
            {"type": "user", "message": {"role": "user", "content": text}, "from": f"fleet:{sender}" if sender else "fleet"},
        )
    )
    if len(data) > TEXT_LIMIT:
        raise Unreachable("more than a session's socket takes")
    _check(line.path)
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_unix_connection(line.path)
    except (OSError, TimeoutError):
        raise Unreachable("the session's socket does not answer") from None
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(data)
            await writer.drain()
            writer.write_eof()
            writer.close()
            await writer.wait_closed()
    except (OSError, TimeoutError):
        raise Faulty("the session's socket broke off") from None
    finally:
        writer.close()


def _check(path: str) -> None:
    """Make sure that a path is a socket of this user. Raises Unreachable."""
    try:
        found = os.lstat(path) if Path(path).is_absolute() else None
    except (OSError, ValueError):
        found = None
    if found is None or not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.getuid():
        raise Unreachable("the session's socket is gone")


async def queue(thread: str, argv: tuple[str, ...] = ("codex",)) -> None:
    """Let Codex begin a turn in a session; our own words only, the mail comes with the turn's hook. Raises Unreachable."""
    await run([*argv, "queue", "--thread", thread, "--message", POINTER], QUEUE_PATIENCE)


async def run(argv: list[str], patience: float, most: int = 0) -> bytes:
    """Run an agent program and give at most `most` bytes of what it prints. Raises Unreachable for any failure."""
    program = shutil.which(argv[0])
    if program is None:
        raise Unreachable(f"{argv[0]} is not there")
    quiet, pipe = asyncio.subprocess.DEVNULL, asyncio.subprocess.PIPE
    environ = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    try:
        process = await asyncio.create_subprocess_exec(
            program, *argv[1:], env=environ, stdin=quiet, stdout=pipe if most else quiet, stderr=quiet, cwd="/"
        )
    except OSError:
        raise Unreachable(f"{argv[0]} cannot be started") from None
    try:
        async with asyncio.timeout(patience):
            said = await process.stdout.read(most) if process.stdout is not None else b""
            code = await process.wait()
    except TimeoutError:
        raise Unreachable(f"{argv[0]} does not end") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if code:
        raise Unreachable(f"{argv[0]}: exit {code}")
    return said
