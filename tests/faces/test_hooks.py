"""`fleet hook` as the programs run it: what it says in each one's shape, and that no failure is ever seen."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fleet
from fleet.faces import cli, errand
from fleet.faces.programs import PROGRAMS

HOOKS = Path(fleet.__file__).parent / "faces" / "hooks.py"
BIN = HOOKS.parents[2] / "bin" / "fleet"
ID = "01a3185c500070a6a12ad375b810fac5"
CLAUDE = {"CLAUDECODE": "1", "CLAUDE_CODE_SESSION_ATTENDED": "1", "CLAUDE_PID": "4242"}
WAITING = {"text": "words of a peer", "ids": [ID]}

# What each program hands to a hook: taken down from Claude Code 2.1.328, by the schemas inside Codex 0.169, by the
# reference that comes with Gemini CLI 0.61, by the documentation of Cursor and VS Code.
INPUTS: dict[str, dict[str, dict[str, Any]]] = {
    "claude": {
        "start": {"session_id": "c1", "transcript_path": "/t.jsonl", "cwd": "/work", "hook_event_name": "SessionStart",
                  "source": "startup"},
        "prompt": {"session_id": "c1", "transcript_path": "/t.jsonl", "cwd": "/work", "permission_mode": "default",
                   "hook_event_name": "UserPromptSubmit", "prompt": "secret plans"},
        "idle": {"session_id": "c1", "transcript_path": "/t.jsonl", "cwd": "/work", "permission_mode": "default",
                 "hook_event_name": "Stop", "stop_hook_active": False, "last_assistant_message": "secret plans"},
        "end": {"session_id": "c1", "transcript_path": "/t.jsonl", "cwd": "/work", "hook_event_name": "SessionEnd",
                "reason": "prompt_input_exit"},
    },
    "codex": {
        "start": {"session_id": "x1", "transcript_path": None, "cwd": "/work", "hook_event_name": "SessionStart",
                  "model": "m", "permission_mode": "default", "source": "startup"},
        "prompt": {"session_id": "x1", "turn_id": "t", "transcript_path": None, "cwd": "/work", "model": "m",
                   "hook_event_name": "UserPromptSubmit", "permission_mode": "default", "prompt": "secret plans"},
        "idle": {"session_id": "x1", "turn_id": "t", "transcript_path": None, "cwd": "/work", "model": "m",
                 "hook_event_name": "Stop", "permission_mode": "default", "stop_hook_active": False,
                 "last_assistant_message": None},
        "end": {"session_id": "x1", "transcript_path": None, "cwd": "/work", "hook_event_name": "SessionEnd",
                "reason": "other"},
    },
    "gemini": {
        "start": {"session_id": "g1", "transcript_path": "/t", "cwd": "/work", "hook_event_name": "SessionStart",
                  "timestamp": "2026-11-21T04:00:00Z", "source": "startup"},
        "prompt": {"session_id": "g1", "transcript_path": "/t", "cwd": "/work", "hook_event_name": "BeforeAgent",
                   "timestamp": "2026-11-21T04:00:00Z", "prompt": "secret plans"},
        "idle": {"session_id": "g1", "transcript_path": "/t", "cwd": "/work", "hook_event_name": "AfterAgent",
                 "timestamp": "2026-11-21T04:00:00Z", "prompt": "p", "prompt_response": "r", "stop_hook_active": False},
        "end": {"session_id": "g1", "transcript_path": "/t", "cwd": "/work", "hook_event_name": "SessionEnd",
                "timestamp": "2026-11-21T04:00:00Z", "reason": "exit"},
    },
    "cursor": {
        "start": {"conversation_id": "u1", "generation_id": "g", "hook_event_name": "sessionStart",
                  "workspace_roots": ["/work"], "session_id": "u1", "is_background_agent": False},
        "prompt": {"conversation_id": "u1", "generation_id": "g", "hook_event_name": "beforeSubmitPrompt",
                   "workspace_roots": ["/work"], "prompt": "secret plans", "attachments": []},
        "idle": {"conversation_id": "u1", "generation_id": "g", "hook_event_name": "stop", "status": "completed",
                 "loop_count": 0, "workspace_roots": ["/work"]},
        "end": {"conversation_id": "u1", "hook_event_name": "sessionEnd", "workspace_roots": ["/work"],
                "reason": "completed"},
    },
    "vscode": {
        "start": {"sessionId": "v1", "cwd": "/work", "hookEventName": "SessionStart", "source": "new"},
        "prompt": {"session_id": "v1", "cwd": "/work", "hook_event_name": "UserPromptSubmit", "prompt": "secret plans"},
        "idle": {"session_id": "v1", "cwd": "/work", "hook_event_name": "Stop", "stop_hook_active": False},
    },
}  # fmt: skip
ALL = [(ide, event) for ide, events in INPUTS.items() for event in events]


class Daemon(threading.Thread):
    """Answers at the socket of a home as it was told, and keeps what it was asked."""

    def __init__(self, home: Path) -> None:
        super().__init__(daemon=True)
        self.answer: bytes = b"{}"
        self.status = 200
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.hang_up_at = ""  # a path at which it goes away instead of answering
        run = home / "run"
        run.mkdir(mode=0o700, exist_ok=True)
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(str(run / "fleet.sock"))
        self.door.listen(16)
        self.start()

    def run(self) -> None:
        while True:
            try:
                line, _ = self.door.accept()
            except OSError:
                return
            with line, line.makefile("rb") as words:
                while self._serve(line, words):
                    pass

    def _serve(self, line: socket.socket, words: Any) -> bool:
        head = words.readline().split()
        if len(head) < 2:
            return False
        size = 0
        while row := words.readline().strip():
            if row.lower().startswith(b"content-length:"):
                size = int(row.split(b":")[1])
        path = head[1].decode()
        self.asked.append((path, json.loads(words.read(size))))
        if path == self.hang_up_at:
            return False
        body = self.answer if path != "/inbox/shown" else b'{"shown":[]}'
        line.sendall(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (self.status, len(body), body))
        return True


@pytest.fixture
def daemon(home: Path) -> Iterator[Daemon]:
    daemon = Daemon(home)
    yield daemon
    daemon.door.close()


def hook(*words: str, given: Any = None, environ: dict[str, str] | None = None) -> "subprocess.CompletedProcess[bytes]":
    """Run a hook as bin/fleet does."""
    data = given if isinstance(given, bytes) else json.dumps(given).encode()
    command = [sys.executable, "-I", "-S", str(HOOKS), *words]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLAUDE", "FLEET_AGENT"))}
    return subprocess.run(
        command, input=data, capture_output=True, timeout=60, env={**kept, **(environ or {})}, check=False
    )


def event(ide: str, kind: str, **environ: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a program's own hook with its own input."""
    return hook(kind, "--ide", ide, given=INPUTS[ide][kind], environ={**(CLAUDE if ide == "claude" else {}), **environ})


