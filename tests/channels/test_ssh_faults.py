"""The SSH road when things are wrong: stubs that fail, liars, impostors, black holes; each has its reason, none delivers."""

import asyncio
import contextlib
import getpass
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from channels._ssh import Job, login_of
from channels._ssh.login import pins_of, way_of
from channels._ssh.program import known_hosts, tunnel_argv
from channels._ssh.warm import connect
from channels._ssh.words import said
from channels.ssh import Ssh
from fleet.core.outcome import Outcome, Word
from fleet.core.peer import Peer
from fleet.errors import Barred, Faulty, RoadError, Unreachable
from tests.channels.contract import LONG, SOON, parcel
from tests.channels.test_ssh import made
from tests.support.sshd import SshServer, make_key, receive_command

pytestmark = pytest.mark.tier("ssh")
AT_ONCE = 5.0
METACHARACTERS = [
    "$(touch {0})", "`touch {0}`", "; touch {0}", "| touch {0}", "&& touch {0}", "\ntouch {0}\n", "' ; touch {0} ; '",
    '" ; touch {0} ; "', "receive; touch {0}", "$(touch {0}) receive", "`touch {0}`\nreceive", "sftp-server; touch {0}",
    "/usr/lib/sftp-server$(touch {0})", ">{0}", "receive >{0}", "nudge & touch {0}", "--help; touch {0}", "-c touch\\ {0}",
]  # fmt: skip


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    with SshServer(tmp_path / "sshd") as server:
        yield server


@contextlib.asynccontextmanager
async def opened(tmp_path: Path, config: str = "none") -> Any:
    channel = made(tmp_path / "known", config)
    try:
        yield channel
    finally:
        await channel.close()


def peer_of(server: SshServer, **more: Any) -> Peer:
    return Peer(id="there", addresses={"ssh": server.words(**more)})


def runs(server: SshServer, script: str) -> None:
    server.authorize(f'restrict,command="{script}"')


async def reason(channel: Ssh, peer: Peer, timeout: float = LONG) -> RoadError:
    with pytest.raises(RoadError) as caught:
        await channel.send(peer, parcel(b"x" * 100), timeout)
    return caught.value


# ── a command that fails or lies ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 1", "exit 1"),
        ("echo no such luck >&2; exit 3", "exit 3: no such luck"),
        ("printf '\\033[31m\\nthe disk is full\\n' >&2; exit 1", "exit 1: ?[31m"),
        ("true", "exit 0 without an answer"),
        ("echo custody", ""),
        ("exit 7", "exit 7"),
        ("kill -9 $$", "the session broke"),
        ("no-such-program-anywhere", "exit 127"),
        ("head -c 2000000 /dev/zero", "an answer of more than"),
        ("cat >/dev/null; exit 75", "busy"),
    ],
)
async def test_a_command_that_fails_is_no_delivery(server: SshServer, tmp_path: Path, script: str, words: str) -> None:
    runs(server, script)
    async with opened(tmp_path) as channel:
        if not words:  # bytes that are no signed answer: the engine finds that they prove nothing
            assert await channel.send(peer_of(server), parcel(b"x"), LONG) == Outcome.replied(b"custody\n")
            return
        error = await reason(channel, peer_of(server))
        assert isinstance(error, Unreachable)
        assert words in error.message and error.message.isprintable()


async def test_custody_needs_the_word_and_the_exit_code(server: SshServer, tmp_path: Path) -> None:
    runs(server, "echo custody; exit 7")
    async with opened(tmp_path) as channel:
        assert (await channel.send(peer_of(server), parcel(b"x"), LONG)).word is Word.TAKEN


async def test_busy_names_a_time_that_can_be_believed(server: SshServer, tmp_path: Path) -> None:
    script = tmp_path / "script"
    runs(server, f"sh {script}")
    async with opened(tmp_path) as channel:
        for said_by_it, believed in (("7", 7.0), ("-1", 1.0), ("nan", 1.0), ("1e9", 1.0), ("x", 1.0)):
            script.write_text(f"echo {said_by_it}; exit 75")
            error = await reason(channel, peer_of(server))
            assert isinstance(error, Unreachable) and error.retry_after == believed


def test_what_a_peer_writes_to_stderr_is_made_safe() -> None:
    assert said(b"\n \n\x1b]52;c;x\x07 a\xff\xe2\x80\xaeb\n") == "?]52;c;x? a????b"
    assert len(said(b"x" * 10_000)) == 120
    assert said(b"\0\1\2") == ""


