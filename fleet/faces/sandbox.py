"""Nodes of our own for the benchmark and the demo, as child processes in one directory; must never outlive its block.

Each is the daemon a user has, with a FLEET_HOME of its own, spoken to through `fleet` and the local API. On Linux the
kernel ends the daemons when this process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from fleet.daemon import leash
from fleet.errors import FleetError, NoDaemon, SettingsError
from fleet.faces.caller import Caller, Told
from fleet.faces.local import PATH_LIMIT

STARTING = 15.0  # seconds a daemon may take until it answers
STOPPING = 10.0  # …and to end before it is killed
ASKING = 30.0  # seconds one command may take
LOOK = 0.02
SOCKET = "/run/fleet.sock"
Talk = Callable[[str], None]


class Guard:
    """Turns a signal into KeyboardInterrupt, once, and never between the start of a child and its being known."""

    def __init__(self) -> None:
        self.armed = False
        self.children: list[subprocess.Popen[bytes]] = []
        self._starting = self._asked = False
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        """Take the signals over."""
        self.armed = True
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._heard)

    def remove(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def spawn(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a child that is killed in the end, whatever happens."""
        self._starting = True
        process = subprocess.Popen(command, **options)
        self.children.append(process)
        self._starting = False
        self._raise_if_asked()
        return process

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        if not self._starting:
            self._raise_if_asked()

    def _raise_if_asked(self) -> None:
        if self._asked and self.armed:
            self.armed = False
            raise KeyboardInterrupt


class Member:
    """One node in the sandbox: its directory, its daemon, and the ways to speak to it."""

    def __init__(self, name: str, home: Path, guard: Guard) -> None:
        """Name the node; nothing is made yet."""
        self.name = name
        self.home = home
        self._guard = guard
        kept = {key: value for key, value in os.environ.items() if not key.startswith("FLEET_")}
        self.environ = {
            **kept, "FLEET_HOME": str(home), "FLEET_API": "off", "FLEET_NODE_BIND": f"127.0.0.1:{free_port()}"
        }  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        """Where its local API answers."""
        return f"{self.home}{SOCKET}"

    def fleet(self, *words: str) -> Any:
        """Run one `fleet` command and give the value it prints. Raises the error that it printed, or FleetError."""
        command = [sys.executable, "-I", "-m", "fleet.faces.cli", *words, "--json"]
        pipe = subprocess.PIPE
        process = self._guard.spawn(command, env=self.environ, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
        try:
            out, err = process.communicate(timeout=ASKING)
        except subprocess.TimeoutExpired:
            raise FleetError(f"fleet {words[0]} on {self.name}: no answer within {ASKING:.0f} s") from None
        finally:
            end(process)
        try:
            value = json.loads(out)
        except ValueError:
            last_words = err.decode("utf-8", "replace").strip().splitlines()[-3:]
            raise FleetError(f"fleet {words[0]} on {self.name}: {' '.join(last_words)}") from None
        if isinstance(value, dict) and "error" in value:
            raise Told(value["error"])
        return value

    def ask(self, verb: str, **words: Any) -> Any:
        """Ask the daemon over its local API. Raises the error that was told, or NoDaemon."""
        call = Caller(self.environ)
        try:
            return call.daemon(verb, **words)
        finally:
            call.client.close()

    def start(self) -> None:
        """Start the daemon and wait until it answers. Raises FleetError with what it said last."""
        command = [sys.executable, "-I", "-S", str(leash.__file__), str(os.getpid())]
        command += [sys.executable, "-I", "-m", "fleet.faces.serve"]
        with (self.home / "fleetd.out").open("ab") as out:
            self.process = self._guard.spawn(
                command, env=self.environ, stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True
            )
        deadline = time.monotonic() + STARTING
        while not self.alive():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise FleetError(f"the daemon of {self.name} does not come up: {self.last_words()}")
            time.sleep(LOOK)

    def alive(self) -> bool:
        """Whether its daemon answers."""
        try:
            self.ask("here")
        except NoDaemon:
            return False
        return True

    def last_words(self) -> str:
        """Give the last lines of its log."""
        with contextlib.suppress(OSError):
            lines = (self.home / "fleetd.out").read_bytes()[-2048:].decode("utf-8", "replace").splitlines()
            return " · ".join(lines[-3:])
        return "it said nothing"

    def kill(self) -> None:
        """End the daemon as a power cut would, without a word."""
        if self.process is not None:
            os.kill(int(self.ask("here")["pid"]), signal.SIGKILL)
            end(self.process)

    def stop(self) -> None:
        """End the daemon; kill it when it does not go."""
        if self.process is None:
            return
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOPPING)
        end(self.process)
        self.process = None