def is_silent(done: "subprocess.CompletedProcess[bytes]") -> bool:
    return (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize(("ide", "kind"), ALL)
def test_nothing_that_waits_is_silence_and_the_session_is_registered(daemon: Daemon, ide: str, kind: str) -> None:
    assert is_silent(event(ide, kind))
    ((path, words),) = daemon.asked
    assert path == "/sessions"
    assert (words["event"], words["program"], words["cwd"]) == (kind, ide, "/work")
    assert words["session"] == {"claude": "c1", "codex": "x1", "gemini": "g1", "cursor": "u1", "vscode": "v1"}[ide]


@pytest.mark.parametrize(("ide", "kind"), ALL)
def test_what_the_user_and_the_model_said_is_not_handed_on(daemon: Daemon, ide: str, kind: str) -> None:
    event(ide, kind)
    assert "secret plans" not in json.dumps(daemon.asked)


@pytest.mark.parametrize(
    ("ide", "kind", "where"),
    [
        ("claude", "start", ("hookSpecificOutput", "additionalContext")),
        ("claude", "prompt", ("hookSpecificOutput", "additionalContext")),
        ("claude", "idle", ("reason",)),
        ("codex", "start", ("hookSpecificOutput", "additionalContext")),
        ("codex", "prompt", ("hookSpecificOutput", "additionalContext")),
        ("codex", "idle", ("reason",)),
        ("gemini", "start", ("hookSpecificOutput", "additionalContext")),
        ("gemini", "prompt", ("hookSpecificOutput", "additionalContext")),
        ("gemini", "idle", ("reason",)),
        ("cursor", "start", ("additional_context",)),
        ("cursor", "idle", ("followup_message",)),
        ("vscode", "prompt", ("hookSpecificOutput", "additionalContext")),
    ],
)
def test_what_waits_is_said_in_the_programs_shape_and_confirmed(
    daemon: Daemon, ide: str, kind: str, where: tuple[str, ...]
) -> None:
    daemon.answer = json.dumps(WAITING).encode()
    done = event(ide, kind)
    said = json.loads(done.stdout)
    for name in where:
        said = said[name]
    assert (said, done.returncode, done.stderr) == ("words of a peer", 0, b"")
    assert daemon.asked[0][1]["limit"] == PROGRAMS[ide].limit
    assert daemon.asked[1] == ("/inbox/shown", {"ids": [ID], "session": daemon.asked[0][1]["session"]})


@pytest.mark.parametrize(("ide", "kind"), [("cursor", "prompt"), ("claude", "end"), ("gemini", "end")])
def test_where_a_program_takes_nothing_the_daemon_is_told_to_give_nothing(daemon: Daemon, ide: str, kind: str) -> None:
    event(ide, kind)
    assert daemon.asked[0][1]["limit"] == 0


def test_a_waiting_hook_wakes_its_session_with_two(daemon: Daemon) -> None:
    daemon.answer = json.dumps(WAITING).encode()
    done = hook("wait", "--ide", "claude", given=INPUTS["claude"]["idle"], environ=CLAUDE)
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"words of a peer\n")
    assert [path for path, _ in daemon.asked] == ["/verb/session_wait", "/inbox/shown"]


