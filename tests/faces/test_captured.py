"""What real programs handed to their hooks, replayed: every event is understood, and without a node every hook is silent."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fleet.faces import hooks
from fleet.faces.errand import Hook
from fleet.faces.programs import PROGRAMS

CAPTURED = Path(__file__).parents[1] / "ide" / "captured"
INPUTS = sorted(CAPTURED.glob("*/*.json"))


def event_of(path: Path) -> tuple[str, str]:
    return path.stem.split("-")[0], path.parent.name


def test_every_event_of_the_programs_that_were_run_is_there() -> None:
    for name in ("claude", "codex", "gemini"):
        there = {event for event, program in map(event_of, INPUTS) if program == name}
        assert there == set(PROGRAMS[name].events)


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_its_session_and_directory_are_found(path: Path) -> None:
    event, name = event_of(path)
    data = path.read_bytes()
    words = json.loads(Hook([event, "--ide", name], data, {"CLAUDECODE": "1"}).words({}))
    given = json.loads(data)
    assert given["hook_event_name"] == PROGRAMS[name].events[event].native
    assert (words["session"], words["cwd"], words["program"]) == (given["session_id"], "/home/user/work", name)
    assert not set(words) & {"prompt", "transcript_path", "prompt_response", "last_assistant_message"}


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_without_a_node_its_hook_is_silent(path: Path, tmp_path: Path) -> None:
    event, name = event_of(path)
    done = subprocess.run(
        [sys.executable, "-I", "-S", hooks.__file__, event, "--ide", name], input=path.read_bytes(), timeout=30,
        env={"FLEET_HOME": str(tmp_path), "CLAUDECODE": "1"}, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert list(tmp_path.iterdir()) == []
