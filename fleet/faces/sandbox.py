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


class Member:
    """One node in the sandbox: its directory, its daemon, and the ways to speak to it."""

    def __init__(self, name: str, home: Path) -> None:
        """Name the node; nothing is made yet."""
        self.name = name
        self.home = home
        kept = {key: value for key, value in os.environ.items() if not key.startswith("FLEET_")}
        self.environ = {**kept, "FLEET_HOME": str(home), "FLEET_API": "off"}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        """Where its local API answers."""
        return f"{self.home}{SOCKET}"

    def fleet(self, *words: str) -> Any:
        """Run one `fleet` command and give the value it prints. Raises the error that it printed, or FleetError."""
        command = [sys.executable, "-I", "-m", "fleet.faces.cli", *words, "--json"]
        done = subprocess.run(command, env=self.environ, capture_output=True, timeout=ASKING, stdin=subprocess.DEVNULL)
        try:
            value = json.loads(done.stdout)
        except ValueError:
            words_last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-3:]
            raise FleetError(f"fleet {words[0]} on {self.name}: {' '.join(words_last)}") from None
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
            self.process = subprocess.Popen(
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
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """End the daemon; kill it when it does not go."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOPPING)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process = None


class Sandbox:
    """A directory, the nodes in it and what else was started; all of it is gone after the `with` block."""

    def __init__(self, parent: Path, prefix: str) -> None:
        """Take the directory under which the sandbox is made."""
        self._parent = parent
        self._prefix = prefix
        self.members: dict[str, Member] = {}
        self._others: list[subprocess.Popen[bytes]] = []
        self._signals: dict[int, Any] = {}

    def __enter__(self) -> Sandbox:
        """Make the directory; from here on a signal leads to the end of the block."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            self._signals[number] = signal.signal(number, _interrupt)
        self.home = Path(tempfile.mkdtemp(prefix=self._prefix, dir=self._parent))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End everything that was started and remove the directory; nothing may interrupt this."""
        self._signals[signal.SIGINT] = signal.getsignal(signal.SIGINT)
        for number in self._signals:
            signal.signal(number, signal.SIG_IGN)
        for member in self.members.values():
            if member.process is not None:
                member.process.terminate()
        for member in self.members.values():
            member.stop()
        for process in self._others:
            process.kill()
            process.wait()
        shutil.rmtree(self.home, ignore_errors=True)
        for number, handler in self._signals.items():
            signal.signal(number, handler)

    def member(self, name: str) -> Member:
        """Name a new node. Raises SettingsError when its socket would have too long a path."""
        member = Member(name, self.home / name)
        if len(os.fsencode(member.socket)) > PATH_LIMIT:
            raise SettingsError(f"{self._parent} is too long a path for a Unix socket", hint="cd to a shorter directory")
        member.home.mkdir(mode=0o700)
        self.members[name] = member
        return member

    def run(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start another program that ends with the sandbox."""
        leashed = [sys.executable, "-I", "-S", str(leash.__file__), str(os.getpid()), *command]
        process = subprocess.Popen(
            leashed, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._others.append(process)
        return process

    def fleet_of(self, names: Sequence[str], settings: Mapping[str, str], talk: Talk) -> list[Member]:
        """Make a fleet as its users would: init on the first node, invite there, join on the others; all run then."""
        first, *others = (self.member(name) for name in names)
        talk(f"{first.name}: fleet init")
        first.fleet("init", "--node", first.name, "--fleet", "sandbox")
        first.fleet("config", "set", "node.bind", f"127.0.0.1:{free_port()}")
        for key, value in settings.items():
            first.fleet("config", "set", key, value)
        first.start()
        for member in others:
            talk(f"{member.name}: fleet join")
            member.fleet("join", str(first.fleet("invite")["link"]), "--node", member.name)
            member.fleet("config", "set", "node.bind", f"127.0.0.1:{free_port()}")
            member.start()
        return [first, *others]


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


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


def healthy(member: Member, peer: str, channel: str) -> bool:
    """Whether a node knows a road to a peer as good."""
    for found in member.ask("peers"):
        if found["node"] == peer:
            return bool(found["channels"].get(channel, {}).get("state") == "healthy")
    return False


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
