"""Supervises an embedded nats-server, so that one machine serves the fleet; never a broker anybody may just connect to.

Its users are the members' nkeys (fleet/daemon/admission.py). A new member enters by SIGHUP, which leaves the others alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleet.daemon import admission, leash
from fleet.daemon.admission import User
from fleet.daemon.nats_program import find_program
from fleet.errors import StoreError, Unreachable
from fleet.store.files import atomic_write, make_private

DEFAULT_PORT = 4222
PORTS_TRIED = 64
SETTINGS = {
    "max_payload": 1 << 20,  # a parcel and its hop frame
    "ping_interval": "10s",
    "ping_max": 2,
    "write_deadline": "2s",  # who does not read for so long is cut off
    "log_size_limit": 1 << 20,  # bytes; one older file is kept beside it
    "logfile_max_num": 2,
}
READY_TIMEOUT = 10.0
GREETING_POLL = 0.02
GREETING_TIMEOUT = 2.0  # a server that lives greets within milliseconds, on a loaded machine within one second
STOP_TIMEOUT = 3.0
RESTART_WAITS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)  # after the first death at once, then slower and slower
STEADY = 30.0  # seconds of life after which a death counts as the first again


@dataclass(frozen=True, slots=True)
class Place:
    """Where the broker lives and listens; `fixed`: this port or none.

    `house` is the node that runs it, `store` the bytes its mailboxes may take; without a store it has none.
    """

    directory: Path
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    fixed: bool = False
    house: str = ""
    store: int = 0


class Broker:
    """One nats-server as a child of the daemon."""

    def __init__(
        self, fleet: str, place: Place, users: Sequence[User], program: str = "", log: Callable[..., None] | None = None
    ) -> None:
        """Take the fleet's id, the users to begin with and, if somebody chose one, the server's path."""
        self.port = place.port
        self._fleet = fleet
        self._place = place
        self._program = program
        self._log = log or (lambda event, **words: None)
        self._users = self._admitted((), users)
        self._name = ""
        self._last_words = "it has said nothing"
        self._settled = place.fixed or self._recall()
        self._process: Process | None = None
        self._answers = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def settled(self) -> bool:
        """Tell whether members know the port: then no other will do, even if it must be waited for."""
        return self._settled

    @property
    def url(self) -> str:
        """Tell where clients of this machine connect."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(self._place.host, self._place.host)
        return f"nats://{host}:{self.port}"

    @property
    def pid(self) -> int | None:
        """Tell the server's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def open(self) -> None:
        """Find the server and start it; ready() tells when it answers. Raises SettingsError when there is none."""
        program = await find_program(self._program)
        make_private(self._place.directory)
        self._name = self._own_name()
        self._supervisor = asyncio.create_task(self._supervise(program), name="broker")

    def _own_name(self) -> str:
        """Give the server's name, the same in every life: by it a cluster knows its members."""
        path = self._place.directory / "name"
        with contextlib.suppress(OSError, ValueError):
            return f"fleet-{bytes.fromhex(path.read_text('ascii')).hex()}"
        name = secrets.token_hex(8)
        atomic_write(path, name.encode())
        return f"fleet-{name}"

    async def ready(self, timeout: float = READY_TIMEOUT) -> None:
        """Wait until the server answers. Raises Unreachable with its last words."""
        try:
            async with asyncio.timeout(timeout):
                await self._answers.wait()
        except TimeoutError:
            raise Unreachable(
                f"the broker did not answer within {timeout:g} s: {self._words() or self._last_words}"
            ) from None

    async def set_users(self, users: Sequence[User]) -> None:
        """Let these members in and no others; who is gone is cut off, the rest notice nothing. Raises StoreError."""
        before, self._users = self._users, self._admitted(self._users, users)
        if self._users == before:
            return
        try:
            self._write()
        except StoreError:
            self._users = before  # the next call tries again
            raise
        if self._answers.is_set() and self._process is not None:  # a young one is told when it answers
            self._process.send_signal(signal.SIGHUP)

    async def alive(self, timeout: float = GREETING_TIMEOUT) -> bool:
        """Say whether the server greets whoever comes, within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                return await self._greets()
        except TimeoutError:
            return False

    async def restart(self, timeout: float = READY_TIMEOUT) -> None:
        """End the server, also one that hangs, and wait for its successor. Raises Unreachable."""
        process = self._process
        if process is not None and process.returncode is None:
            self._answers.clear()
            await _stop(process)
        await self.ready(timeout)

    async def close(self) -> None:
        """Stop the server; it is killed when it does not go."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.cancel()
            await asyncio.gather(supervisor, return_exceptions=True)

    def _admitted(self, before: Sequence[User], users: Sequence[User]) -> tuple[User, ...]:
        admitted, refused = admission.admit(before, users)
        for node in refused:
            self._log("broker user refused", peer=node)
        return admitted

    # --- the child ----------------------------------------------------------------------------------------------------

    async def _supervise(self, program: Path) -> None:
        deaths = 0
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            try:
                code = await self._live(program)
            except (OSError, StoreError) as error:
                self._log("broker not started", error=type(error).__name__)
                code = None
            deaths = 0 if clock() - began > STEADY else deaths
            pause = RESTART_WAITS[min(deaths, len(RESTART_WAITS) - 1)]
            self._last_words = self._words() or self._last_words
            self._log("broker ended", code=code, pause=pause, reason=self._last_words)
            deaths += 1
            await asyncio.sleep(pause)

    async def _live(self, program: Path) -> int:
        if not self._settled:
            self.port = _free_port(self._place.host, self._place.port)
        self._write()
        users = self._users
        command = [str(program), "-c", str(self._place.directory / "broker.conf")]
        with (self._place.directory / "broker.err").open("wb") as words:
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", str(leash.__file__), str(os.getpid()), *command,
                stdin=PIPE, stdout=words, stderr=words,
            )  # fmt: skip
        watch = asyncio.create_task(self._await_greeting(process, users))
        try:
            return await process.wait()
        finally:
            watch.cancel()
            self._answers.clear()
            if process.returncode is None:
                await asyncio.shield(_stop(process))

    async def _await_greeting(self, process: Process, users: tuple[User, ...]) -> None:
        while not await self._greets():  # noqa: ASYNC110 - another process has no event to wait for
            await asyncio.sleep(GREETING_POLL)
        self._settle()
        self._answers.set()
        if self._users != users:
            process.send_signal(signal.SIGHUP)

    def _settle(self) -> None:
        """Keep the port for good: members learn the address from now on."""
        if not self._settled:
            self._settled = True
            with contextlib.suppress(StoreError):  # a full disk must not keep the node from starting
                atomic_write(self._place.directory / "port", f"{self._place.port} {self.port}\n".encode())

    def _recall(self) -> bool:
        """Take the port of earlier lives, unless the operator has chosen another since; says whether there is one."""
        with contextlib.suppress(OSError, ValueError):
            wanted, port = map(int, (self._place.directory / "port").read_text("ascii").split())
            if wanted == self._place.port:
                self.port = port
                return True
        return False

    async def _greets(self) -> bool:
        """Say whether our own server answers; another one on this port has another name."""
        host = self.url.removeprefix("nats://").rpartition(":")[0].strip("[]")
        try:
            reader, writer = await asyncio.open_connection(host, self.port)
        except OSError:
            return False
        try:
            greeting = await reader.readuntil(b"\r\n")
            return bool(json.loads(greeting.removeprefix(b"INFO "))["server_name"] == self._name)
        except (OSError, EOFError, ValueError, LookupError, TypeError, asyncio.LimitOverrunError):
            return False
        finally:
            writer.transport.abort()

    def _words(self) -> str:
        for name in ("broker.err", "broker.log"):
            with contextlib.suppress(OSError):
                lines = (self._place.directory / name).read_bytes()[-4096:].decode("utf-8", "replace").splitlines()
                if lines:
                    return lines[-1][:300]
        return ""

    def _write(self) -> None:
        settings = {
            "server_name": self._name,
            "host": self._place.host or "0.0.0.0",
            "port": self.port,
            "log_file": str(self._place.directory / "broker.log"),
            "authorization": admission.authorization(self._fleet, self._users, self._place.house),
            **SETTINGS,
            **self._mailboxes(),
        }
        atomic_write(self._place.directory / "broker.conf", json.dumps(settings, indent=1).encode())

    def _mailboxes(self) -> dict[str, object]:
        """Let mailboxes lie on this disk; what was acknowledged was synced, so custody outlives a power cut."""
        if not self._place.store:
            return {}
        return {
            "jetstream": {
                "store_dir": str(self._place.directory / "mailboxes"), "sync_interval": "always",
                "max_file_store": self._place.store, "max_memory_store": 0,
            }
        }  # fmt: skip


async def _stop(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _free_port(host: str, first: int) -> int:
    for port in range(first, first + PORTS_TRIED):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return port
    return first  # the server itself then says why not
