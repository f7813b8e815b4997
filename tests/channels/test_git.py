"""The git road against real repositories: over a path and ssh, refused, gone, lied to; it must never run a peer's words."""

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from channels import git
from channels._git import box
from channels._git.command import Done
from channels.git import Git
from fleet.core.outcome import Word
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.errors import Faulty, Unreachable
from tests.channels.contract import LONG, Collector, OneWayRoad, World, parcel
from tests.support.sshd import SshServer

pytestmark = pytest.mark.tier("git")
CLEAN = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
WHO = {"GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x@x", "GIT_COMMITTER_NAME": "x", "GIT_COMMITTER_EMAIL": "x@x"}
MAILBOX = "refs/fleet/fleet-1/there/here"


def run(*words: str, cwd: Path, stdin: bytes = b"") -> str:
    """Run git as the git host's keeper would; gives what it printed."""
    done = subprocess.run(["git", *words], cwd=cwd, env={**CLEAN, **WHO}, input=stdin, capture_output=True, check=True)
    return done.stdout.decode().strip()


def bare(path: Path) -> Path:
    """A fresh repository that everybody may write to."""
    run("init", "--quiet", "--bare", str(path), cwd=path.parent)
    return path


def road(directory: Path, node: str, **settings: Any) -> Git:
    return git.build({"node": node, "fleet": "fleet-1", "state": directory / node, "poll": 0.05, **settings}, {})


def hook(repository: Path, name: str, text: str) -> None:
    path = repository / "hooks" / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def pushes(repository: Path) -> int:
    """How many pushes came since count_pushes()."""
    return len((repository / "pushes").read_text().splitlines())


def count_pushes(repository: Path) -> None:
    (repository / "pushes").write_text("")
    hook(repository, "post-receive", "cat >/dev/null; echo >> pushes")


def filed(repository: Path, ref: str = MAILBOX) -> list[str]:
    """The pids in a mailbox."""
    return [name.partition(".")[0] for name in run("ls-tree", "--name-only", ref, cwd=repository).split()]


class GitWorld(World):
    async def start(self) -> None:
        self.mail = bare(self.directory / "mail.git")
        remote = str(self.mail)
        self.here = road(self.directory, "here", others=[remote])
        self.there = road(self.directory, "there", remote=remote)
        self.peer = Peer(id="there", addresses={"git": {"remote": remote}})
        for channel in (self.here, self.there):
            await channel.open()


class SshWorld(World):
    """The same through an sshd, whose host key is pinned."""

    async def start(self) -> None:
        self.server = SshServer(self.directory / "sshd").start()
        words = self.server.words()
        path = bare(self.directory / "mail.git")
        remote = f"ssh://{words['user']}@{words['host']}:{words['port']}{path}"
        keys = {"identity": words["identity"], "host_key": words["host_key"]}
        self.here = road(self.directory, "here", others=[remote], **keys)
        self.there = road(self.directory, "there", remote=remote, **keys)
        self.peer = Peer(id="there", addresses={"git": {"remote": remote}})
        for channel in (self.here, self.there):
            await channel.open()

    async def stop(self) -> None:
        self.server.kill()


class TestContract(OneWayRoad):
    World = GitWorld


@pytest.mark.tier("ssh")
class TestContractOverSsh(OneWayRoad):
    World = SshWorld


@pytest.fixture
async def world(tmp_path: Path) -> Any:
    made = GitWorld(tmp_path)
    await made.start()
    yield made
    await made.here.close()
    await made.there.close()


# ── the mailbox ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_sent_while_a_push_runs_goes_out_together(world: GitWorld) -> None:
    count_pushes(world.mail)
    await asyncio.gather(*(world.send(b"parcel %d" % n) for n in range(12)))
    assert pushes(world.mail) <= 2
    assert len(filed(world.mail)) == 12


