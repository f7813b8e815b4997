"""Two real nodes and agent sessions: mail goes in, is shown once, the sender learns it; also when daemons are killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fleet
from tests.support.nodes import PATIENCE, Node, World, until

HOOKS = str(Path(fleet.__file__).parent / "faces" / "hooks.py")


class Claude:
    """A stand-in for one Claude Code session: a process of its own, and a socket that takes its line format."""

    def __init__(self, directory: Path, session: str) -> None:
        self.session = session
        self.path = str(directory / f"{session}.sock")
        self.said: list[dict[str, Any]] = []
        self.process = subprocess.Popen([sys.executable, "-I", "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(self.path)
        self.door.listen(8)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self.door.accept()
            except OSError:
                return
            with line, line.makefile("rb") as rows:
                words = [json.loads(row) for row in rows]
                if words[0] == {"type": "auth", "token": f"token of {self.session}"}:
                    self.said += words[1:]

    def texts(self) -> list[str]:
        return [one["message"]["content"] for one in self.said]

    def environ(self, *, line: bool = True) -> dict[str, str]:
        socket_words = {
            "CLAUDE_CODE_MESSAGING_SOCKET": self.path, "CLAUDE_CODE_MESSAGING_TOKEN": f"token of {self.session}"
        }  # fmt: skip
        return {"CLAUDECODE": "1", "CLAUDE_PID": str(self.process.pid), **(socket_words if line else {})}

    def close(self) -> None:
        self.door.close()
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def claude(world: World, tmp_path: Path) -> Iterator[Claude]:
    one = Claude(tmp_path, "s1")
    yield one
    one.close()


def start_hook(node: Node, event: str, session: str, *, ide: str = "claude", **environ: str) -> "subprocess.Popen[bytes]":
    """Begin a hook on a node."""
    kept = {name: value for name, value in node.environ.items() if not name.startswith("CLAUDE")}
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", HOOKS, event, "--ide", ide], env={**kept, **environ}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(json.dumps({"session_id": session, "cwd": "/work/api", "hook_event_name": event}).encode())
    process.stdin.close()
    process.stdin = None
    return process


def hook(node: Node, event: str, session: str, *, ide: str = "claude", **environ: str) -> str:
    """Run a hook on a node; gives the text for the agent."""
    out, err = start_hook(node, event, session, ide=ide, **environ).communicate(timeout=PATIENCE)
    assert err == b""
    said = json.loads(out) if out else {}
    return str(said.get("reason") or said.get("hookSpecificOutput", {}).get("additionalContext", ""))


def test_an_idle_session_is_handed_a_message_through_its_socket(world: World, claude: Claude) -> None:
    a, b = world.pair()
    hook(b, "start", "s1", **claude.environ())
    hook(b, "idle", "s1", **claude.environ())
    sent = a.fleet("send", "b", "the build is green", "--wait", "shown", "--json")
    assert (sent.code, sent.value["state"]) == (0, "shown")
    (text,) = claude.texts()
    assert "| the build is green" in text
    assert claude.said[0]["from"] == "fleet:a"
    assert hook(b, "prompt", "s1", **claude.environ()) == ""
    (mail,) = b.ok("inbox", "--all")
    assert (mail["id"], mail["state"]) == (sent.value["id"], "shown")
    assert b.ok("trace", sent.value["id"])["session"] == "s1"
    log = (b.home / "log" / "fleetd.log").read_text() if (b.home / "log" / "fleetd.log").exists() else ""
    assert "the build is green" not in log + b.log_file.read_text()
    assert "token of s1" not in log + b.log_file.read_text()


def test_a_hook_that_waits_beside_the_session_wakes_it(world: World, claude: Claude) -> None:
    a, b = world.pair()
    hook(b, "idle", "s1", **claude.environ(line=False))
    waiting = start_hook(b, "wait", "s1", **claude.environ(line=False))
    until(lambda: b.ok("sessions")[0]["reach"] == "waiter", "the hook waits")
    sent = a.fleet("send", "b", "wake up", "--agent", "claude", "--wait", "shown", "--json")
    out, err = waiting.communicate(timeout=PATIENCE)
    assert (waiting.returncode, out) == (2, b"")
    assert b"| wake up" in err
    assert sent.value["state"] == "shown"


def test_a_waiting_hook_outlives_its_daemon_and_is_let_go_when_the_session_ends(world: World, claude: Claude) -> None:
    a, b = world.pair()
    hook(b, "idle", "s1", **claude.environ(line=False))
    waiting = start_hook(b, "wait", "s1", **claude.environ(line=False))
    until(lambda: b.ok("sessions")[0]["reach"] == "waiter", "the hook waits")
    b.kill()
    b.start()
    until(lambda: [one["reach"] for one in b.ok("sessions") if one["node"] == "b"] == ["waiter"], "it waits again")
    other = start_hook(b, "wait", "s1", **claude.environ(line=False))
    assert waiting.wait(PATIENCE) == 0  # one waits, no more
    waiting.communicate()
    hook(b, "end", "s1", **claude.environ(line=False))
    out, err = other.communicate(timeout=PATIENCE)
    assert (other.returncode, out, err) == (0, b"", b"")
    assert [one for one in b.ok("sessions") if one["node"] == "b"] == []
    assert a.ok("send", "b", "later")["state"] == "received"


def test_a_daemon_killed_before_the_hook_could_confirm_shows_nothing_twice(world: World, claude: Claude) -> None:
    a, b = world.pair()
    hook(b, "start", "s1", **claude.environ(line=False))
    id = a.ok("send", "b", "only once")["id"]
    b.signal(signal.SIGSTOP)
    prompt = start_hook(b, "prompt", "s1", **claude.environ(line=False))
    b.kill()
    out, _ = prompt.communicate(timeout=PATIENCE)
    b.start()
    again = hook(b, "prompt", "s1", **claude.environ(line=False))
    assert (out.decode() + again).count("| only once") == 1
    until(lambda: a.ok("trace", id)["state"] == "shown", "the sender learns it")


def test_mail_that_came_while_the_daemon_was_down_is_shown_by_the_hook_alone(world: World, claude: Claude) -> None:
    a, b = world.pair()
    id = a.ok("send", "b", "from the store")["id"]
    b.terminate()
    assert "| from the store" in hook(b, "prompt", "s1", **claude.environ(line=False))
    assert hook(b, "prompt", "s1", **claude.environ(line=False)) == ""
    (mail,) = b.ok("inbox", "--all")
    assert mail["state"] == "shown"
    b.start()
    until(lambda: a.ok("trace", id)["state"] == "shown", "the sender learns it")


def test_sessions_of_all_nodes_are_listed_and_a_dead_one_is_unknown(world: World, claude: Claude) -> None:
    a, b = world.pair()
    hook(b, "start", "s1", **claude.environ())
    hook(a, "start", "c1", ide="codex")
    found = {one["id"]: one for one in a.ok("sessions")}
    assert (found["c1"]["node"], found["c1"]["program"], found["c1"]["cwd"]) == ("a", "codex", "/work/api")
    assert (found["s1"]["node"], found["s1"]["agent"], found["s1"]["cwd"]) == ("b", "claude", "")  # at trust 2
    assert {"id", "node", "program", "agent", "cwd", "idle_ms", "state"} <= set(found["s1"])
    assert a.ok("inbox", "--all") == b.ok("inbox", "--all") == []  # what the daemons asked each other is nobody's mail
    b.kill()
    until(lambda: [one["state"] for one in a.ok("sessions") if one["node"] == "b"] == ["unknown"], "b is unknown", 90)
    assert a.ok("dead") == []


def test_a_session_whose_process_is_gone_is_dropped_and_its_mail_waits(world: World, claude: Claude) -> None:
    a, b = world.pair()
    hook(b, "start", "s1", **claude.environ())
    claude.close()
    assert b.ok("sessions") == [one for one in b.ok("sessions") if one["node"] != "b"]
    sent = a.fleet("send", "b", "hello", "--session", "s1", "--wait", "shown", "--timeout", "1", "--json")
    assert (sent.code, sent.value["state"]) == (9, "received")
    assert [mail["id"] for mail in b.ok("inbox", "--peek")] == [sent.value["id"]]


def test_the_names_of_agents_travel_to_the_others(world: World, claude: Claude) -> None:
    a, b = world.pair()
    hook(b, "start", "s1", **claude.environ(), FLEET_AGENT="reviewer")
    until(lambda: a.ok("peers")[0]["agents"] == ["reviewer"], "a knows the agent", 60)


def test_the_tokens_of_sessions_are_in_no_file(world: World, claude: Claude) -> None:
    _, b = world.pair()
    hook(b, "start", "s1", **claude.environ())
    b.terminate()
    files = [Path(place) / name for place, _, names in os.walk(b.home) for name in names]
    assert [file for file in files if not file.is_socket() and b"token of s1" in file.read_bytes()] == []