# ── who is at the other end ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
async def test_an_impostor_gets_no_authentication_and_no_parcel(server: SshServer, tmp_path: Path, kind: str) -> None:
    canary = tmp_path / "canary"
    runs(server, f"touch {canary}")
    honest = server.words()
    server.kill()
    server.host_key = make_key(server.directory / "host_key", kind)
    server.start()
    before = len(server.log)
    async with opened(tmp_path) as channel:
        error = await reason(channel, Peer(id="there", addresses={"ssh": honest}))
    assert isinstance(error, Faulty) and error.security
    heard = server.log[before:]
    assert "kex" in heard.lower() and "userauth" not in heard and not canary.exists()


async def test_a_host_key_of_another_type_is_accepted_when_it_is_the_pinned_one(tmp_path: Path) -> None:
    for kind in ("rsa", "ecdsa"):
        with SshServer(tmp_path / kind, key_type=kind) as server:
            runs(server, "echo yes")
            async with opened(tmp_path) as channel:
                assert (await channel.send(peer_of(server), parcel(b"x"), LONG)).data == b"yes\n"


async def test_without_a_host_key_nothing_is_sent(server: SshServer, tmp_path: Path) -> None:
    async with opened(tmp_path) as channel:
        for words in ("", "ssh-ed25519", "ssh-ed25519 !!!", "ssh-rsa AAAA", "nonsense AAAA"):
            error = await reason(channel, peer_of(server, host_key=words))
            assert isinstance(error, Faulty) and "host key" in error.message
        assert server.log.count("Forked child") <= 1, "one look at its start whether it listens, and nobody else"


async def test_the_host_key_of_the_manifest_counts_unless_the_operator_says_another(
    server: SshServer, tmp_path: Path
) -> None:
    runs(server, "echo yes")
    words = server.words(host_key="")
    async with opened(tmp_path) as channel:
        known = Peer(id="there", host_key=server.host_key, addresses={"ssh": words})
        assert (await channel.send(known, parcel(b"x"), LONG)).data == b"yes\n"
    other = make_key(tmp_path / "other")
    async with opened(tmp_path) as channel:
        wrong = Peer(id="there", host_key=server.host_key, addresses={"ssh": {**words, "host_key": other}})
        assert (await reason(channel, wrong)).security  # type: ignore[attr-defined]


