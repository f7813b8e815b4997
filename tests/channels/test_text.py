"""P8: our own line, once, never a peer's word, never Enter; the message stays where it is."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from channels import text
from channels.text import LINE, Text
from fleet.core.channel import Traits
from fleet.core.outcome import Outcome, Word
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.errors import Barred, Faulty, RoadError, Unreachable
from tests.channels.contract import LONG, Conformance, World, parcel
from tests.support.nodes import World as Nodes
from tests.support.nodes import until

HOSTILE = [
    "$(touch canary)", "`touch canary`", "; touch canary", "\n touch canary\n", "\x1b]52;c;Y2FuYXJ5\x07", "\x1b[2J",
    "\x9b2J", "\r", "\x07", "‮", "​", "\x1bPtmux;\x1b\x1b]0;x\x07\x1b\\", "'\"", "#{pane_id}", "#(touch canary)",
]  # fmt: skip


class Tmux:
    """A tmux server of a test's own, found by the environment as a person's is."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setenv("TMUX_TMPDIR", str(directory))
        patch.delenv("TMUX", raising=False)

    def do(self, *words: str) -> str:
        return subprocess.run(["tmux", *words], capture_output=True, text=True, timeout=30, check=True).stdout

    def session(self, name: str, program: str = "cat") -> str:
        """Start a program in a pane of its own; gives the pane."""
        self.do("-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "30", "-s", name, program)
        return f"{name}:0.0"

    def shows(self, pane: str) -> str:
        return self.do("capture-pane", "-p", "-J", "-t", pane)

    def await_line(self, pane: str) -> str:
        until(lambda: LINE in self.shows(pane), "the pane shows our line")
        return self.shows(pane)


@pytest.fixture
def tmux(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tmux]:
    with tempfile.TemporaryDirectory(prefix="fl", dir="/tmp") as directory:  # a socket's path is limited
        tmux = Tmux(Path(directory), monkeypatch)
        yield tmux
        subprocess.run(["tmux", "kill-server"], capture_output=True, timeout=30)


class TextWorld(World):
    async def start(self) -> None:
        self.here, self.there = Text(), Text()
        self.peer = Peer(id="there", addresses={"text": {"tmux": "there:0.0"}})


class TestContract(Conformance):
    World = TextWorld


def peer_of(pane: str = "", **table: Any) -> Peer:
    return Peer(id="there", name="\x1b[2J", description="$(touch canary)", addresses={"text": {"tmux": pane, **table}})


def believing(**more: Any) -> Text:
    road = Text(**more)
    road.own_word = lambda peer, word: True
    return road


def send(road: Text, peer: Peer, data: bytes = b"sealed") -> Word:
    return asyncio.run(road.send(peer, parcel(data, to=peer.id), LONG)).word


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_line_is_our_own_ascii_and_a_comment() -> None:
    assert LINE.isascii() and LINE.isprintable() and LINE.startswith("# ")
    assert not set(LINE) & set("$`\\\"'|&<>(){}*?![]~")


@pytest.mark.tier("terminal")
def test_the_pane_shows_our_line_once_and_nobody_pressed_enter(tmux: Tmux) -> None:
    pane, clock = tmux.session("main"), Clock()
    road = believing(steady=clock)
    assert send(road, peer_of(pane)) is Word.NUDGED
    assert tmux.await_line(pane).strip() == LINE, "cat would have said it again after Enter"
    with pytest.raises(Barred, match="once in 30 s"):
        send(road, peer_of(pane))
    clock.now += 31
    with pytest.raises(Barred, match="shows it already"):
        send(road, peer_of(pane))
    assert tmux.shows(pane).count(LINE) == 1


@pytest.mark.tier("terminal")
@pytest.mark.parametrize("word", HOSTILE)
def test_no_word_of_a_peer_reaches_the_pane(tmux: Tmux, tmp_path: Path, word: str) -> None:
    pane = tmux.session("main", f"cd {tmp_path} && exec env PS1= ENV= sh -i")
    peer = Peer(id="there", name=word, description=word, agents=(word,), addresses={"text": {"tmux": pane, "note": word}})
    send(believing(), peer, word.encode("utf-8", "replace"))
    assert tmux.await_line(pane).strip() == LINE
    tmux.do("send-keys", "-t", pane, "Enter")
    tmux.do("send-keys", "-t", pane, "-l", "echo fin''ished > done")
    tmux.do("send-keys", "-t", pane, "Enter")
    until(lambda: (tmp_path / "done").exists(), "the shell went on")
    assert [path.name for path in tmp_path.iterdir()] == ["done"]


@pytest.mark.tier("terminal")
def test_a_pane_that_scrolls_takes_no_keys(tmux: Tmux) -> None:
    pane = tmux.session("main")
    tmux.do("copy-mode", "-t", pane)
    with pytest.raises(Barred, match="scrolls"):
        send(believing(), peer_of(pane))


@pytest.mark.tier("terminal")
def test_a_pane_that_is_not_there_is_recorded_with_its_reason(tmux: Tmux) -> None:
    with pytest.raises(Faulty, match="tmux"):
        send(believing(), peer_of("nobody:0.0"))  # no server runs
    pane = tmux.session("nobody-s-neighbour")
    with pytest.raises(Faulty, match="find"):
        send(believing(), peer_of("nobody:0.0"))
    assert not tmux.shows(pane).strip()


@pytest.mark.tier("terminal")
def test_what_is_half_typed_is_left_alone(tmux: Tmux, tmp_path: Path) -> None:
    pane = tmux.session("main", f"cd {tmp_path} && exec env PS1= ENV= sh -i")
    tmux.do("send-keys", "-t", pane, "-l", "touch canary ")
    send(believing(), peer_of(pane))
    tmux.await_line(pane)
    assert list(tmp_path.iterdir()) == []


def test_without_tmux_it_is_recorded_as_failed_with_its_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Faulty, match="tmux is not installed"):
        send(believing(), peer_of("main:0.0"))


