"""A login of paramiko that stays open: connect, check the host key, then the keys; it must never offer anything else.

The host key is compared before a byte of authentication is sent (RejectPolicy and the pins of the peer). No password, no
agent forwarding. TCP_NODELAY, or every command costs 40 ms more.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import socket
import time
from typing import TYPE_CHECKING, Any, cast

from channels._ssh.line import CHUNK, ERRORS_KEPT, Done, Job, Late, Stale, Stream
from channels._ssh.login import Login, Way
from channels._ssh.words import said
from fleet.errors import Faulty, Unreachable

if TYPE_CHECKING:
    import paramiko

    from channels._ssh.sftp import Depot

KEEPALIVE = 5  # seconds
CROWDED = (0.02, 0.05, *[0.1] * 40)  # seconds between the tries to open a channel
SILENCE_MS = 5_000  # unacknowledged for so long = the connection is dead


class Warm:
    """One session; several commands at once, each in its own channel."""

    def __init__(self, client: paramiko.SSHClient) -> None:
        """Take an authenticated client."""
        self._client = client
        self.depots: dict[str, Depot] = {}

    def alive(self) -> bool:
        """Say whether the session stands."""
        transport = self._client.get_transport()
        return transport is not None and transport.is_active()

    def run(self, command: str, data: bytes, limit: int, job: Job) -> Done:
        """Run a command with `data` as its input; its exit code and its words are evidence."""
        channel = self._channel(job)
        try:
            _start(channel, command, job)
            _feed(channel, data, job)
            out = _read(channel, limit, job)
            err = _errors(channel, job)
            while not channel.status_event.wait(job.breath()):
                pass
            return Done(channel.exit_status if channel.exit_status >= 0 else None, out, err)
        finally:
            channel.close()

    def stream(self, command: str, job: Job) -> Stream:
        """Start a command, or the sftp subsystem when it is empty."""
        channel = self._channel(job)
        try:
            _start(channel, command, job)
        except (Unreachable, Faulty):
            channel.close()
            raise
        return cast(Stream, channel)

    def close(self) -> None:
        """End the session."""
        self._client.close()

    def _channel(self, job: Job) -> Any:
        import paramiko

        transport = self._client.get_transport()
        if transport is None or not transport.is_active():
            raise Stale("the session has ended")
        for pause in CROWDED:
            try:
                return transport.open_session(timeout=job.left())
            except paramiko.ChannelException:
                time.sleep(min(pause, job.left()))  # sshd still counts what has just ended
            except (paramiko.SSHException, EOFError, OSError) as error:
                raise Stale(f"the session broke: {_words(error)}") from None
        raise Unreachable("the peer opens no more sessions")


def _start(channel: Any, command: str, job: Job) -> None:
    import paramiko

    channel.settimeout(job.left())
    try:
        if command:
            channel.exec_command(command)
        else:
            channel.invoke_subsystem("sftp")
    except TimeoutError:
        raise Late("no answer in time") from None
    except (paramiko.SSHException, EOFError, OSError) as error:
        if command:
            raise Stale(f"the session broke: {_words(error)}") from None
        raise Faulty("the peer refuses SFTP") from None


def _feed(channel: Any, data: bytes, job: Job) -> None:
    """Write the input; a command that ends before it read everything says why by its exit code."""
    at, view = 0, memoryview(data)
    while at < len(data):
        channel.settimeout(job.breath())
        try:
            at += channel.send(view[at : at + CHUNK])
        except TimeoutError:
            continue
        except OSError:
            return
    with contextlib.suppress(OSError, EOFError):
        channel.shutdown_write()


def _read(channel: Any, limit: int, job: Job) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        channel.settimeout(job.breath())
        try:
            part = channel.recv(CHUNK)
        except TimeoutError:
            continue
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
        if size > limit:
            raise Unreachable(f"an answer of more than {limit} bytes")


def _errors(channel: Any, job: Job) -> bytes:
    err = b""
    while len(err) < ERRORS_KEPT:
        channel.settimeout(job.breath())
        try:
            part = channel.recv_stderr(ERRORS_KEPT)
        except TimeoutError:
            continue
        if not part:
            break
        err += part
    return err[:ERRORS_KEPT]


def connect(login: Login, way: Way, job: Job) -> Warm:
    """Log in. Raises Unreachable, or Faulty: for security when the host key is another, else when no key is accepted."""
    import paramiko

    logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)  # it prints tracebacks of what is an everyday failure
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    name = way.host if way.port == 22 else f"[{way.host}]:{way.port}"
    for pin in login.pins:
        kind, text = pin.split()
        entry = paramiko.hostkeys.HostKeyEntry.from_line(f"{name} {kind} {text}")
        if entry is not None:
            client.get_host_keys().add(name, kind, entry.key)
    done = False
    try:
        _connect(client, login, way, job)
        done = True
    finally:
        if not done:
            client.close()
    return Warm(client)


def _connect(client: paramiko.SSHClient, login: Login, way: Way, job: Job) -> None:
    import paramiko

    identity = _identity(login.identity) if login.identity else None
    try:
        sock = _dial(way, job)
        client.connect(
            way.host, way.port, username=way.user or pwd.getpwuid(os.geteuid()).pw_name, pkey=identity, sock=sock,
            key_filename=None if identity else list(way.identities) or None,
            look_for_keys=identity is None, allow_agent=identity is None, compress=False,
            timeout=job.left(), banner_timeout=job.left(), auth_timeout=job.left(), channel_timeout=job.left(),
        )  # fmt: skip
    except paramiko.BadHostKeyException:
        raise Faulty(f"{way.host} shows another host key than {login.peer}'s", security=True) from None
    except (paramiko.SSHException, EOFError) as error:
        raise _refusal(error, login, way) from None
    except TimeoutError:
        raise Late(f"{way.host} port {way.port}: no answer in time", unsent=True) from None
    except OSError as error:
        raise Unreachable(f"{way.host} port {way.port}: {error.strerror or type(error).__name__}", unsent=True) from None
    transport = client.get_transport()
    if transport is not None:
        transport.set_keepalive(KEEPALIVE)


def _refusal(error: Exception, login: Login, way: Way) -> Faulty | Unreachable:
    """Tell a server that says no from one that went away meanwhile."""
    import paramiko

    words = _words(error)
    if "known_hosts" in words:
        return Faulty(f"{way.host} shows another host key than {login.peer}'s", security=True)
    refused = isinstance(error, paramiko.AuthenticationException) and "EOF" not in words and "timeout" not in words
    if refused or "No authentication methods" in words:
        return Faulty(f"{login.peer} accepts none of our SSH keys", hint=f"fleet ssh authorize, on {login.peer}")
    return Unreachable(f"{way.host} port {way.port}: {words}", unsent=True)


def _dial(way: Way, job: Job) -> socket.socket:
    sock = socket.create_connection((way.host, way.port), timeout=job.left())
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_MS)
    job.on_stop = lambda: _hang_up(sock)
    return sock


def _hang_up(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _identity(path: str) -> Any:
    """Load the one key that shall be used. Raises Faulty."""
    import paramiko

    try:
        return paramiko.PKey.from_path(path)
    except OSError as error:
        raise Faulty(f"the SSH key {path} cannot be read: {error.strerror}") from None
    except (paramiko.SSHException, paramiko.pkey.UnknownKeyType, ValueError, TypeError) as error:
        raise Faulty(f"the SSH key {path} cannot be used: {type(error).__name__}") from None


def _words(error: BaseException) -> str:
    return said(str(error).encode()) or type(error).__name__