def test_a_waiting_hook_that_is_let_go_is_silent(daemon: Daemon) -> None:
    assert is_silent(hook("wait", "--ide", "claude", given=INPUTS["claude"]["idle"], environ=CLAUDE))


@pytest.mark.parametrize(
    "environ", [{"CLAUDE_CODE_SESSION_ATTENDED": "0"}, {"CLAUDE_CODE_ENTRYPOINT": "sdk-cli"}, {"CLAUDECODE": ""}]
)
def test_a_run_without_a_person_is_never_kept_waiting(daemon: Daemon, environ: dict[str, str]) -> None:
    kept = {name: value for name, value in {**CLAUDE, **environ}.items() if value}
    daemon.answer = json.dumps(WAITING).encode()
    assert is_silent(hook("wait", "--ide", "claude", given=INPUTS["claude"]["idle"], environ=kept))


def test_claude_codes_socket_and_process_are_handed_on(daemon: Daemon) -> None:
    event("claude", "start", CLAUDE_CODE_MESSAGING_SOCKET="/run/c.sock", CLAUDE_CODE_MESSAGING_TOKEN="t", FLEET_AGENT="bob")
    words = daemon.asked[0][1]
    assert (words["socket"], words["token"], words["pid"], words["agent"]) == ("/run/c.sock", "t", 4242, "bob")
    assert (words["headless"], words["held"]) == (False, False)


def test_another_program_does_not_pass_on_the_socket_it_inherited(daemon: Daemon) -> None:
    event("codex", "start", CLAUDE_CODE_MESSAGING_SOCKET="/run/c.sock", CLAUDE_CODE_MESSAGING_TOKEN="t", **CLAUDE)
    words = daemon.asked[0][1]
    assert not {"socket", "token"} & set(words)
    assert words["pid"] == os.getpid()


def test_a_session_that_asks_nobody_says_so(daemon: Daemon) -> None:
    hook("prompt", "--ide", "claude", given={**INPUTS["claude"]["prompt"], "permission_mode": "bypassPermissions"},
         environ=CLAUDE)  # fmt: skip
    assert daemon.asked[0][1]["held"] is True


