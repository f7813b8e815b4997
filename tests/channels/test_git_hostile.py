"""The git road against hostile names, environments and remotes that lie; nothing may run, nothing may be lost."""

import asyncio
import os
import secrets
import subprocess
from pathlib import Path
from typing import Any

import pytest

from channels import git
from channels._git import incoming
from channels._git.command import environment
from channels.git import protocol_of
from fleet.core import policy
from fleet.core.outcome import Result, Word
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.errors import Barred, SettingsError
from tests.channels.contract import LONG, Collector, listening, parcel
from tests.channels.pair import Pair
from tests.channels.test_git import MAILBOX, GitWorld, bare, count_pushes, filed, pushes, road, run, world

__all__ = ["world"]  # a fixture

pytestmark = pytest.mark.tier("git")
NAME = f"{'a' * 32}.4000000000000.m"
CANARY = "/tmp/fleet-git-canary"  # no quoting hides a command that would make it
TOUCH = f"touch {CANARY}"

REMOTES = [
    f"--upload-pack={TOUCH}", f"--receive-pack={TOUCH}", f"--exec={TOUCH}", f"-u{TOUCH}", "-", "--", "--all",
    f"ext::sh -c {TOUCH}", f"ext::sh -c '{TOUCH}'", "fd::17", "fd::0/x", "testgit::/x", "file::/x", "transport::address",
    f"ssh://-oProxyCommand={TOUCH}/x", f"ssh://-oProxyCommand={TOUCH}@host/x", f"-oProxyCommand={TOUCH}:x",
    f"ssh://host/$({TOUCH})", f"ssh://host/`{TOUCH}`",
    f"ssh://host/x;{TOUCH}", f"ssh://host/x|{TOUCH}", f"ssh://host/x&{TOUCH}",
    f"host:x;{TOUCH}", f"host:$({TOUCH})", f"host:'{TOUCH}'", f'host:"{TOUCH}"', f"host:-{TOUCH}", "host:--upload-pack=x",
    f"user@-host:{TOUCH}", "-user@host:x", "ssh://user@-host/x", "ssh://host:-1/x", "ssh://host:22x/x", "ssh://host/x\ny",
    "ssh://host/x\0y", "ssh://host/x\r\n[core]\n\tsshCommand = x",
    "/srv/mail.git\n\tpushurl = /x", "/srv/mail.git\"\n[core]",
    "https://user:password@host/x", "https://host/x?y=z", "https://host/x#y", "https://host\\evil/x", "https://ho st/x",
    "https://host/x y", "http://host/x", "git://host/x",
    "ftp://host/x", "gopher://host/x", "file://host/x", "HTTPS://host/x",
    "rsync://host/x", "\\\\host\\share", "C:\\mail", "~/mail.git", "$HOME/mail.git",
    "relative/path", "./mail.git", "../mail.git", "ssh:///x", "https:///x",
    "ssh://[::1/x", "ssh://[-oX]/x", "", " ", "host:",
    "ssh://host/\u202egnp", "ssh://h\u00f6st/x", f"/{'x' * 2000}",
]  # fmt: skip
IDS = [
    "..", ".", "../x", "a/b", "/etc", "a\0b", ".git", "a.lock",
    "HEAD", "@{u}", "a~1", "a^", "a:b", "a?b", "a*b", "a[b",
    "a\\b", "-a", "--all", "a b", "a\nb", "", "\u00e4",
    "a" * 64, "a" * 300, "A", "con.", "\u202ea", "a..b", "a@{0}", "$(touch x)",
    "`touch x`", ";touch x", "|touch x", "a//b", "a/", "%2e%2e", "\x7f", "\ud800",
]  # fmt: skip


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One loop is enough here: test_git.py holds the road's contract on both."""
    return "asyncio"


@pytest.fixture(autouse=True)
def canary() -> Any:
    Path(CANARY).unlink(missing_ok=True)
    yield
    assert not Path(CANARY).exists()


