"""The system's `ssh`, where the user's own configuration asks for a proxy; an argument list, never a shell, never a prompt.

The peer's host key is checked against a known_hosts file of ours under an alias of ours. What the user's configuration
says of the hosts between is the user's business.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from channels._ssh.line import BREATH, CHUNK, ERRORS_KEPT, Done, Job, Stream
from channels._ssh.login import Login, readable
from channels._ssh.words import said
from fleet.errors import Faulty, Unreachable

if TYPE_CHECKING:
    from channels._ssh.sftp import Depot

KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "SSH_AUTH_SOCK")  # all that a child gets of our environment
OWN_ERROR = 255  # the exit code with which ssh speaks of itself, not of the command
OPTIONS = (
    "BatchMode=yes", "StrictHostKeyChecking=yes", "GlobalKnownHostsFile=none", "UpdateHostKeys=no", "VerifyHostKeyDNS=no",
    "CheckHostIP=no", "PasswordAuthentication=no", "KbdInteractiveAuthentication=no", "ForwardAgent=no", "ForwardX11=no",
    "Tunnel=no", "PermitLocalCommand=no", "ControlMaster=no", "ControlPath=none", "RequestTTY=no", "EscapeChar=none",
    "ServerAliveInterval=5", "ServerAliveCountMax=2", "LogLevel=ERROR",
)  # fmt: skip


def known_hosts(directory: Path, login: Login) -> Path:
    """Write the peer's host keys to a file of their own, and give its path."""
    path = directory / f"{login.peer}.known_hosts"
    text = "".join(f"{alias(login)} {pin}\n" for pin in login.pins)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
    temporary.replace(path)
    return path


def alias(login: Login) -> str:
    """Name a peer's host key, whatever address it is reached at."""
    return f"fleet-{login.peer}"


def argv_of(login: Login, config: str, known: Path, extra: Sequence[str], command: Sequence[str] = ()) -> list[str]:
    """Give the arguments of `ssh` to a peer; `config` = the user's configuration, if there is one. Raises Faulty."""
    own = config if config and readable(config) else "none"
    words = ["ssh", "-F", own, "-o", f'UserKnownHostsFile="{known}"', "-o", f"HostKeyAlias={alias(login)}"]
    words += [word for option in OPTIONS for word in ("-o", option)]
    if login.port:
        words += ["-p", str(login.port)]
    if login.user:
        words += ["-l", login.user]
    if login.identity:
        words += ["-o", "IdentitiesOnly=yes", "-i", login.identity]
    return [*words, *extra, "--", login.host, *command]


def tunnel_argv(login: Login, config: str, known: Path, forwards: Sequence[tuple[int, str]]) -> list[str]:
    """Give the arguments of an `ssh -N` that forwards local ports to places the peer can reach."""
    extra = ["-N", "-o", "ExitOnForwardFailure=yes", "-o", "ConnectTimeout=10"]
    for port, place in forwards:
        extra += ["-L", f"127.0.0.1:{port}:{place}"]
    return argv_of(login, config, known, extra)


def environment() -> dict[str, str]:
    """Give the environment of a child: an allow-list of ours."""
    return {name: os.environ[name] for name in KEPT if name in os.environ}


