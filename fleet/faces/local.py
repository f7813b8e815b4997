"""The client of the local API over run/fleet.sock; standard library only, and must never cost more than the answer.

`_socket` is the C core of `socket`: the wrapper around it loads enum and selectors, which cost more than a whole send.
"""

from __future__ import annotations

import errno
import os
import sys

try:
    from _socket import AF_UNIX, SOCK_STREAM, socket
except ImportError:  # another Python than CPython
    from socket import AF_UNIX, SOCK_STREAM, socket  # type: ignore[assignment]

from fleet.errors import NoDaemon, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = "application/json"
LINES = "application/x-ndjson"
PATH_LIMIT = 103  # bytes; sun_path of macOS is the shortest, 104 with its end
GONE = frozenset({errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR, errno.EACCES})
PATIENCE = 30.0  # seconds a daemon may take for one answer beyond what the caller asked it to wait


class Lost(NoDaemon):
    """The daemon went away before it answered."""

    code = "lost"


class Answer:
    """What the daemon said: the HTTP status, the exit code it suggests, the body."""

    __slots__ = ("body", "exit_code", "status")

    def __init__(self, status: int, exit_code: int, body: bytes) -> None:
        self.status = status
        self.exit_code = exit_code
        self.body = body


class Client:
    """One connection to the daemon of one node; asks one thing at a time."""

    def __init__(self, path: str, patience: float = PATIENCE) -> None:
        """Remember where the socket is; nothing is opened yet."""
        if len(os.fsencode(path)) > PATH_LIMIT:
            raise UsageError(
                f"{path} is longer than the {PATH_LIMIT} bytes a Unix socket may have",
                hint="set FLEET_HOME to a shorter directory",
            )
        self._path = path
        self._patience = patience
        self._line: socket | None = None
        self._rest = b""

    def ask(self, method: str, target: str, body: bytes = b"", kind: str = JSON, wait: float = 0.0) -> Answer:
        """Send one request and read its answer. Raises NoDaemon when nobody listens, Lost when no answer came."""
        line = self._connect()
        line.settimeout(self._patience + wait)
        head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n"
        if method == "POST":
            head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        try:
            self._write(line, head.encode("ascii") + b"\r\n" + body)
            return self._read(line)
        except OSError as error:
            self.close()
            raise Lost(f"the daemon went away before it answered ({error})", hint="fleet status") from None

    def lines(self, target: str) -> LineReader:
        """Ask for a stream and give its lines as they come."""
        line = self._connect()
        line.settimeout(None)
        line.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode("ascii"))
        return LineReader(line)

    def close(self) -> None:
        """Let go of the connection."""
        if self._line is not None:
            self._line.close()
        self._line = None
        self._rest = b""

    def _connect(self) -> socket:
        if self._line is None:
            line = socket(AF_UNIX, SOCK_STREAM)
            try:
                line.settimeout(5.0)
                line.connect(self._path)
            except OSError as error:
                line.close()
                known = error.errno in GONE or isinstance(error, TimeoutError)
                raise NoDaemon("" if known else f"{self._path}: {error}", hint="fleet up --detach") from None
            self._line = line
        return self._line

    @staticmethod
    def _write(line: socket, data: bytes) -> None:
        try:
            line.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return  # a daemon that refuses a large body answers before it has read it all

    def _read(self, line: socket) -> Answer:
        data = self._rest
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += _more(line)
        head, data = data[:end].decode("latin-1"), data[end + 4 :]
        length, exit_code, closing = 0, 0, False
        for row in head.split("\r\n")[1:]:
            name, _, value = row.partition(":")
            match name.lower():
                case "content-length":
                    length = int(value)
                case "fleet-exit":
                    exit_code = int(value)
                case "connection":
                    closing = value.strip().lower() == "close"
        parts = [data]
        missing = length - len(data)
        while missing > 0:
            parts.append(_more(line))
            missing -= len(parts[-1])
        data = b"".join(parts)
        self._rest = data[length:]
        if closing:
            self.close()
        return Answer(int(head[9:12]), exit_code, data[:length])


class LineReader:
    """The lines of a streamed answer, as they come, until the daemon ends it."""

    def __init__(self, line: socket) -> None:
        """Take the connection over."""
        self._line = line
        self._data = b""

    def __iter__(self) -> LineReader:
        return self

    def __next__(self) -> bytes:
        while b"\n" not in self._data:
            more = self._line.recv(65_536)
            if not more:
                raise StopIteration
            self._data += more
        row, _, self._data = self._data.partition(b"\n")
        return row


def _more(line: socket) -> bytes:
    data = line.recv(262_144)
    if not data:
        raise ConnectionResetError(errno.ECONNRESET, "connection closed")
    return data


def socket_path(environ: Mapping[str, str]) -> str:
    """Say where the socket lies, as fleet.daemon.paths does (a test compares them), for a tenth of its cost."""
    home = environ.get("HOME", "") or os.path.expanduser("~")  # noqa: PTH111
    given = environ.get("FLEET_HOME", "")
    if given == "~" or given.startswith("~/"):
        base = home + given[1:]
    elif given:
        base = given if given.startswith("/") else f"{os.getcwd()}/{given}"  # noqa: PTH109
    else:
        state = environ.get("XDG_STATE_HOME", "")
        if not state.startswith("/"):
            state = home + ("/Library/Application Support" if sys.platform == "darwin" else "/.local/state")
        base = f"{state}/fleet"
    return f"{base}/run/fleet.sock"