# ── words that would be commands ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("remote", REMOTES, ids=range(len(REMOTES)))
async def test_a_remote_that_is_none_is_never_handed_to_git(world: GitWorld, tmp_path: Path, remote: str) -> None:
    with pytest.raises(Barred):
        protocol_of(remote)
    hostile = Peer(id="there", addresses={"git": {"remote": remote}} if remote else {})
    with pytest.raises(Barred):
        await world.here.send(hostile, parcel(b"x"), LONG)
    world.here.own_word = lambda peer, address: True  # even the operator
    if remote:
        with pytest.raises(Barred):
            await world.here.send(hostile, parcel(b"x"), LONG)
        with pytest.raises(SettingsError):
            road(tmp_path, "a", remote=remote)


@pytest.mark.parametrize("word", IDS, ids=range(len(IDS)))
async def test_an_id_that_is_none_makes_no_ref_and_no_file(world: GitWorld, tmp_path: Path, word: str) -> None:
    def seen() -> list[Path]:
        return sorted(path for path in tmp_path.rglob("*"))

    await world.send(b"first")
    before = seen()
    addresses = world.peer.addresses
    for peer, cargo in (
        (Peer(id=word, addresses=addresses), parcel(b"x", to=word)),
        (world.peer, parcel(b"x", to=word)),
        (world.peer, Parcel(word, "here", "there", 4_000_000_000_000, b"x")),
    ):
        with pytest.raises(Barred):
            await world.here.send(peer, cargo, LONG)
    await world.here.forget(Peer(id=word, addresses=addresses), [word])
    for names in ({"node": word, "fleet": "f"}, {"node": "a", "fleet": word}):
        with pytest.raises(SettingsError):
            git.build({"remote": str(world.mail), "state": tmp_path / "a", **names}, {})
    assert seen() == before


async def test_a_peers_own_manifest_names_no_remote_for_us(world: GitWorld, tmp_path: Path) -> None:
    inside = bare(tmp_path / "inside.git")
    for remote in (str(inside), f"file://{inside}", "ssh://169.254.169.254/x", "https://127.0.0.1:8855/x"):
        with pytest.raises(Barred, match="own configuration"):
            await world.here.send(Peer(id="there", addresses={"git": {"remote": remote}}), parcel(b"x"), LONG)
    world.here.own_word = lambda peer, remote: (peer, remote) == ("there", str(inside))
    outcome = await world.here.send(Peer(id="there", addresses={"git": {"remote": str(inside)}}), parcel(b"x"), LONG)
    assert outcome.word is Word.TAKEN


async def test_a_hostile_environment_reaches_nothing(
    world: GitWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".config/git").mkdir(parents=True)
    (home / ".ssh").mkdir()
    evil = f'[core]\n\tsshCommand = {TOUCH}\n\thooksPath = {home}\n\tfsmonitor = {TOUCH}\n[alias]\n\tpush = "!{TOUCH}"\n'
    evil += f"[credential]\n\thelper = !{TOUCH}\n[push]\n\tgpgSign = true\n[gpg]\n\tprogram = {TOUCH}\n"
    (home / ".gitconfig").write_text(evil)
    (home / ".config/git/config").write_text(evil)
    (home / ".ssh/config").write_text(f"Host *\n\tProxyCommand {TOUCH}\n")
    (home / "pre-push").write_text(f"#!/bin/sh\n{TOUCH}\n")
    (home / "pre-push").chmod(0o755)
    for name in ("GIT_SSH_COMMAND", "GIT_SSH", "GIT_EXTERNAL_DIFF", "GIT_ASKPASS", "SSH_ASKPASS", "GIT_PROXY_COMMAND"):
        monkeypatch.setenv(name, TOUCH)
    for name, value in {
        "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"),
        "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.hooksPath",
        "GIT_CONFIG_VALUE_0": str(home), "GIT_DIR": str(home),
        "GIT_ALLOW_PROTOCOL": "ext", "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_TEMPLATE_DIR": str(home), "GIT_TRACE": CANARY, "GIT_EXEC_PATH": str(home), "GIT_OBJECT_DIRECTORY": str(home),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(home)
    fresh = road(tmp_path, "fresh", others=[str(world.mail), "ssh://127.0.0.1:1/x"])
    await fresh.open()
    assert (await fresh.send(world.peer, parcel(b"x"), LONG)).word is Word.TAKEN
    with pytest.raises(Exception):  # noqa: B017  what it says is told elsewhere
        await fresh.send(Peer(id="b", addresses={"git": {"remote": "ssh://127.0.0.1:1/x"}}), parcel(b"x", to="b"), LONG)
    await fresh.close()
    collector = Collector()
    async with listening(world, collector):
        assert await collector.wait_for(1) == [b"x"]