async def test_parcels_of_several_peers_go_out_in_one_push(world: GitWorld) -> None:
    await world.send(b"the first")
    count_pushes(world.mail)
    addresses = world.peer.addresses
    peers = [Peer(id=f"peer-{n}", addresses=addresses) for n in range(5)]
    await asyncio.gather(*(world.here.send(peer, parcel(b"x", to=peer.id), LONG) for peer in peers))
    assert pushes(world.mail) <= 2


async def test_an_earlier_life_is_taken_up(world: GitWorld, tmp_path: Path) -> None:
    await world.send(b"before")
    await world.here.close()
    again = road(tmp_path, "here", others=[str(world.mail)])
    await again.open()
    await again.send(world.peer, parcel(b"after"), LONG)
    assert len(filed(world.mail)) == 2
    await again.forget(world.peer, filed(world.mail)[:1])
    assert len(filed(world.mail)) == 1
    await again.close()


async def test_a_lost_state_directory_begins_the_mailbox_anew(world: GitWorld, tmp_path: Path) -> None:
    await world.send(b"before")
    await world.here.close()
    shutil.rmtree(tmp_path / "here")
    again = road(tmp_path, "here", others=[str(world.mail)])
    await again.open()
    outcome = await again.send(world.peer, parcel(b"after"), LONG)
    assert outcome.word is Word.TAKEN and len(filed(world.mail)) == 1
    await again.close()


@pytest.mark.parametrize("damage", ["truncate", "delete", "ref"])
async def test_a_damaged_repository_of_our_own_mends_itself(world: GitWorld, tmp_path: Path, damage: str) -> None:
    await world.send(b"before")
    await world.here.close()
    for path in (tmp_path / "here").glob("*/objects/??/*" if damage != "ref" else "*/refs/fleet/*/*/here"):
        if damage == "delete":
            path.unlink()
        else:
            path.write_bytes(b"")
    again = road(tmp_path, "here", others=[str(world.mail)])
    await again.open()
    assert (await again.send(world.peer, parcel(b"after"), LONG)).word is Word.TAKEN
    await again.close()


async def test_our_ref_is_ours_whoever_wrote_to_it(world: GitWorld) -> None:
    await world.send(b"first")
    tree = run("mktree", cwd=world.mail)
    run("update-ref", MAILBOX, run("commit-tree", tree, "-m", "mine", cwd=world.mail), cwd=world.mail)
    await world.send(b"second")
    assert len(filed(world.mail)) == 2


async def test_what_has_expired_leaves_with_the_next_push(world: GitWorld) -> None:
    old = Parcel(secrets.token_hex(16), "here", "there", 1_000, b"old", receipt=True)
    await world.here.send(world.peer, old, LONG)
    await world.send(b"new")
    assert old.pid not in filed(world.mail) and len(filed(world.mail)) == 1


async def test_a_full_mailbox_gives_up_receipts_but_no_mail(world: GitWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box, "BOX_PARCELS", 3)
    receipts = [parcel(b"r%d" % n, receipt=True) for n in range(2)]
    for each in (*receipts, parcel(b"mail 0"), parcel(b"mail 1"), parcel(b"mail 2")):
        await world.here.send(world.peer, each, LONG)
    assert not {each.pid for each in receipts} & set(filed(world.mail))
    with pytest.raises(Unreachable, match="full"):
        await world.send(b"mail 3")
    assert len(filed(world.mail)) == 3


async def test_a_send_that_is_given_up_leaves_nothing_for_long(world: GitWorld) -> None:
    began = world.mail / "began"
    hook(world.mail, "pre-receive", f"touch '{began}'; sleep 1")
    given_up = parcel(b"given up")
    task = asyncio.ensure_future(world.here.send(world.peer, given_up, LONG))
    async with asyncio.timeout(LONG):
        while not began.exists():
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await world.send(b"kept")
    hook(world.mail, "pre-receive", "exit 0")
    await world.send(b"kept too")
    assert given_up.pid not in filed(world.mail) and len(filed(world.mail)) == 2


