"""A real sshd for tests: a free port, a host key, a user key and a configuration of its own; must never outlive its test.

with SshServer(tmp_path) as server:
    server.authorize('restrict,command="…"'); server.words(); server.log; server.pause(); server.kill(); server.start()
"""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import psutil

import fleet
from fleet.daemon import leash
from tests.support.tiers import PLACES

PATIENCE = 10.0
RECEIVE = Path(fleet.__file__).parent / "faces" / "receive.py"
PRIVILEGE_SEPARATION = Path("/run/sshd")  # only root's sshd wants it


def program(name: str) -> str:
    return shutil.which(name, path=PLACES) or name


def make_key(path: Path, kind: str = "ed25519") -> str:
    """Make a key pair; gives the public key as "type base64"."""
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}.pub").unlink(missing_ok=True)
    subprocess.run([program("ssh-keygen"), "-q", "-t", kind, "-N", "", "-C", "", "-f", path], check=True)
    return " ".join(path.with_name(f"{path.name}.pub").read_text().split()[:2])


def receive_command(home: Path) -> str:
    """The forced command of a node whose FLEET_HOME is `home`."""
    return f"env FLEET_HOME={home} {sys.executable} -I -S {RECEIVE}"


class SshServer:
    """One sshd of the user who runs the tests; it keeps its port over kill() and start()."""

    def __init__(
        self, directory: Path, host: str = "127.0.0.1", key_type: str = "ed25519", *, port: int = 0,
        prefix: Sequence[str] = (), **options: str,
    ) -> None:  # fmt: skip
        """`prefix` is what makes a program run where the server shall stand; it needs a `port` then."""
        self.directory = directory
        self.host = host
        self.prefix = (program(prefix[0]), *prefix[1:]) if prefix else ()  # the leash searches no PATH
        self.options = options
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.host_key = make_key(directory / "host_key", key_type)
        self.identity = directory / "user_key"
        self.user_key = make_key(self.identity)
        self.port = port or self._free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.authorize()

    def _free_port(self) -> int:
        with socket.create_server((self.host, 0)) as server:
            return int(server.getsockname()[1])

    def authorize(self, options: str = "") -> None:
        """Let the user's key in, with these options and no other."""
        (self.directory / "authorized_keys").write_text(f"{options} {self.user_key}\n".lstrip())

    def words(self, **more: Any) -> dict[str, Any]:
        """The address table of this server."""
        found = {"host": self.host, "port": self.port, "user": getpass.getuser(), "identity": str(self.identity)}
        return {**found, "host_key": self.host_key, **more}

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text("utf-8", "replace")

    def new_host_key(self) -> None:
        """Become an impostor at the next start: another host key on the same port."""
        self.host_key = make_key(self.directory / "host_key")

    def start(self) -> Self:
        if os.geteuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        settings = {
            "Port": self.port, "ListenAddress": self.host, "HostKey": self.directory / "host_key", "PidFile": "none",
            "AuthorizedKeysFile": self.directory / "authorized_keys", "UsePAM": "no", "StrictModes": "no",
            "PasswordAuthentication": "no", "KbdInteractiveAuthentication": "no", "PermitRootLogin": "prohibit-password",
            "Subsystem": "sftp internal-sftp", "MaxStartups": "100", "LogLevel": "DEBUG1", "PrintMotd": "no",
            "SetEnv": "SHLVL=5", **self.options,  # a bash of this level reads no ~/.bashrc, which may be slow
        }  # fmt: skip
        config = self.directory / "sshd_config"
        config.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(leash.__file__), str(os.getpid()),  # it ends with this process at the latest
             *self.prefix, program("sshd"), "-D", "-f", config, "-E", self.directory / "log"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while not self._listens():
            assert self._process.poll() is None and time.monotonic() < deadline, self.log
            time.sleep(0.01)
        return self

    def _listens(self) -> bool:
        if self.prefix:
            asked = [*self.prefix, "ss", "-Hltn", f"sport = :{self.port}"]
            return bool(subprocess.run(asked, capture_output=True, check=True, timeout=PATIENCE).stdout)
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), 0.2):
            return True
        return False

    def everybody(self) -> list[psutil.Process]:
        """The server and all that it started."""
        if self._process is None:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            server = psutil.Process(self._process.pid)
            return [server, *server.children(recursive=True)]
        return []

    def pause(self) -> None:
        """Let it stop answering while its sockets stay open: a black hole."""
        for process in self.everybody():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def resume(self) -> None:
        for process in self.everybody():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def kill(self) -> None:
        """End it and every session, as a power cut would."""
        for process in self.everybody():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.kill()