def test_git_sees_nothing_of_our_environment_but_what_it_needs() -> None:
    given = {"PATH": "/bin", "FLEET_KEY": "secret", "AWS_SECRET_ACCESS_KEY": "secret", "HOME": "/root"}
    kept = environment(given, Path("/x"), "ssh")
    assert "secret" not in kept.values() and kept["HOME"] == "/x" and kept["GIT_TERMINAL_PROMPT"] == "0"


def test_a_loose_file_of_passwords_is_refused(tmp_path: Path) -> None:
    keys = tmp_path / "passwords"
    keys.write_text("https://user:password@host\n")
    keys.chmod(0o644)
    made = road(tmp_path, "a", remote="https://host/x", credentials=str(keys))
    with pytest.raises(SettingsError, match="others can read"):
        asyncio.run(made.open())
    for words in ({"host_key": "x\ny"}, {"credentials": str(tmp_path / "none")}):
        with pytest.raises(SettingsError):
            asyncio.run(road(tmp_path, "a", remote="https://host/x", **words).open())


# ── content that is no mailbox ───────────────────────────────────────────────────────────────────────────────────────


def entry(world: GitWorld, mode: str, name: str, data: bytes = b"evil", kind: str = "blob") -> bytes:
    """One entry of a tree, as bytes that git itself would refuse to make."""
    oid = run("hash-object", "-w", "--stdin", "-t", kind, "--literally", cwd=world.mail, stdin=data)
    return b"%s %s\0" % (mode.encode(), name.encode("utf-8", "surrogateescape")) + bytes.fromhex(oid)


def plant(world: GitWorld, *entries: bytes, sender: str = "evil") -> None:
    """Put a tree into a mailbox of `there`."""
    tree = run("hash-object", "-w", "--stdin", "-t", "tree", "--literally", cwd=world.mail, stdin=b"".join(entries))
    commit = run("commit-tree", tree, "-m", "x", cwd=world.mail)
    run("update-ref", f"refs/fleet/fleet-1/there/{sender}", commit, cwd=world.mail)


TREES = {
    "dotdot": [("100644", "..")], "dot": [("100644", ".")], "dotgit": [("100644", ".git")], "slash": [("100644", "a/b")],
    "absolute": [("100644", "/etc/passwd")], "empty name": [("100644", "")], "symlink": [("120000", NAME)],
    "gitlink": [("160000", NAME)], "executable": [("100755", NAME)], "twice": [("100644", NAME), ("100644", NAME)],
    "other name": [("100644", "README")], "long name": [("100644", "a" * 5000)], "gitmodules": [("100644", ".gitmodules")],
    "upper case": [("100644", NAME.upper())], "newline": [("100644", f"{NAME}\n")], "traversal": [("100644", f"../{NAME}")],
    "no mode": [("1", NAME)], "zero mode": [("000000", NAME)],
    "unicode": [("100644", "\u202egnp")], "hfs": [("100644", ".g\u200cit")],
}  # fmt: skip


