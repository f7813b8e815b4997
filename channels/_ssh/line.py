"""What a line over SSH can do, whichever program makes it; and the clock of one piece of work on it, never a decision."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from fleet.errors import Unreachable

if TYPE_CHECKING:
    from channels._ssh.sftp import Depot

BREATH = 0.25  # seconds; how often a thread that waits for the network looks whether it shall still wait
ERRORS_KEPT = 8192  # bytes of standard error
CHUNK = 32_768


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended: `code` is None when the line broke before it said."""

    code: int | None
    out: bytes
    err: bytes


@dataclass(slots=True, eq=False)
class Job:
    """One piece of work in a thread: until when it may take, and whether anybody still wants it."""

    until: float  # time.monotonic()
    stopped: bool = False
    began: float = field(default_factory=time.monotonic)
    on_stop: Callable[[], None] = lambda: None

    def left(self) -> float:
        """Give the seconds left. Raises Unreachable when there are none, or nobody waits any more."""
        left = self.until - time.monotonic()
        if self.stopped or left <= 0:
            raise Late("no answer in time")
        return left

    def breath(self) -> float:
        """Give how long to wait before looking again. Raises Unreachable as left() does."""
        return min(BREATH, self.left())

    def stop(self) -> None:
        """Say that nobody waits any more; the thread ends within a breath."""
        self.stopped = True
        self.on_stop()


class Late(Unreachable):
    """The other side did not answer in time."""


class Stale(Unreachable):
    """The line was dead before anything was said over it."""


class Stream(Protocol):
    """Bytes to and from one command."""

    def settimeout(self, timeout: float | None, /) -> None:
        """Bound the next send or recv, which then raises TimeoutError."""

    def send(self, data: bytes, /) -> int:
        """Send some of it; says how much."""
        ...

    def recv(self, size: int, /) -> bytes:
        """Read some; nothing = the end."""
        ...

    def close(self) -> None:
        """End it."""


class Line(Protocol):
    """One way to run commands at a peer; used from threads. `depots` = the SFTP sessions on it, by command."""

    depots: dict[str, Depot]

    def alive(self) -> bool:
        """Say whether it can be used."""
        ...

    def run(self, command: str, data: bytes, limit: int, job: Job) -> Done:
        """Run a command with `data` as its input; at most `limit` bytes of output. Raises Unreachable, Late or Stale."""
        ...

    def stream(self, command: str, job: Job) -> Stream:
        """Start a command, or the sftp subsystem when it is empty, and talk to it. Raises Unreachable or Faulty."""
        ...

    def close(self) -> None:
        """End it and what runs on it."""
