"""Seeds when things are wrong: full disks, refusals, hostile names and files; nothing lands elsewhere or half."""

import asyncio
import contextlib
import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from channels._seeds import Bed
from channels.seed import Seed
from fleet.core.channel import Answer, AnswerKind
from fleet.core.outcome import Word
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.core.seeds import is_seed, is_unfinished, seed_name, unfinished_name
from fleet.daemon import slot
from fleet.daemon.slot import Slot
from fleet.errors import Barred, Faulty, RoadError, Unreachable
from tests.channels.contract import LONG, Collector, parcel
from tests.channels.test_seed import made
from tests.support.sshd import SshServer, make_key, receive_command

PID = "0123456789abcdef0123456789abcdef"
UNFINISHED = f".{PID}.0123456789abcdef"
NAMES = [
    "", ".", "..", "../x", "../../etc/passwd", "/etc/passwd", "a/b", "a\\b", "~", "~root", "%2e%2e", "con",
    "nul.txt", ".git", ".ssh/authorized_keys", "x\0y", "x\ny", "é", "\u202e", "a" * 300, "-rf", "$(touch x)",
    "`x`", PID.upper(), PID + "0", PID[1:], f"{PID}/..", f"../{PID}", f"{PID}.seed/../x", f"{PID}.seed\0",
    f"{PID}.seed\n", f"{PID}.SEED", f".{PID}", "seeds", "fleet.db", "keys/signing.key", f"{PID}.seed~",
    f"\u0660{PID[1:]}", f" {PID}", f"{PID} ", "lpt1", "aux", "*", "?", "[a-z]", "{a,b}",
]  # fmt: skip


def hostile_names() -> list[str]:
    """Names no writer may use: the list, each behind several directories, and what dice make of a good one."""
    dice = random.Random(9)
    found = [prefix + name for name in NAMES for prefix in ("", "../", "/tmp/", "./", "seeds/../../")]
    for _ in range(200):
        letters = list(PID)
        letters[dice.randrange(32)] = chr(dice.choice([0, 1, 10, 13, 32, 46, 47, 92, 127, 0x2E, 0xFF0E, 0x2215]))
        found.append("".join(letters))
    return found


def tree(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else b""
        for path in directory.rglob("*")
        if not path.is_socket()
    }


async def reason(channel: Seed, peer: Peer, what: Parcel | None = None) -> RoadError:
    with pytest.raises(RoadError) as caught:
        await channel.send(peer, what or parcel(b"x" * 100_000), LONG)
    return caught.value


@contextlib.asynccontextmanager
async def opened(tmp_path: Path) -> Any:
    channel = made("", tmp_path / "known")
    try:
        yield channel
    finally:
        await channel.close()


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_name_is_made_of_the_pid_alone_or_not_at_all() -> None:
    assert seed_name(PID) == f"{PID}.seed" and is_seed(seed_name(PID)) and not is_unfinished(seed_name(PID))
    assert is_unfinished(unfinished_name(PID, bytes(8))) and not is_seed(unfinished_name(PID, bytes(8)))
    names = hostile_names()
    assert len(names) >= 300
    assert [name for name in names if seed_name(name) or is_seed(name) or is_unfinished(name)] == []


@pytest.mark.tier("ssh")
async def test_hostile_pids_write_nothing_anywhere(tmp_path: Path) -> None:
    target = tmp_path / "home" / "seeds"
    target.mkdir(parents=True)
    with SshServer(tmp_path / "sshd") as server:
        before = tree(tmp_path / "home")
        peer = Peer(id="there", addresses={"seed": server.words(directory=str(target))})
        async with opened(tmp_path) as channel:
            for name in hostile_names():
                with pytest.raises(Barred):
                    await channel.send(peer, Parcel(name, "here", "there", 4_000_000_000_000, b"x"), LONG)
                await channel.forget(peer, [name])
    assert tree(tmp_path / "home") == before


# ── the slot: what a peer may do in the directory ────────────────────────────────────────────────────────────────────