class Program:
    """Runs `ssh` once for each command; it has nothing to keep open."""

    def __init__(self, login: Login, config: str, directory: Path) -> None:
        """Take where to go; `directory` is private and keeps the known_hosts file."""
        self._login = login
        self._config = config
        self._known = known_hosts(directory, login)
        self._streams: set[_Pipe] = set()
        self.depots: dict[str, Depot] = {}

    def alive(self) -> bool:
        """Say that the next command can be started: each makes its own connection."""
        return True

    def run(self, command: str, data: bytes, limit: int, job: Job) -> Done:
        """Run a command with `data` as its input. Raises Faulty for what ssh itself says about keys."""
        pipe = self._start(command, job)
        try:
            out = pipe.exchange(data, limit, job)
            code = pipe.wait(job)
        finally:
            pipe.close()
        if code == OWN_ERROR:
            raise self._refusal(pipe.err)
        return Done(code, out, pipe.err)

    def stream(self, command: str, job: Job) -> Stream:
        """Start a command, or the sftp subsystem when it is empty."""
        pipe = self._start(command, job)
        self._streams.add(pipe)
        return pipe

    def close(self) -> None:
        """End the streams."""
        while self._streams:
            self._streams.pop().close()

    def _start(self, command: str, job: Job) -> _Pipe:
        wait = ["-o", f"ConnectTimeout={max(1, int(job.left()))}", "-T"]
        argv = argv_of(self._login, self._config, self._known, wait if command else [*wait, "-s"], [command or "sftp"])
        try:
            return _Pipe(argv)
        except FileNotFoundError:
            raise Faulty("there is no program `ssh` here", hint="install openssh-client") from None

    def _refusal(self, err: bytes) -> Faulty | Unreachable:
        words = said(err)
        if b"Host key verification failed" in err or b"IDENTIFICATION HAS CHANGED" in err:
            return Faulty(f"{self._login.host} shows another host key than {self._login.peer}'s", security=True)
        if b"Permission denied" in err:
            return Faulty(f"{self._login.peer} accepts none of our SSH keys")
        return Unreachable(f"ssh: {words or 'it said nothing'}")


class _Pipe:
    """A child process as a stream; its standard error is kept aside."""

    def __init__(self, argv: list[str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                argv, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.PIPE, env=environment(), cwd="/"
            )  # fmt: skip
        self._sock = ours
        self.settimeout, self.send, self.recv = ours.settimeout, ours.send, ours.recv
        self.err = b""

    def exchange(self, data: bytes, limit: int, job: Job) -> bytes:
        """Write the input and read the output until it ends."""
        assert self._process.stderr is not None
        rest, out = memoryview(data), bytearray()
        self._sock.setblocking(False)
        with selectors.DefaultSelector() as ready:
            ready.register(self._sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
            ready.register(self._process.stderr, selectors.EVENT_READ)
            while len(ready.get_map()):
                job.left()
                for key, events in ready.select(BREATH):
                    if key.fileobj is self._process.stderr:
                        self._keep(ready)
                        continue
                    if events & selectors.EVENT_WRITE:
                        rest = self._write(rest, ready)
                    if events & selectors.EVENT_READ and not self._read(out, ready):
                        continue
                if len(out) > limit:
                    raise Unreachable(f"an answer of more than {limit} bytes")
        return bytes(out)

    def _keep(self, ready: selectors.BaseSelector) -> None:
        assert self._process.stderr is not None
        part = os.read(self._process.stderr.fileno(), CHUNK)
        if not part:
            ready.unregister(self._process.stderr)
        self.err = (self.err + part)[:ERRORS_KEPT]

    def _write(self, rest: memoryview, ready: selectors.BaseSelector) -> memoryview:
        with contextlib.suppress(BlockingIOError):
            try:
                rest = rest[self._sock.send(rest[:CHUNK]) :] if rest else rest
            except (BrokenPipeError, ConnectionResetError):
                rest = memoryview(b"")
        if not rest:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)
            ready.modify(self._sock, selectors.EVENT_READ)
        return rest

    def _read(self, out: bytearray, ready: selectors.BaseSelector) -> bool:
        try:
            part = self._sock.recv(CHUNK)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            part = b""
        if not part:
            ready.unregister(self._sock)
        out += part
        return bool(part)

    def wait(self, job: Job) -> int:
        """Wait for the exit code."""
        while True:
            try:
                return self._process.wait(job.breath())
            except subprocess.TimeoutExpired:
                continue

    def close(self) -> None:
        """End the child."""
        self._sock.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(1.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()