# ── what fails is said ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_rejected_push_says_why(world: GitWorld) -> None:
    hook(world.mail, "pre-receive", "echo 'Permission denied \x1b[31m'; exit 1")
    with pytest.raises(Unreachable, match="pre-receive hook declined"):
        await world.send(b"x")
    hook(world.mail, "pre-receive", "exit 0")
    assert (await world.send(b"y")).word is Word.TAKEN
    assert len(filed(world.mail)) == 1


async def test_a_remote_that_is_gone_is_faulty(world: GitWorld) -> None:
    shutil.rmtree(world.mail)
    with pytest.raises(Faulty, match="no repository"):
        await world.send(b"x")
    with pytest.raises(Faulty, match="no repository"):
        await world.there.listen(Collector())


async def test_without_git_the_road_is_faulty(world: GitWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    lonely = road(tmp_path, "lonely", others=[str(world.mail)])
    with pytest.raises(Faulty, match="not installed"):
        await lonely.send(world.peer, parcel(b"x"), LONG)
    await lonely.close()


async def test_a_host_that_never_speaks_costs_the_timeout_and_no_process(world: GitWorld, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        remote = f"ssh://somebody@127.0.0.1:{silent.getsockname()[1]}/mail.git"
        here = road(tmp_path, "waiting", others=[remote])
        with pytest.raises(Unreachable, match="did not end"):
            await here.send(Peer(id="there", addresses={"git": {"remote": remote}}), parcel(b"x"), 1.0)
        await here.close()
    left = [child for child in psutil.Process().children(recursive=True) if child.name() in ("git", "ssh")]
    assert psutil.wait_procs(left, LONG)[1] == []


@pytest.mark.tier("ssh")
async def test_a_host_with_another_key_is_a_security_fault(tmp_path: Path) -> None:
    world = SshWorld(tmp_path)
    await world.start()
    world.server.kill()
    world.server.new_host_key()
    world.server.start()
    try:
        with pytest.raises(Faulty) as caught:
            await world.send(b"x")
        assert caught.value.security
        assert "publickey" not in world.server.log.rpartition("Server listening")[2]  # no key of ours was shown
    finally:
        await world.here.close()
        await world.stop()


@pytest.mark.tier("ssh")
async def test_a_host_that_does_not_know_our_key_is_faulty(tmp_path: Path) -> None:
    world = SshWorld(tmp_path)
    await world.start()
    (tmp_path / "sshd" / "authorized_keys").write_text("")
    try:
        with pytest.raises(Faulty, match="does not let us in"):
            await world.send(b"x")
    finally:
        await world.here.close()
        await world.stop()


@pytest.mark.parametrize(
    ("stderr", "kind", "words"),
    [
        ("fatal: unable to access 'https://x/': The requested URL returned error: 403", Faulty, "let us in"),
        ("fatal: could not read Username for 'https://x': terminal prompts disabled", Faulty, "let us in"),
        ("remote: Repository not found.\nfatal: repository 'https://x/' not found", Faulty, "no repository"),
        ("fatal: unable to access 'https://x/': Could not resolve host: x", Unreachable, "name"),
        ("fatal: unable to access 'https://x/': Failed to connect: Connection refused", Unreachable, "refuses"),
        ("ssh: connect to host x port 22: Connection timed out", Unreachable, "does not answer"),
        ("fatal: unable to access 'https://x/': SSL certificate problem: self-signed", Faulty, "certificate"),
        ("fatal: write error: No space left on device", Unreachable, "no room"),
        ("remote: Permission denied, says the host", Unreachable, "ended with 128"),
    ],
)
def test_gits_complaints_become_our_own_words(stderr: str, kind: type[Exception], words: str) -> None:
    reason = Done(128, b"", stderr).why()
    assert type(reason) is kind and words in str(reason)