@pytest.mark.parametrize("name", TREES)
async def test_a_hostile_tree_harms_only_its_own_sender(world: GitWorld, tmp_path: Path, name: str) -> None:
    plant(world, *(entry(world, mode, path) for mode, path in TREES[name]))
    await world.send(b"honest")
    collector = Collector()
    async with listening(world, collector):
        await collector.wait_for(1)
        await world.send(b"honest again")
        while b"honest again" not in collector.came:
            await collector.wait_for(len(collector.came) + 1)
    allowed = {b"evil"} if name == "twice" else set()
    assert set(collector.came) - allowed == {b"honest", b"honest again"}
    assert set(os.listdir(tmp_path)) == {"mail.git", "here", "there"}


async def test_refs_that_hold_no_commit_are_no_mailboxes(world: GitWorld) -> None:
    blob = run("hash-object", "-w", "--stdin", cwd=world.mail, stdin=b"evil")
    tag = f"object {blob}\ntype blob\ntag x\ntagger x <x> 0 +0000\n\nx\n".encode()
    run("update-ref", "refs/fleet/fleet-1/there/a-blob", blob, cwd=world.mail)
    run("update-ref", "refs/fleet/fleet-1/there/a-tag", run("mktag", cwd=world.mail, stdin=tag), cwd=world.mail)
    for stranger in ("Evil", "a.b", "-x", "a" * 64):
        run("update-ref", f"refs/fleet/fleet-1/there/{stranger}", blob, cwd=world.mail)
    run("update-ref", "refs/evil/refs/fleet/fleet-1/there/sly", blob, cwd=world.mail)
    await world.send(b"honest")
    collector = Collector()
    async with listening(world, collector):
        assert await collector.wait_for(1) == [b"honest"]


async def test_a_huge_blob_is_neither_kept_nor_handed_over(world: GitWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "FETCHED", 4 << 20)
    plant(world, entry(world, "100644", NAME, os.urandom(48 << 20)), sender="huge")
    plant(world, entry(world, "100644", NAME, bytes(policy.PARCEL_LIMIT + 1)), sender="large")
    plant(world, entry(world, "100644", NAME, bytes(200 << 20)), sender="bomb")
    await world.send(b"honest")
    collector = Collector()
    async with listening(world, collector):
        assert await collector.wait_for(1) == [b"honest"]
        await world.send(b"honest again")
        assert await collector.wait_for(2) == [b"honest", b"honest again"]


async def test_a_tree_without_end_is_an_empty_mailbox(world: GitWorld) -> None:
    blob = bytes.fromhex(run("hash-object", "-w", "--stdin", cwd=world.mail, stdin=b"evil"))
    plant(world, *(b"100644 %s\0%s" % (f"{n:032x}.4000000000000.m".encode(), blob) for n in range(30_000)))
    await world.send(b"honest")
    collector = Collector()
    async with listening(world, collector):
        await collector.wait_for(1)
    assert collector.came.count(b"honest") == 1 and len(collector.came) <= 2


async def test_a_long_history_is_not_fetched(world: GitWorld, tmp_path: Path) -> None:
    junk = run("hash-object", "-w", "--stdin", cwd=world.mail, stdin=os.urandom(6 << 20))
    old = run("mktree", cwd=world.mail, stdin=f"100644 blob {junk}\tx\n".encode())
    parent = run("commit-tree", old, "-m", "old", cwd=world.mail)
    blob = run("hash-object", "-w", "--stdin", cwd=world.mail, stdin=b"new")
    new = run("mktree", cwd=world.mail, stdin=f"100644 blob {blob}\t{NAME}\n".encode())
    run("update-ref", MAILBOX, run("commit-tree", new, "-p", parent, "-m", "new", cwd=world.mail), cwd=world.mail)
    collector = Collector()
    async with listening(world, collector):
        assert await collector.wait_for(1) == [b"new"]
    assert sum(path.stat().st_size for path in (tmp_path / "there").rglob("*.pack")) < 1 << 20


