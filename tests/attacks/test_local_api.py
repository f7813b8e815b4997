"""Attack 20 on a real daemon: other users, web pages, rebound names, GETs; each refused. More: faces/test_http."""

import os
import socket
import stat
import subprocess
import sys

import pytest

from fleet.faces.http import GETS, POSTS
from fleet.faces.verbs import VERBS
from tests.support.nodes import Node, World

MESSAGE = b'{"to":"a","body":"x"}'
REBOUND = [
    "evil.test", "localhost.evil.test", "127.0.0.1.nip.io", "localtest.me", "lvh.me", "127.0.0.1.xip.io:8855", "0.0.0.0",
    "0", "127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "127.0.0.2", "[::]", "[::ffff:127.0.0.1]",
    "[0:0:0:0:0:0:0:1]", "localhost.", "localhost.localdomain", "ip6-localhost", "a", "169.254.169.254",
    "localhost@evil.test",
    "localhost:8855@evil.test", "localhost#evil.test", "localhost/evil.test", "", "127.0.0.1 evil.test",
    "\u24db\u24de\u24d2\u24d0\u24db",
]  # fmt: skip
AS_NOBODY = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
path, port = sys.argv[1], int(sys.argv[2])
for place in (path, os.path.dirname(path) + "/token", os.path.dirname(os.path.dirname(path)) + "/fleet.db"):
    try:
        open(place, "rb"); print("opened", place)
    except PermissionError:
        pass
unix = socket.socket(socket.AF_UNIX)
try:
    unix.connect(path); print("connected")
except PermissionError:
    pass
line = socket.socket()
line.connect(("127.0.0.1", port))
head = b"POST /message HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: application/json\\r\\nContent-Length: 21\\r\\n\\r\\n"
line.sendall(head + b'{"to":"a","body":"x"}')
print(line.recv(12).decode())
"""


class Doors:
    """A node with both doors of the local API."""

    def __init__(self, world: World) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        self.node = world.found("a", nats=False, FLEET_API=f"127.0.0.1:{self.port}")

    @property
    def token(self) -> str:
        return (self.node.home / "run" / "token").read_text().strip()

    def tcp(self, method: str, target: str, body: bytes = b"", **headers: str | None) -> int:
        """Ask over TCP; what is not said otherwise is as an honest caller says it."""
        words = {
            "Host": f"127.0.0.1:{self.port}", "Content-Type": "application/json", "Authorization": f"Bearer {self.token}",
            **{name.replace("_", "-"): value for name, value in headers.items()}, "Content-Length": str(len(body)),
        }  # fmt: skip
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as line:
            return _said(line, method, target, {name: value for name, value in words.items() if value is not None}, body)

    def unix(self, method: str, target: str, body: bytes = b"", **headers: str) -> int:
        """Ask over the socket."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        words = {"Host": "localhost", "Content-Type": "application/json", **given, "Content-Length": str(len(body))}
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(20)
            line.connect(self.node.socket)
            return _said(line, method, target, words, body)


def _said(line: socket.socket, method: str, target: str, words: dict[str, str], body: bytes) -> int:
    rows = "".join(f"{name}: {value}\r\n" for name, value in words.items())
    line.sendall(f"{method} {target} HTTP/1.1\r\n{rows}Connection: close\r\n\r\n".encode() + body)
    return int(line.recv(64).split(b" ")[1])


def _mode(path: object) -> int:
    return stat.S_IMODE(os.stat(str(path)).st_mode)


def _everything(node: Node) -> list[object]:
    tables = [name for (name,) in node.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    kept = ("inbox", "outbox", "content", "frame", "words", "level", "session", "invite")
    return [node.rows(f"SELECT * FROM {table}") for table in tables if table in kept]


def test_the_socket_and_the_token_are_private_and_every_start_has_its_own_token(world: World) -> None:
    doors = Doors(world)
    run, tokens = doors.node.home / "run", set()
    for _ in range(3):
        assert (_mode(run), _mode(run / "fleet.sock"), _mode(run / "token")) == (0o700, 0o600, 0o600)
        assert doors.tcp("GET", "/status") == 200
        tokens.add(doors.token)
        old = doors.token
        doors.node.terminate()
        assert not (run / "token").exists()
        doors.node.start()
        assert doors.tcp("GET", "/status", Authorization=f"Bearer {old}") == 401
    assert len(tokens) == 3 and all(len(token) >= 43 for token in tokens)


def test_web_pages_rebound_names_and_other_types_are_refused_at_both_doors(world: World) -> None:
    doors = Doors(world)
    for host in REBOUND:
        assert 400 <= doors.tcp("POST", "/message", MESSAGE, Host=host) < 500, host
        if "." in host and host != "localhost.":
            assert 400 <= doors.unix("POST", "/message", MESSAGE, Host=host) < 500, host
    for ask in (doors.tcp, doors.unix):
        for target in ("/message", "/verb/stop", "/inbox/shown"):
            for headers in ({"Origin": "http://evil.test"}, {"Origin": "null"}, {"Content_Type": "text/plain"}):
                assert 400 <= ask("POST", target, MESSAGE, **headers) < 500, (target, headers)
    for authorization in (None, "", "Bearer x", "Basic eDp5", f"Bearer {doors.token[:-1]}", f"Token {doors.token}"):
        assert doors.tcp("POST", "/message", MESSAGE, Authorization=authorization) == 401
        assert doors.tcp("GET", "/inbox", Authorization=authorization) == 401
    assert doors.node.arrived() == {} and doors.node.alive()
    assert doors.tcp("POST", "/message", MESSAGE) == 200


def test_a_get_changes_nothing_whatever_it_asks(world: World) -> None:
    doors = Doors(world)
    doors.node.ok("send", "a", "unseen")
    before = _everything(doors.node)
    for target in ["/message", *(set(POSTS) - set(GETS)), *(f"/verb/{name}" for name in VERBS)]:
        assert 400 <= doors.unix("GET", f"{target}?peer=b&id={'0' * 32}") < 500, target
        assert 400 <= doors.tcp("GET", target) < 500, target
    for target in GETS:
        assert doors.unix("GET", target) in (200, 400), target
    assert _everything(doors.node) == before
    assert doors.node.alive()
    assert [one["body"] for one in doors.node.ok("inbox")] == ["unseen"], "what was only looked at was not shown"


@pytest.mark.tier("hosts")  # it needs root
def test_another_user_of_this_machine_reaches_neither_socket_nor_token_nor_mail(world: World) -> None:
    doors = Doors(world)
    world.home.chmod(0o755)
    asked = [sys.executable, "-I", "-c", AS_NOBODY, doors.node.socket, str(doors.port)]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("HTTP/1.1 401\n", "")
    assert doors.node.arrived() == {}