async def test_a_key_that_is_not_let_in_is_a_fault(server: SshServer, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    make_key(stranger)
    async with opened(tmp_path) as channel:
        error = await reason(channel, peer_of(server, identity=str(stranger)))
        assert isinstance(error, Faulty) and not error.security and "accepts none" in error.message
        missing = await reason(channel, peer_of(server, identity=str(tmp_path / "missing")))
        assert isinstance(missing, Faulty) and "cannot be read" in missing.message
        (tmp_path / "junk").write_text("not a key")
        assert isinstance(await reason(channel, peer_of(server, identity=str(tmp_path / "junk"))), Faulty)


async def test_something_else_behind_the_port_is_only_unreachable(tmp_path: Path) -> None:
    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" * 200)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    listener = await asyncio.start_server(lie, "127.0.0.1", 0)
    words = {"host": "127.0.0.1", "port": listener.sockets[0].getsockname()[1], "host_key": make_key(tmp_path / "k")}
    async with opened(tmp_path) as channel:
        assert isinstance(await reason(channel, Peer(id="there", addresses={"ssh": words})), Unreachable)
    listener.close()


@pytest.mark.parametrize(
    "words",
    [
        {"host": "-oProxyCommand=touch {0}"}, {"host": "a b"}, {"host": "$(touch {0})"}, {"host": "x\ny"},
        {"user": "-oProxyCommand=touch {0}"}, {"user": "a;touch {0}"}, {"port": 70_000}, {"port": "22"}, {"host": "../x"},
    ],
)  # fmt: skip
async def test_hostile_addresses_are_refused_before_anything_is_started(
    server: SshServer, tmp_path: Path, words: dict[str, Any]
) -> None:
    canary = tmp_path / "canary"
    hostile = {key: value.format(canary) if isinstance(value, str) else value for key, value in words.items()}
    async with opened(tmp_path) as channel:
        assert isinstance(await reason(channel, peer_of(server, **hostile)), Faulty)
    assert not canary.exists()


async def test_a_peer_whose_id_is_no_name_is_refused(server: SshServer, tmp_path: Path) -> None:
    async with opened(tmp_path) as channel:
        for name in ("../x", "a b", "", "-x", "x" * 64):
            with pytest.raises((Faulty, Barred)):
                await channel.send(Peer(id=name, addresses={"ssh": server.words()}), parcel(b"x"), LONG)


def test_nothing_asked_for_is_ever_run(server: SshServer, tmp_path: Path) -> None:
    canary, home = tmp_path / "canary", tmp_path / "home"
    (home / "seeds").mkdir(parents=True)
    server.authorize(f'restrict,command="{receive_command(home)}"')
    peer = peer_of(server)
    login = login_of(peer, server.words())
    line = connect(login, way_of(login, ""), Job(_soon()))
    for words in METACHARACTERS:
        command = words.format(canary)
        done = line.run(command, b"junk", 1000, Job(_soon()))
        assert done.code != 0 or command.split()[-1] in ("receive", "sftp", "nudge") or "sftp" in command, command
        assert not canary.exists(), command
    line.close()


def _soon() -> float:
    return time.monotonic() + 30


# ── a line that breaks ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_session_that_died_while_idle_is_made_anew_without_a_failure(server: SshServer, tmp_path: Path) -> None:
    runs(server, "cat")
    async with opened(tmp_path) as channel:
        for data in (b"one", b"two", b"three"):
            assert (await channel.send(peer_of(server), parcel(data), LONG)).data == data
            server.kill()
            server.start()


async def test_whoever_waits_is_told_when_the_server_dies(server: SshServer, tmp_path: Path) -> None:
    marker = tmp_path / "began"
    runs(server, f"touch {marker}; exec sleep 600")
    async with opened(tmp_path) as channel:
        held = asyncio.ensure_future(channel.send(peer_of(server), parcel(b"x"), LONG))
        while not marker.exists():
            await asyncio.sleep(0.01)
        server.kill()
        async with asyncio.timeout(AT_ONCE):
            with pytest.raises(Unreachable):
                await held


async def test_a_black_hole_costs_the_timeout_and_the_road_comes_back(server: SshServer, tmp_path: Path) -> None:
    runs(server, "cat")
    async with opened(tmp_path) as channel:
        assert (await channel.send(peer_of(server), parcel(b"one"), LONG)).data == b"one"
        server.pause()
        assert isinstance(await reason(channel, peer_of(server), SOON), Unreachable)
        server.resume()
        assert (await channel.send(peer_of(server), parcel(b"two"), LONG)).data == b"two"


async def test_a_server_that_lets_in_one_session_at_a_time_still_takes_all(tmp_path: Path) -> None:
    with SshServer(tmp_path / "sshd", MaxSessions="2") as server:
        runs(server, "cat")
        async with opened(tmp_path) as channel:
            sent = [b"parcel %d" % n for n in range(8)]
            got = await asyncio.gather(*(channel.send(peer_of(server), parcel(data), LONG) for data in sent))
            assert [outcome.data for outcome in got] == sent


# ── the system's ssh ─────────────────────────────────────────────────────────────────────────────────────────────────

PROXY = """import socket, sys, threading, os, shutil
open(sys.argv[3], "a").write("used")
line = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def back():
    while data := line.recv(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=back, daemon=True).start()
while data := os.read(0, 65536):
    line.sendall(data)
line.shutdown(socket.SHUT_WR)
threading.Event().wait(5)
"""


def proxied(server: SshServer, tmp_path: Path) -> tuple[Path, Path]:
    """A user's configuration with a proxy for `there`, and the file that shows that it was used."""
    marker, script, config = tmp_path / "used", tmp_path / "proxy.py", tmp_path / "config"
    script.write_text(PROXY)
    command = shlex.join([sys.executable, str(script), "%h", "%p", str(marker)])
    config.write_text(f"Host there\n  HostName {server.host}\n  Port {server.port}\n  ProxyCommand {command}\n")
    config.chmod(0o600)
    return config, marker


def behind_proxy(server: SshServer, **more: Any) -> Peer:
    words = server.words(host="there", **more)
    del words["port"]
    return Peer(id="there", addresses={"ssh": words})


async def test_a_proxy_of_the_users_configuration_is_used_through_the_systems_ssh(
    server: SshServer, tmp_path: Path
) -> None:
    config, marker = proxied(server, tmp_path)
    runs(server, "cat")
    async with opened(tmp_path, str(config)) as channel:
        for data in (b"x", bytes(range(256)) * 1000):
            assert (await channel.send(behind_proxy(server), parcel(data), LONG)).data == data
        runs(server, "echo no >&2; exit 4")
        assert (await reason(channel, behind_proxy(server))).message == "exit 4: no"
    assert marker.exists()


async def test_the_systems_ssh_checks_the_same_host_key_and_keys(server: SshServer, tmp_path: Path) -> None:
    config, _ = proxied(server, tmp_path)
    canary = tmp_path / "canary"
    runs(server, f"touch {canary}")
    async with opened(tmp_path, str(config)) as channel:
        wrong = await reason(channel, behind_proxy(server, host_key=make_key(tmp_path / "other")))
        assert isinstance(wrong, Faulty) and wrong.security
        make_key(tmp_path / "stranger")
        refused = await reason(channel, behind_proxy(server, identity=str(tmp_path / "stranger")))
        assert isinstance(refused, Faulty) and not refused.security
    assert not canary.exists()


async def test_a_cancelled_send_ends_the_program(server: SshServer, tmp_path: Path) -> None:
    config, _ = proxied(server, tmp_path)
    began = tmp_path / "began"
    runs(server, f"touch {began}; exec sleep 600")
    async with opened(tmp_path, str(config)) as channel:
        held = asyncio.ensure_future(channel.send(behind_proxy(server), parcel(b"x"), LONG))
        while not began.exists():
            await asyncio.sleep(0.01)
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)
        runs(server, "cat")
        assert (await channel.send(behind_proxy(server), parcel(b"y"), LONG)).data == b"y"