async def test_our_copy_does_not_grow_for_ever(world: GitWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "KEPT_FILES", 12)
    collector = Collector()
    async with listening(world, collector):
        for n in range(12):
            sent = parcel(b"parcel %d" % n)
            await world.here.send(world.peer, sent, LONG)
            await collector.wait_for(n + 1)
            await world.here.forget(world.peer, [sent.pid])
    assert sorted(collector.came) == sorted(b"parcel %d" % n for n in range(12))
    assert len(list((tmp_path / "there").rglob("*.pack"))) < 8


# ── two real nodes that only git joins ───────────────────────────────────────────────────────────────────────────────


def words(remote: Path, patience: float = 60.0) -> str:
    return f'[channel.git]\nremote = "{remote}"\npoll = 0.1\npatience = {patience}\n'


BOX = "refs/fleet/simfleet/b/a"


async def test_a_message_arrives_by_git_alone_and_its_receipt_comes_home(tmp_path: Path) -> None:
    remote = bare(tmp_path / "mail.git")
    async with Pair(tmp_path, "git", words(remote)) as pair:
        await pair.start("a")
        ids = await pair.send("one", "two", "three")
        await pair.until(lambda: all(pair.state(id) == "custody" for id in ids))
        await pair.start("b")
        await pair.received(ids)
        assert sorted(pair.arrived()) == ["one", "three", "two"]
        assert [(attempt.channel, attempt.result) for attempt in pair.attempts(ids[0])] == [("git", Result.TAKEN)]
        await pair.until(lambda: filed(remote, BOX) == [])  # taken back


async def test_a_thousand_waiting_messages_go_out_in_ten_pushes(tmp_path: Path) -> None:
    remote = bare(tmp_path / "mail.git")
    count_pushes(remote)
    bodies = [f"{n:04d} " + "x" * 1019 for n in range(1000)]
    async with Pair(tmp_path, "git", words(remote)) as pair:
        await pair.start("a")
        ids = await pair.send(*bodies)
        await pair.until(lambda: all(pair.state(id) == "custody" for id in ids))
        out = pushes(remote)
        await pair.start("b")
        await pair.received(ids)
        assert sorted(pair.arrived()) == bodies
        await pair.until(lambda: filed(remote, BOX) == [])
        mine = pushes(remote)
    assert out <= 10
    assert mine <= 20  # with what took them back, and the receipts


