"""Real hosts for tests: servers started on free ports and ended with the test; must never leave a process behind.

async with NatsServer(tmp_path) as server:
    server.url; server.kill(); await server.start(); server.pause(); server.resume()
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from fleet.daemon.nats_program import find_program

PATIENCE = 10.0  # what a server may take to come up on a busy machine


@contextlib.contextmanager
def taken_port(host: str = "127.0.0.1") -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server((host, 0)) as server:
        yield server.getsockname()[1]


def is_alive(pid: int) -> bool:
    """Whether a process of this id runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


class NatsServer:
    """A real nats-server; it keeps its port over kill() and start()."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.port = -1  # the server chooses one, so that tests in parallel never want the same
        self._directory = directory
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it and wait until it listens."""
        self._spawn(await find_program())
        async with asyncio.timeout(PATIENCE):
            while not self._has_announced():
                await asyncio.sleep(0.01)

    def _spawn(self, program: Path) -> None:
        path = self._directory / "nats.conf"
        settings = {"host": "127.0.0.1", "port": self.port, "ports_file_dir": str(self._directory), **self._settings}
        path.write_text(json.dumps(settings))
        self._process = subprocess.Popen([program, "-c", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _has_announced(self) -> bool:
        assert self._process is not None and self._process.poll() is None, "nats-server ended at once"
        with contextlib.suppress(FileNotFoundError, ValueError):
            words = json.loads((self._directory / f"nats-server_{self._process.pid}.ports").read_text())
            self.port = int(words["nats"][0].rpartition(":")[2])
            return True
        return False

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Let it stop answering while its sockets stay open: a black hole."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)  # every thread stands when this returns

    def resume(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.kill()