def text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def ask(slot_: Slot, kind: int, *words: bytes) -> tuple[int, bytes]:
    answer = slot_.answer(bytes([kind]) + b"\0\0\0\7" + b"".join(words))
    assert answer[1:5] == b"\0\0\0\7"
    return answer[0], answer[5:]


def status(slot_: Slot, kind: int, *words: bytes) -> int:
    """The status code of an answer; -1 when it is no status."""
    answered, data = ask(slot_, kind, *words)
    return int.from_bytes(data[:4], "big") if answered == slot.STATUS else -1


def put(slot_: Slot, name: str = UNFINISHED, data: bytes = b"x", flags: int = 0x2A) -> bytes:
    kind, answer = ask(slot_, slot.OPEN, text(name.encode()), struct.pack(">II", flags, 0))
    assert kind == slot.HANDLE
    handle = answer[4:]
    assert status(slot_, slot.WRITE, text(handle), struct.pack(">Q", 0), text(data)) == slot.OK
    return handle


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    found = tmp_path / "home" / "seeds"
    found.mkdir(parents=True, mode=0o700)
    (tmp_path / "home" / "secret").write_text("secret")
    return found


@pytest.fixture
def opening(directory: Path) -> Iterator[Slot]:
    opened = Slot(directory)
    yield opened
    opened.end()


def test_a_parcel_is_put_under_its_temporary_name_and_gets_its_own(directory: Path) -> None:
    told: list[str] = []
    opening = Slot(directory, on_seed=lambda: told.append("seed"))
    assert opening.answer(b"\1\0\0\0\3")[0] == slot.VERSION
    handle = put(opening, data=b"sealed")
    assert status(opening, slot.EXTENDED, text(b"fsync@openssh.com"), text(handle)) == slot.OK
    assert status(opening, slot.CLOSE, text(handle)) == slot.OK and told == []
    new = text(f"{PID}.seed".encode())
    assert status(opening, slot.EXTENDED, text(b"posix-rename@openssh.com"), text(UNFINISHED.encode()), new) == slot.OK
    opening.end()
    assert tree(directory) == {f"{PID}.seed": b"sealed"} and told == ["seed"]
    assert (directory / f"{PID}.seed").stat().st_mode & 0o777 == 0o600


def test_the_directory_a_path_names_means_nothing(directory: Path, opening: Slot) -> None:
    for prefix in ("/", "../", "/etc/", "seeds/../../"):
        handle = put(opening, prefix + UNFINISHED)
        assert status(opening, slot.CLOSE, text(handle)) == slot.OK
        assert status(opening, slot.REMOVE, text((prefix + UNFINISHED).encode())) == slot.OK
    assert tree(directory.parent) == {"seeds": b"", "secret": b"secret"}


def test_hostile_names_do_not_exist(directory: Path, opening: Slot) -> None:
    before = tree(directory.parent)
    for name in [*hostile_names(), "secret", "../secret", str(directory.parent / "secret")]:
        raw = text(name.encode("utf-8", "surrogatepass"))
        for kind, words in (
            (slot.OPEN, (raw, struct.pack(">II", 0x2A, 0))), (slot.REMOVE, (raw,)), (slot.STAT, (raw,)),
            (slot.RENAME, (raw, text(f"{PID}.seed".encode()))), (slot.RENAME, (text(UNFINISHED.encode()), raw)),
        ):  # fmt: skip
            assert status(opening, kind, *words) in (slot.DENIED, slot.NO_SUCH_FILE), (name, kind)
    assert tree(directory.parent) == before


