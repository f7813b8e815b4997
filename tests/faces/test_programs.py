"""The table of programs: every event has a shape that says what it should, and times in the program's own unit."""

import pytest

from fleet.faces import programs
from fleet.faces.programs import PROGRAMS, printed


def context(native: str) -> dict[str, object]:
    return {"hookSpecificOutput": {"hookEventName": native, "additionalContext": "T"}}


EVENTS = [(name, event) for name, program in PROGRAMS.items() for event in program.events]


@pytest.mark.parametrize(
    ("name", "event", "expected"),
    [
        ("claude", "start", (context("SessionStart"), "", 0)),
        ("claude", "prompt", (context("UserPromptSubmit"), "", 0)),
        ("claude", "idle", ({"decision": "block", "reason": "T"}, "", 0)),
        ("claude", "wait", (None, "T", 2)),
        ("claude", "end", (None, "", 0)),
        ("codex", "start", (context("SessionStart"), "", 0)),
        ("codex", "idle", ({"decision": "block", "reason": "T"}, "", 0)),
        ("gemini", "prompt", (context("BeforeAgent"), "", 0)),
        ("gemini", "idle", ({"decision": "block", "reason": "T"}, "", 0)),
        ("cursor", "start", ({"additional_context": "T"}, "", 0)),
        ("cursor", "prompt", (None, "", 0)),
        ("cursor", "idle", ({"followup_message": "T"}, "", 0)),
        ("vscode", "prompt", (context("UserPromptSubmit"), "", 0)),
    ],
)
def test_text_is_put_into_the_shape_the_program_reads(name: str, event: str, expected: object) -> None:
    assert printed(PROGRAMS[name], event, "T") == expected


@pytest.mark.parametrize(("name", "event"), EVENTS)
def test_a_manifest_runs_the_hook_command_of_its_event(name: str, event: str) -> None:
    assert PROGRAMS[name].command(event) == ["hook", event, "--ide", name]


def test_gemini_counts_in_milliseconds_and_the_others_in_seconds() -> None:
    assert PROGRAMS["gemini"].timeout("start") == 10_000
    assert PROGRAMS["codex"].timeout("start") == 10


def test_only_a_waiting_hook_ends_with_two() -> None:
    assert {(name, event) for name, event in EVENTS if printed(PROGRAMS[name], event, "T")[2]} == {("claude", "wait")}


def test_nothing_goes_into_a_session_that_ends() -> None:
    assert {program.events[programs.END].shape for program in PROGRAMS.values() if programs.END in program.events} == {
        programs.SILENT
    }