class Sandbox:
    """A directory, the nodes in it and what else was started; all of it is gone after the `with` block."""

    def __init__(self, parent: Path, prefix: str) -> None:
        """Take the directory under which the sandbox is made."""
        self._parent = parent
        self._prefix = prefix
        self.members: dict[str, Member] = {}
        self._guard = Guard()

    def __enter__(self) -> Sandbox:
        """Make the directory; from here on a signal leads to the end of the block."""
        self._guard.install()
        self.home = Path(tempfile.mkdtemp(prefix=self._prefix, dir=self._parent))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End everything that was started and remove the directory; no signal interrupts this."""
        self._guard.armed = False
        for member in self.members.values():
            if member.process is not None:
                member.process.terminate()
        for member in self.members.values():
            member.stop()
        for process in self._guard.children:
            end(process)
        shutil.rmtree(self.home, ignore_errors=True)
        self._guard.remove()

    def member(self, name: str) -> Member:
        """Name a new node. Raises SettingsError when its socket would have too long a path."""
        member = Member(name, self.home / name, self._guard)
        if len(os.fsencode(member.socket)) > PATH_LIMIT:
            raise SettingsError(f"{self._parent} is too long a path for a Unix socket", hint="cd to a shorter directory")
        member.home.mkdir(mode=0o700)
        self.members[name] = member
        return member

    def run(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start another program that ends with the sandbox."""
        leashed = [sys.executable, "-I", "-S", str(leash.__file__), str(os.getpid()), *command]
        nothing = subprocess.DEVNULL
        return self._guard.spawn(leashed, stdin=subprocess.PIPE, stdout=nothing, stderr=nothing, start_new_session=True)

    def fleet_of(self, names: Sequence[str], environ: Mapping[str, str], talk: Talk) -> list[Member]:
        """Make a fleet as its users would: init on the first node, invite there, join on the others; all run then.

        `environ` holds FLEET_* settings of the first node; the others learn from it.
        """
        first, *others = (self.member(name) for name in names)
        first.environ.update(environ)
        talk(f"{first.name}: fleet init, fleet up")
        first.fleet("init", "--node", first.name, "--fleet", "sandbox")
        first.start()
        for member in others:
            talk(f"{member.name}: fleet join, fleet up")
            member.fleet("join", str(first.fleet("invite")["link"]), "--node", member.name)
            member.start()
        return [first, *others]


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process unless it has ended, and let go of it."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def free_port() -> int:
    """Find a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(member: Member, peer: str, channel: str) -> bool:
    """Whether a peer answers a node's ping on one road."""
    return bool(member.ask("ping", peer=peer, channel=channel)["ok"])


def wait_until(true: Callable[[], bool], seconds: float, what: str) -> None:
    """Look again and again. Raises FleetError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise FleetError(f"{what}: not within {seconds:.0f} s")
        time.sleep(LOOK)


def mounts() -> Iterator[tuple[str, str]]:
    """List (mount point, file system) of this machine."""
    import psutil

    for partition in psutil.disk_partitions(all=True):
        yield partition.mountpoint, partition.fstype