def test_nothing_can_be_read_listed_or_changed_by_other_requests(directory: Path, opening: Slot) -> None:
    (directory / f"{PID}.seed").write_text("another's")
    before = tree(directory.parent)
    name = text(f"{PID}.seed".encode())
    assert status(opening, slot.OPEN, name, struct.pack(">II", 0x01, 0)) == slot.DENIED
    assert status(opening, slot.OPEN, name, struct.pack(">II", 0x2A, 0)) == slot.DENIED
    assert status(opening, slot.OPENDIR, text(b".")) == slot.DENIED
    for kind in (2, 5, 9, 10, 12, 14, 15, 19, 20, 21, 201, 255):
        assert status(opening, kind, name, name) in (slot.DENIED, slot.UNSUPPORTED, slot.BAD_MESSAGE)
    assert status(opening, slot.EXTENDED, text(b"hardlink@openssh.com"), name, name) == slot.UNSUPPORTED
    assert status(opening, slot.RENAME, name, text(b"f" * 32 + b".seed")) == slot.DENIED
    assert status(opening, slot.RENAME, text(UNFINISHED.encode()), text(b"f" * 32 + b".seed")) == slot.DENIED
    assert tree(directory.parent) == before


def test_a_file_is_never_opened_through_a_link_or_over_another(directory: Path, opening: Slot) -> None:
    (directory / UNFINISHED).symlink_to(directory.parent / "secret")
    assert status(opening, slot.OPEN, text(UNFINISHED.encode()), struct.pack(">II", 0x2A, 0)) == slot.FAILURE
    (directory / UNFINISHED).unlink()
    (directory / UNFINISHED).write_text("kept")
    assert status(opening, slot.OPEN, text(UNFINISHED.encode()), struct.pack(">II", 0x1A, 0)) == slot.FAILURE
    assert (directory.parent / "secret").read_text() == "secret" and (directory / UNFINISHED).read_text() == "kept"


def test_sizes_and_numbers_are_bounded(opening: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = put(opening)
    for offset in (1 << 20, 1 << 40, (1 << 64) - 1):
        assert status(opening, slot.WRITE, text(handle), struct.pack(">Q", offset), text(b"x")) == slot.FAILURE
    for n in range(slot.FILES_OPEN - 1):
        put(opening, f".{n:032x}.0123456789abcdef")
    many = text(f".{99:032x}.0123456789abcdef".encode())
    assert status(opening, slot.OPEN, many, struct.pack(">II", 0x2A, 0)) == slot.FAILURE
    assert status(opening, slot.CLOSE, text(handle)) == slot.OK
    monkeypatch.setattr(slot, "FILES_WAITING", 1)
    assert status(opening, slot.OPEN, many, struct.pack(">II", 0x2A, 0)) == slot.FAILURE


def test_a_file_that_was_not_written_whole_gets_no_name(directory: Path, opening: Slot) -> None:
    handle = put(opening)
    assert status(opening, slot.WRITE, text(handle), struct.pack(">Q", 1 << 20), text(b"x")) == slot.FAILURE
    assert status(opening, slot.WRITE, text(handle), struct.pack(">Q", 1), text(b"x")) == slot.OK
    assert status(opening, slot.CLOSE, text(handle)) == slot.OK
    names = text(UNFINISHED.encode()) + text(f"{PID}.seed".encode())
    assert status(opening, slot.RENAME, names) == slot.FAILURE
    assert set(tree(directory)) == {UNFINISHED}


def test_a_disk_that_is_nearly_full_takes_nothing(opening: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 100, 0))
    _, answer = ask(opening, slot.OPEN, text(UNFINISHED.encode()), struct.pack(">II", 0x2A, 0))
    assert answer[:4] == struct.pack(">I", slot.FAILURE) and b"full" in answer


def test_junk_packets_are_answered_and_harm_nothing(directory: Path, opening: Slot) -> None:
    dice = random.Random(4)
    before = tree(directory.parent)
    for _ in range(20_000):
        kind = dice.choice([0, 1, 3, 4, 5, 6, 7, 8, 11, 13, 16, 17, 18, 200, 255])
        packet = bytes([kind]) + dice.randbytes(dice.randrange(40))
        assert opening.answer(packet)[0] in (slot.STATUS, slot.VERSION, slot.NAME)
    assert tree(directory.parent) == before


