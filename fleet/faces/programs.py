"""What each agent program calls our events, what it hands to a hook and what it takes back; must never act, only say.

One inner event has one word here and its own name and shape in every program. `fleet install` writes manifests from this
table, `fleet hook` reads and prints by it. Standard library at its cheapest: every hook loads it before it knows
whether anything waits.

    start   a session begins, goes on or was compacted: it registers and is told who is on the fleet
    prompt  the user said something: what waits goes along
    idle    the agent ended its turn: what waits keeps it going, where the program allows that
    wait    runs beside an idle session and ends when mail comes (only where a program can be woken by a hook's end)
    end     the session is over
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

START, PROMPT, IDLE, WAIT, END = "start", "prompt", "idle", "wait", "end"

# How text reaches the agent out of a hook.
CONTEXT = "context"  # {"hookSpecificOutput": {"hookEventName": …, "additionalContext": TEXT}}
BLOCK = "block"  # {"decision": "block", "reason": TEXT}: the turn goes on with TEXT
ADDED = "added"  # {"additional_context": TEXT}
FOLLOW = "follow"  # {"followup_message": TEXT}: TEXT is the next prompt
REWAKE = "rewake"  # TEXT on stderr and exit 2: the idle session wakes
SILENT = "silent"  # the program takes nothing here

TEXT_LIMIT = 10_000  # characters a hook may add at once (Claude Code's limit; the others are held to it too)
WAIT_SECONDS = 86_400  # a waiter that nobody needs ends earlier: the daemon lets it go
LOOPS = 20  # turns in a row that Cursor may be kept going by its stop hook


class Event:
    """One event of one program."""

    __slots__ = ("background", "extra", "native", "seconds", "shape")

    def __init__(
        self, native: str, shape: str, seconds: float, *, background: bool = False,
        extra: Mapping[str, object] | None = None,
    ) -> None:  # fmt: skip
        """Take the program's name of it, how text goes in, and how long its hook may run.

        `background` = the program does not wait for the hook; `extra` = more keys of the hook's entry in a manifest.
        """
        self.native = native
        self.shape = shape
        self.seconds = seconds
        self.background = background
        self.extra = dict(extra or {})


class Program:
    """One agent program: its events, the fields its hooks are given, how its manifests count time."""

    __slots__ = ("bypass", "directory", "events", "limit", "mode", "name", "per_second", "session", "title")

    def __init__(
        self, name: str, title: str, events: Mapping[str, Event], *, session: tuple[str, ...] = ("session_id",),
        directory: tuple[str, ...] = ("cwd",), per_second: int = 1, limit: int = TEXT_LIMIT,
    ) -> None:  # fmt: skip
        """Take its word in --ide, its name for people, and the names of fields in the order in which they are tried."""
        self.name = name
        self.title = title
        self.events = dict(events)
        self.session = session
        self.directory = directory
        self.mode = "permission_mode"  # the field …
        self.bypass = "bypassPermissions"  # … and its word for a session that asks nobody
        self.per_second = per_second  # units of a manifest's timeouts in a second
        self.limit = limit

    def command(self, event: str) -> list[str]:
        """Say what a manifest lets the program run for an event, after the path of `fleet`."""
        return ["hook", event, "--ide", self.name]

    def timeout(self, event: str) -> int:
        """Say how long the hook of an event may run, in the unit of this program's manifests."""
        return round(self.events[event].seconds * self.per_second)


_CLAUDE = {
    START: Event("SessionStart", CONTEXT, 10),
    PROMPT: Event("UserPromptSubmit", CONTEXT, 10),
    IDLE: Event("Stop", BLOCK, 10),
    WAIT: Event("Stop", REWAKE, WAIT_SECONDS, background=True, extra={"asyncRewake": True}),
    END: Event("SessionEnd", SILENT, 1.5),
}
_CODEX = {
    START: Event("SessionStart", CONTEXT, 10),
    PROMPT: Event("UserPromptSubmit", CONTEXT, 10),
    IDLE: Event("Stop", BLOCK, 10),
    END: Event("SessionEnd", SILENT, 3),
}
_GEMINI = {
    START: Event("SessionStart", CONTEXT, 10),
    PROMPT: Event("BeforeAgent", CONTEXT, 10),
    IDLE: Event("AfterAgent", BLOCK, 10),
    END: Event("SessionEnd", SILENT, 5),
}
_CURSOR = {
    START: Event("sessionStart", ADDED, 10),
    PROMPT: Event("beforeSubmitPrompt", SILENT, 10),
    IDLE: Event("stop", FOLLOW, 10, extra={"loop_limit": LOOPS}),
    END: Event("sessionEnd", SILENT, 5),
}
_VSCODE = {event: _CLAUDE[event] for event in (START, PROMPT, IDLE)}  # it reads Claude's settings and knows no rewake

PROGRAMS: dict[str, Program] = {
    program.name: program
    for program in (
        Program("claude", "Claude Code", _CLAUDE),
        Program("codex", "Codex", _CODEX),
        Program("gemini", "Gemini CLI", _GEMINI, per_second=1000),
        Program(
            "cursor", "Cursor", _CURSOR, session=("conversation_id", "session_id"), directory=("cwd", "workspace_roots")
        ),
        Program("vscode", "VS Code", _VSCODE, session=("session_id", "sessionId")),
    )
}


def printed(program: Program, event: str, text: str) -> tuple[dict[str, object] | None, str, int]:
    """Put text for the agent into a program's shape: (JSON for stdout or None, text for stderr, exit code)."""
    found = program.events[event]
    if found.shape == CONTEXT:
        return {"hookSpecificOutput": {"hookEventName": found.native, "additionalContext": text}}, "", 0
    if found.shape == BLOCK:
        return {"decision": "block", "reason": text}, "", 0
    if found.shape == ADDED:
        return {"additional_context": text}, "", 0
    if found.shape == FOLLOW:
        return {"followup_message": text}, "", 0
    if found.shape == REWAKE:
        return None, text, 2
    return None, "", 0