def test_vs_code_that_reads_claudes_settings_is_vs_code(daemon: Daemon) -> None:
    hook("prompt", "--ide", "claude", given=INPUTS["vscode"]["prompt"])
    assert daemon.asked[0][1]["program"] == "vscode"


def test_the_branch_of_the_directory_is_told(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/feature/x\n")
    (tmp_path / "deep").mkdir()
    hook("start", "--ide", "codex", given={**INPUTS["codex"]["start"], "cwd": str(tmp_path / "deep")})
    assert daemon.asked[0][1]["branch"] == "feature/x"


@pytest.mark.parametrize(
    "given",
    [
        b"", b"null", b"[]", b"7", b'"x"', b"{", b"{}", b"\xff\xfe", b'{"session_id": ""}', b'{"session_id": 7}',
        b'{"session_id": null}', b'{"session_id": "' + b"x" * 300 + b'"}', b"[" * 200_000, b'{"session_id": "\\ud800"}',
        b'{"session_id": "s", "cwd": {"a": 1}}', b'{"session_id": "s"' + b" " * (17 << 20) + b"}",
        b'{"session_id": "s", "n": ' + b"9" * 5_000 + b"}", b'{"session_id": "s", "n": NaN}',
    ],
    ids=range(18),
)  # fmt: skip
def test_no_input_breaks_a_hook(daemon: Daemon, given: bytes) -> None:
    daemon.status, daemon.answer = 400, b'{"error":{"code":"usage","message":"no"}}'
    assert is_silent(hook("prompt", "--ide", "claude", given=given, environ=CLAUDE))


@pytest.mark.parametrize(
    "words",
    [
        (), ("prompt",), ("prompt", "--ide"), ("prompt", "--ide", "emacs"), ("dance", "--ide", "claude"), ("--help", "me"),
        ("prompt", "--id", "claude"), ("prompt", "--ide", "claude", "--json"), ("", "--ide", ""),
        ("wait", "--ide", "gemini"),
    ],
)  # fmt: skip
def test_no_arguments_break_a_hook(daemon: Daemon, words: tuple[str, ...]) -> None:
    assert is_silent(hook(*words, given=INPUTS["claude"]["prompt"], environ=CLAUDE))


def test_a_person_who_asks_is_told_what_it_is_for(home: Path) -> None:
    for done in (hook("--help"), subprocess.run([str(BIN), "hook", "--help"], capture_output=True, timeout=60, check=False)):
        assert (done.returncode, done.stdout[:17], done.stderr) == (0, b"usage: fleet hook", b"")


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (500, b""), (503, b'{"error":{}}'), (404, b"{}"), (200, b""), (200, b"<html>"), (200, b"[]"), (200, b'{"text": 1}'),
        (200, b'{"ids": []}'), (200, b"\xff"), (200, b'{"text": "\\ud800", "ids": null}'),
    ],
)  # fmt: skip
def test_no_answer_breaks_a_hook(daemon: Daemon, status: int, answer: bytes) -> None:
    daemon.status, daemon.answer = status, answer
    done = event("claude", "prompt")
    assert (done.returncode, done.stderr) == (0, b"")
    assert not any(path == "/inbox/shown" for path, _ in daemon.asked)


def test_without_a_daemon_and_without_a_store_there_is_silence(home: Path) -> None:
    assert is_silent(event("claude", "prompt"))
    assert is_silent(hook("wait", "--ide", "claude", given=INPUTS["claude"]["idle"], environ=CLAUDE))


def test_a_store_that_is_none_is_left_alone(home: Path) -> None:
    (home / "fleet.db").write_bytes(b"this is no database" * 100)
    assert is_silent(event("claude", "prompt"))


def test_a_daemon_that_goes_away_instead_of_answering_is_no_reason_to_speak(daemon: Daemon) -> None:
    daemon.hang_up_at = "/sessions"
    assert is_silent(event("claude", "idle"))