def test_a_stream_that_is_no_sftp_ends_the_session(directory: Path) -> None:
    opening = Slot(directory)
    source, sink = os.pipe()
    os.write(sink, b"GET / HTTP/1.1\r\n\r\n")
    slot.serve(opening, source, sink)
    os.close(source), os.close(sink)
    opening.end()


# ── the bed: what lies in our own directory ──────────────────────────────────────────────────────────────────────────


async def swept(bed: Bed) -> list[bytes]:
    collector = Collector(lambda data: Answer(AnswerKind.CUSTODY))
    await bed.sweep(collector)
    return collector.came


async def test_only_plain_files_of_ours_with_a_parcels_name_are_read(directory: Path) -> None:
    secret = directory.parent / "secret"
    (directory / f"{1:032x}.seed").symlink_to(secret)
    os.mkfifo(directory / f"{2:032x}.seed")
    (directory / f"{3:032x}.seed").mkdir()
    os.link(secret, directory / f"{4:032x}.seed")
    (directory / f"{5:032x}.seed").write_bytes(bytes(1001))
    (directory / f"{6:032x}.seed").write_bytes(b"")
    (directory / f"{7:032x}.seed").write_bytes(b"good")
    for name in ("x", ".hidden", f"{PID}.seed~", f"{PID}", UNFINISHED):
        (directory / name).write_bytes(b"not a seed")
    bed = Bed(directory, 1000)
    assert await swept(bed) == [b"good"]
    assert await swept(bed) == []
    assert secret.read_text() == "secret"
    assert {"x", ".hidden", f"{PID}.seed~", PID, UNFINISHED} <= set(os.listdir(directory))


async def test_what_nobody_finished_or_could_take_in_leaves_in_time(directory: Path) -> None:
    bed = Bed(directory, 1000)
    for name, age in ((UNFINISHED, 7200), (f"{PID}.seed", 9 * 86_400), (f"{1:032x}.seed", 86_400)):
        (directory / name).write_bytes(b"x")
        then = (directory / name).stat().st_mtime - age
        os.utime(directory / name, (then, then))
    assert await swept(bed) == [b"x"]
    assert os.listdir(directory) == []