def test_a_tmux_that_hangs_is_given_up_and_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "tmux"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 1000\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(text, "SHORT", 0.2)
    with pytest.raises(Unreachable, match="does not answer"):
        send(believing(), peer_of("main:0.0"))
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_nothing_of_the_environment_reaches_tmux_but_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "tmux"
    program.write_text(f'#!/bin/sh\nenv > {tmp_path}/env\nprintf "%s\\n" "$@" >> {tmp_path}/words\necho 000\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FLEET_KEY", "canary")
    send(believing(), peer_of("main:0.0"), b"canary")
    assert "canary" not in (tmp_path / "env").read_text() + (tmp_path / "words").read_text()
    assert (tmp_path / "words").read_text().splitlines()[-6:] == ["send-keys", "-t", "=main:0.0", "-l", "--", LINE]


def test_a_peer_cannot_choose_a_pane_here() -> None:
    with pytest.raises(Barred, match="only the operator"):
        send(Text(), peer_of("main:0.0"))


def shown(lines: list[str]) -> Callable[[str], Any]:
    async def say(line: str) -> None:
        lines.append(line)

    return say


def test_the_desktop_is_told_where_there_is_no_pane() -> None:
    lines: list[str] = []
    road = believing(say=shown(lines))
    assert send(road, Peer(id="there")) is Word.NUDGED
    with pytest.raises(Barred):
        send(road, Peer(id="other"))
    assert lines == [LINE.lstrip("# ")]


def test_the_peer_s_side_is_asked_over_ssh() -> None:
    asked: list[str] = []

    async def nudge(peer: Peer, timeout: float) -> None:
        asked.append(peer.id)

    assert send(believing(nudge=nudge), peer_of(ssh=True)) is Word.NUDGED
    assert asked == ["there"]
    with pytest.raises(Barred, match="no SSH road"):
        send(believing(), peer_of(ssh=True))


def test_a_peer_that_asks_over_ssh_gets_this_machine_s_own_pane_and_nothing_else() -> None:
    lines: list[str] = []

    async def story() -> None:
        road = Text(say=shown(lines))
        await road.announce()
        with pytest.raises(Barred, match="already"):
            await road.announce()
        with pytest.raises(Barred, match="configured"):
            await Text().announce()

    asyncio.run(story())
    assert lines == [LINE.lstrip("# ")]


def test_what_it_would_do_is_said_without_doing_it() -> None:
    assert believing().would(peer_of("main:0.0")) == "would type"
    with pytest.raises(Barred):
        believing().would(Peer(id="there"))


def test_it_is_built_from_its_table_and_the_roads_before_it() -> None:
    class Ssh:
        name = "ssh"
        traits = Traits(pings=False)

        async def nudge(self, peer: Peer, timeout: float) -> None:
            raise Unreachable("closed")

        async def open(self) -> None: ...
        async def send(self, peer: Peer, parcel: Parcel, timeout: float) -> Outcome:
            raise Unreachable("closed")

        async def listen(self, deliver: Any) -> None: ...
        async def forget(self, peer: Peer, pids: Any) -> None: ...
        async def close(self) -> None: ...

    with pytest.raises(Unreachable):
        send(text.build({}, {"ssh": Ssh()}), peer_of(ssh=True))
    for table in ({"desktop": False}, {"tmux": "", "desktop": False, "say": shown([])}):
        with pytest.raises(RoadError):
            send(text.build(table, {}), Peer(id="there"))
    assert send(text.build({"desktop": True, "say": shown([])}, {}), Peer(id="there")) is Word.NUDGED


@pytest.mark.tier("terminal")
def test_between_real_nodes_the_pane_shows_our_line_and_the_message_stays_accepted(tmux: Tmux) -> None:
    pane = tmux.session("desk")
    with Nodes() as world:
        a, b = world.pair()
        for key, value in {"order.channels": "http,text", "channel.text.enabled": "true"}.items():
            a.ok("config", "set", key, value)
        a.terminate()
        a.start()
        a.ok("peer", "set", "b", f"text.tmux={pane}")
        b.kill()
        (id,) = a.send("b", "are you there?")
        assert "are you there" not in tmux.await_line(pane)
        trace = until(lambda: a.ok("trace", id)["attempts"] and a.ok("trace", id), "the walk is on record")
        assert trace["state"] == "accepted"
        assert ("text", "nudged") in [(one["channel"], one["result"]) for one in trace["attempts"]]