def test_without_a_home_or_an_environment_there_is_silence() -> None:
    command = [sys.executable, "-I", "-S", str(HOOKS), "prompt", "--ide", "claude"]
    done = subprocess.run(command, input=b"{}", capture_output=True, env={}, timeout=60, check=False)
    assert is_silent(done)


def test_a_home_too_long_for_a_socket_is_no_reason_to_speak() -> None:
    assert is_silent(event("claude", "prompt", FLEET_HOME="/tmp/" + "x" * 200))


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-", "1>/dev/full"])
def test_closed_streams_are_survived_and_nothing_counts_as_shown(daemon: Daemon, closed: str) -> None:
    daemon.answer = json.dumps(WAITING).encode()
    line = f'exec "{sys.executable}" -I -S "{HOOKS}" prompt --ide codex {closed}'
    done = subprocess.run(
        ["/bin/sh", "-c", line], input=json.dumps(INPUTS["codex"]["prompt"]).encode(), capture_output=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    confirmed = any(path == "/inbox/shown" for path, _ in daemon.asked)
    assert confirmed == (closed == "2>&-")


def test_a_program_that_never_ends_its_input_is_given_up(daemon: Daemon) -> None:
    code = "import sys; from fleet.faces import errand; errand.PATIENCE = 0.2; sys.exit(errand.run(sys.argv[1:]))"
    command = [sys.executable, "-I", "-c", code, "prompt", "--ide", "codex"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.wait(30) == 0
        assert process.stdout is not None
        assert process.stdout.read() == b""


def test_the_launcher_runs_it_without_the_environment_being_made(daemon: Daemon) -> None:
    done = subprocess.run(
        [str(BIN), "hook", "prompt", "--ide", "gemini"], input=json.dumps(INPUTS["gemini"]["prompt"]).encode(),
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert is_silent(done)
    assert daemon.asked[0][1]["session"] == "g1"


def test_the_launcher_of_a_checkout_without_environment_is_silent(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "fleet").write_bytes(BIN.read_bytes())
    done = subprocess.run(
        ["/bin/sh", str(tmp_path / "bin" / "fleet"), "hook", "prompt"], capture_output=True, timeout=60, check=False
    )
    assert is_silent(done)
    assert not (tmp_path / ".venv").exists()


def test_the_full_command_line_takes_the_same_way(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["hook", "no", "such", "--thing"]) == 0
    assert cli.main(["hook"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_hook_loads_nothing_that_it_does_not_use(daemon: Daemon) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); before = set(sys.modules); from fleet.faces import errand; "
        "code = errand.run(sys.argv[1:]); print(*sorted(set(sys.modules) - before)); sys.exit(code)"
    )
    command = [sys.executable, "-I", "-S", "-c", code, str(HOOKS.parents[2]), "prompt", "--ide", "codex"]
    done = subprocess.run(
        command, input=json.dumps(INPUTS["codex"]["prompt"]).encode(), capture_output=True, timeout=60, check=True
    )
    loaded = set(done.stdout.decode().split())
    heavy = {"re", "enum", "json", "socket", "signal", "typing", "collections", "dataclasses", "msgspec", "argparse"}
    assert loaded & heavy == set()
    assert "fleet.faces.errand" in loaded


@pytest.mark.parametrize(
    ("head", "branch"),
    [
        ("ref: refs/heads/main", "main"), ("0123456789abcdef0123", "0123456789ab"), ("", ""),
        ("ref: refs/heads/" + "x" * 400, "x" * 256),
    ],
)  # fmt: skip
def test_a_branch_is_read_from_the_repository(tmp_path: Path, head: str, branch: str) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text(head)
    assert errand.branch_of(str(tmp_path)) == branch


def test_a_branch_is_read_from_a_work_tree_too(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "HEAD").write_text("ref: refs/heads/side")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / ".git").write_text(f"gitdir: {tmp_path / 'real'}\n")
    assert errand.branch_of(str(tmp_path / "tree")) == "side"


def test_a_pipe_in_a_repositorys_place_does_not_hold_a_hook(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    os.mkfifo(tmp_path / ".git" / "HEAD")
    assert errand.branch_of(str(tmp_path)) == ""
    assert errand.branch_of("relative/path") == ""