async def test_a_directory_that_others_can_write_to_is_not_listened_at(tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    loose.chmod(0o777)
    with pytest.raises(Faulty):
        Bed(loose, 10).prepare()
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises((Faulty, Unreachable)):
        Bed(link, 10).prepare()


async def test_a_seed_that_turns_into_a_link_at_any_moment_leads_nowhere(directory: Path) -> None:
    name, secret = directory / f"{PID}.seed", directory.parent / "secret"
    stop = asyncio.Event()

    def swap() -> None:
        for _ in range(10_000):
            spare = directory / f"{os.getpid()}.tmp"
            spare.write_bytes(b"good")
            spare.replace(name)
            spare.symlink_to(secret)
            with contextlib.suppress(OSError):
                spare.replace(name)
        stop.set()

    swapping = asyncio.get_running_loop().run_in_executor(None, swap)
    came: set[bytes] = set()
    bed = Bed(directory, 1000)
    while not stop.is_set():
        came |= set(await swept(bed))
        await asyncio.sleep(0)
    await swapping
    assert came <= {b"good"} and secret.read_text() == "secret"


async def test_junk_is_removed_and_what_was_put_off_lies_on(directory: Path) -> None:
    (directory / f"{PID}.seed").write_bytes(b"x")
    bed = Bed(directory, 1000)
    answers = iter([Answer(AnswerKind.BUSY, retry_after=50.0)])
    collector = Collector(lambda data: next(answers, Answer(AnswerKind.NONE)))
    assert await bed.sweep(collector) == 0 and os.listdir(directory) == [f"{PID}.seed"]
    assert await bed.sweep(collector) == 0 and collector.came == [b"x"] and 40 < bed.pause <= 50
    assert await Bed(directory, 1000).sweep(collector) == 0 and os.listdir(directory) == []


# ── a peer that refuses ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    with SshServer(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory of seeds on a disk of 64 KiB."""
    seeds = tmp_path / "home" / "seeds"
    seeds.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", seeds], check=True)
    yield seeds
    subprocess.run(["umount", "-l", seeds], check=True)


def peer_of(server: SshServer, **more: Any) -> Peer:
    return Peer(id="there", addresses={"seed": server.words(**more)})


@pytest.mark.tier("ssh")
async def test_a_peer_that_refuses_sftp_is_said_so(server: SshServer, tmp_path: Path) -> None:
    server.authorize('restrict,command="false"')
    async with opened(tmp_path) as channel:
        for directory in ("", "/tmp/nowhere"):
            assert isinstance(await reason(channel, peer_of(server, directory=directory)), Unreachable)
    with SshServer(tmp_path / "other", Subsystem="nothing /bin/true") as other:
        async with opened(tmp_path) as channel:
            assert isinstance(await reason(channel, peer_of(other, directory="/tmp")), Faulty)


@pytest.mark.tier("ssh")
async def test_a_directory_that_is_not_there_is_no_custody(server: SshServer, tmp_path: Path) -> None:
    async with opened(tmp_path) as channel:
        error = await reason(channel, peer_of(server, directory=str(tmp_path / "missing")))
        assert isinstance(error, Unreachable) and "No such file" in error.message
        (tmp_path / "there").mkdir()
        outcome = await channel.send(peer_of(server, directory=str(tmp_path / "there")), parcel(b"x"), LONG)
        assert outcome.word is Word.TAKEN


@pytest.mark.tier("ssh")
@pytest.mark.tier("hosts")
@pytest.mark.parametrize("by_slot", [False, True])
async def test_a_full_disk_at_the_peer_is_no_custody(
    server: SshServer, tmp_path: Path, small_disk: Path, by_slot: bool
) -> None:
    if by_slot:
        server.authorize(f'restrict,command="{receive_command(small_disk.parent)}"')
    peer = peer_of(server, directory="" if by_slot else str(small_disk))
    async with opened(tmp_path) as channel:
        error = await reason(channel, peer, parcel(bytes(500_000)))
        assert isinstance(error, Unreachable) and "did not take the file" in error.message
    assert tree(small_disk) == {}


@pytest.mark.tier("ssh")
async def test_an_impostor_gets_no_file(server: SshServer, tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    async with opened(tmp_path) as channel:
        other = make_key(tmp_path / "other")
        error = await reason(channel, peer_of(server, host_key=other, directory=str(tmp_path / "seeds")))
        assert isinstance(error, Faulty) and error.security
    assert "userauth" not in server.log and list((tmp_path / "seeds").iterdir()) == []


@pytest.mark.tier("ssh")
async def test_the_address_of_the_ssh_road_serves_unless_the_seeds_have_their_own(
    server: SshServer, tmp_path: Path
) -> None:
    (tmp_path / "seeds").mkdir()
    words = {"directory": str(tmp_path / "seeds")}
    peer = Peer(id="there", addresses={"ssh": server.words(), "seed": words})
    async with opened(tmp_path) as channel:
        assert (await channel.send(peer, parcel(b"x"), LONG)).word is Word.TAKEN
        elsewhere = Peer(id="there", addresses={"ssh": server.words(), "seed": {**words, "port": 1}})
        assert isinstance(await reason(channel, elsewhere), Unreachable)


@pytest.mark.tier("ssh")
async def test_a_session_that_died_while_idle_is_made_anew(server: SshServer, tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    peer = peer_of(server, directory=str(tmp_path / "seeds"))
    async with opened(tmp_path) as channel:
        for _ in range(3):
            assert (await channel.send(peer, parcel(b"x"), LONG)).word is Word.TAKEN
            server.kill()
            server.start()
    assert len(list((tmp_path / "seeds").glob("*.seed"))) == 3