LIES = {
    "drop": lambda remote: run("update-ref", "-d", BOX, cwd=remote),
    "empty": lambda remote: put(remote, {}),
    "forge": lambda remote: put(remote, {NAME: os.urandom(5000)}),
    "corrupt": lambda remote: put(remote, {name: data[:-1] + bytes([data[-1] ^ 1]) for name, data in read(remote).items()}),
    "cut": lambda remote: put(remote, {name: data[: len(data) // 2] for name, data in read(remote).items()}),
    "swap": lambda remote: put(remote, dict(zip(read(remote), reversed(read(remote).values()), strict=True))),
    "repeat": lambda remote: put(remote, {f"{n:032x}.4000000000000.m": d for d in read(remote).values() for n in range(9)}),
    "misaddress": lambda remote: run("update-ref", "refs/fleet/simfleet/a/b", BOX, cwd=remote),
    "impersonate": lambda remote: run("update-ref", "refs/fleet/simfleet/b/c", BOX, cwd=remote),
}


def read(remote: Path) -> dict[str, bytes]:
    """The files of the mailbox."""
    names = run("ls-tree", "--name-only", BOX, cwd=remote).split()
    return {name: git_bytes(remote, f"{BOX}:{name}") for name in names}


def git_bytes(remote: Path, what: str, kind: str = "blob") -> bytes:
    return subprocess.run(["git", "cat-file", kind, what], cwd=remote, capture_output=True, check=True).stdout


def put(remote: Path, files: dict[str, bytes], ref: str = BOX) -> None:
    """Be the remote that says what it likes."""
    blobs = {name: run("hash-object", "-w", "--stdin", cwd=remote, stdin=data) for name, data in files.items()}
    lines = [f"100644 blob {blob}\t{name}\n" for name, blob in blobs.items()]
    tree = run("mktree", cwd=remote, stdin="".join(lines).encode())
    run("update-ref", ref, run("commit-tree", tree, "-m", "a lie", cwd=remote), cwd=remote)


@pytest.mark.parametrize("lie", LIES)
async def test_a_remote_that_lies_loses_nothing_and_doubles_nothing(tmp_path: Path, lie: str) -> None:
    remote = bare(tmp_path / "mail.git")
    async with Pair(tmp_path, "git", words(remote, patience=1.5)) as pair:
        await pair.start("a")
        ids = await pair.send("one", "two") + await pair.send("three")
        await pair.until(lambda: all(pair.state(id) == "custody" for id in ids))
        LIES[lie](remote)
        await pair.start("b")
        await pair.received(ids)
        assert sorted(pair.arrived()) == ["one", "three", "two"]
        assert pair.arrived("a") == []


async def test_a_remote_that_brings_back_what_was_settled_doubles_nothing(tmp_path: Path) -> None:
    remote = bare(tmp_path / "mail.git")
    async with Pair(tmp_path, "git", words(remote)) as pair:
        await pair.start("a")
        ids = await pair.send("one")
        await pair.until(lambda: pair.state(ids[0]) == "custody")
        old = run("rev-parse", BOX, cwd=remote)
        await pair.start("b")
        await pair.received(ids)
        await pair.until(lambda: filed(remote, BOX) == [])
        run("update-ref", BOX, old, cwd=remote)
        more = await pair.send("two")
        await pair.received(more)
        await pair.stop("b")
        run("update-ref", BOX, old, cwd=remote)
        await pair.start("b")
        last = await pair.send("three")
        await pair.received(last)
        assert pair.arrived() == ["one", "two", "three"]


async def test_receipts_that_are_withheld_are_written_again(tmp_path: Path) -> None:
    remote = bare(tmp_path / "mail.git")
    async with Pair(tmp_path, "git", words(remote, patience=1.5)) as pair:
        await pair.start()
        withheld = asyncio.ensure_future(_withhold(remote, 3))
        ids = await pair.send("one")
        await withheld
        await pair.received(ids)
        assert pair.arrived() == ["one"]


async def _withhold(remote: Path, times: int) -> None:
    """Throw what b writes to a away, so many times."""
    ref = "refs/fleet/simfleet/a/b"
    while times:
        if any(line.endswith(ref) for line in run("for-each-ref", cwd=remote).splitlines()) and filed(remote, ref):
            put(remote, {}, ref)
            times -= 1
        await asyncio.sleep(0.01)


async def test_nothing_on_the_remote_can_be_read(tmp_path: Path) -> None:
    remote = bare(tmp_path / "mail.git")
    secret = f"canary {secrets.token_hex(8)}"
    async with Pair(tmp_path, "git", words(remote)) as pair:
        await pair.start()
        await pair.received(await pair.send(secret))
    everything = run("cat-file", "--batch-all-objects", "--batch-check=%(objectname)", cwd=remote).split()
    assert everything
    kinds = {oid: run("cat-file", "-t", oid, cwd=remote) for oid in everything}
    assert not [oid for oid, kind in kinds.items() if secret.encode() in git_bytes(remote, oid, kind)]


def test_the_road_is_built_from_the_daemons_words(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        git.build({}, {})
    assert git.build({"node": "a", "fleet": "f", "state": tmp_path}, {}).traits.replies is False