async def test_a_configuration_that_others_can_write_is_not_believed(server: SshServer, tmp_path: Path) -> None:
    config, marker = proxied(server, tmp_path)
    config.chmod(0o666)
    async with opened(tmp_path, str(config)) as channel:
        assert isinstance(await reason(channel, behind_proxy(server)), Faulty)
    assert not marker.exists()


async def test_names_of_the_users_configuration_are_understood(server: SshServer, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(f"Host there\n  HostName {server.host}\n  Port {server.port}\n  User {getpass.getuser()}\n"
                      f"  IdentityFile {server.identity}\n")  # fmt: skip
    config.chmod(0o600)
    runs(server, "cat")
    peer = Peer(id="there", host_key=server.host_key, addresses={"ssh": {"host": "there"}})
    async with opened(tmp_path, str(config)) as channel:
        assert (await channel.send(peer, parcel(b"x"), LONG)).data == b"x"


async def test_a_hostile_home_and_environment_change_nothing(
    server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    (tmp_path / "home" / ".ssh" / "config").write_text(f"Host *\n  ProxyCommand touch {canary}\n")
    for name, value in {"HOME": str(tmp_path / "home"), "GIT_SSH_COMMAND": f"touch {canary}", "SSH_ASKPASS": "x"}.items():
        monkeypatch.setenv(name, value)
    runs(server, "env")
    async with opened(tmp_path, "") as channel:
        answer = (await channel.send(peer_of(server), parcel(b"x"), LONG)).data
    assert b"GIT_SSH_COMMAND" not in answer and not canary.exists()


def test_a_tunnel_forwards_what_it_was_told_and_nothing_else(tmp_path: Path) -> None:
    pin = make_key(tmp_path / "k")
    login = login_of(Peer(id="there", host_key=pin), {"host": "h", "user": "u", "port": 2222})
    argv = tunnel_argv(login, "", known_hosts(tmp_path / "a b", login), [(5000, "127.0.0.1:8856")])
    assert argv[:3] == ["ssh", "-F", "none"] and argv[-2:] == ["--", "h"]
    assert "StrictHostKeyChecking=yes" in argv and "BatchMode=yes" in argv and "ForwardAgent=no" in argv
    assert argv[argv.index("-L") + 1] == "127.0.0.1:5000:127.0.0.1:8856" and "-N" in argv
    known = tmp_path / "a b" / "there.known_hosts"
    assert known.read_text() == f"fleet-there {pin}\n" and known.stat().st_mode & 0o777 == 0o600


def test_host_keys_are_read_as_known_hosts_writes_them(tmp_path: Path) -> None:
    one, two = make_key(tmp_path / "a"), make_key(tmp_path / "b", "rsa")
    assert pins_of(f"{one} somebody@somewhere") == (one,)
    assert pins_of(f"[host]:22 {one}\n{two}") == (one, two)
    assert pins_of(f"{one},{two}") == (one, two)
    assert pins_of(f"ssh-rsa {one.split()[1]}") == ()
    assert os.path.exists(tmp_path / "a")
