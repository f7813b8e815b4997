import os
import sys
from pathlib import Path

import pytest

from fleet.daemon.paths import paths_of
from fleet.errors import NoDaemon, SettingsError, UsageError
from fleet.faces.local import Client, Lost, socket_path
from tests.faces.standin import StandIn


@pytest.mark.parametrize(
    "environ",
    [
        {"FLEET_HOME": "/srv/fleet", "HOME": "/home/a"},
        {"FLEET_HOME": "~/f", "HOME": "/home/a"},
        {"FLEET_HOME": "~", "HOME": "/home/a"},
        {"FLEET_HOME": "relative/../here", "HOME": "/home/a"},
        {"FLEET_HOME": "./here/", "HOME": "/home/a"},
        {"FLEET_HOME": "", "HOME": "/home/a"},
        {"HOME": "/home/a"},
        {"HOME": "/home/a", "XDG_STATE_HOME": "/var/state"},
        {"HOME": "/home/a", "XDG_STATE_HOME": "relative"},
        {"HOME": "/home/a", "XDG_RUNTIME_DIR": "/run/user/1000"},
    ],
)
def test_the_short_way_finds_the_socket_where_the_daemon_puts_it(environ: dict[str, str]) -> None:
    assert Path(socket_path(environ)) == paths_of(environ).socket


def test_both_refuse_a_path_no_socket_can_have() -> None:
    environ = {"FLEET_HOME": "/" + "a" * 120, "HOME": "/h"}
    with pytest.raises(SettingsError):
        paths_of(environ)
    with pytest.raises(UsageError, match="longer than the 103 bytes"):
        Client(socket_path(environ))


def test_without_a_socket_there_is_no_daemon(home: Path) -> None:
    with pytest.raises(NoDaemon):
        Client(str(home / "run" / "fleet.sock")).ask("GET", "/health")


def test_a_socket_that_nobody_serves_is_no_daemon(home: Path) -> None:
    import socket

    left = socket.socket(socket.AF_UNIX)
    left.bind(str(home / "dead.sock"))
    left.close()
    with pytest.raises(NoDaemon):
        Client(str(home / "dead.sock")).ask("GET", "/health")


def test_one_connection_serves_many_requests(home: Path, daemon: StandIn) -> None:
    client = Client(socket_path(os.environ))
    assert [client.ask("GET", "/health").body for _ in range(3)] == [b'{"ok":true}'] * 3
    client.close()


def test_a_daemon_that_goes_away_is_said_to_be_lost(home: Path) -> None:
    import socket
    import threading

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(home / "s"))
    listener.listen()

    def hang_up() -> None:
        line, _ = listener.accept()
        line.recv(100)
        line.close()

    thread = threading.Thread(target=hang_up)
    thread.start()
    with pytest.raises(Lost):
        Client(str(home / "s")).ask("GET", "/health")
    thread.join()
    listener.close()


def test_the_short_way_loads_nothing_that_costs() -> None:
    import subprocess

    code = "import sys; sys.path.insert(0, sys.argv[1]); import fleet.faces.quick; print(*sys.modules)"
    root = str(Path(__file__).parents[2])
    loaded = subprocess.run([sys.executable, "-I", "-S", "-c", code, root], capture_output=True, text=True, check=True)
    assert not {"socket", "json", "re", "argparse", "enum", "dataclasses", "asyncio", "pathlib"} & set(loaded.stdout.split())
