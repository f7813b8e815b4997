"""A place where one real agent program works: a home of its own, our own model behind it, fleet installed or not.

seat = SEATS["claude"](home, model); seat.settle(); seat.say("hello")

No login, no other host than loopback: the environment holds nothing of the caller's but PATH.
"""

import json
import os
import signal
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

from tests.ide import equipment
from tests.ide.standin import Dialect, Model
from tests.ide.standin_anthropic import Anthropic
from tests.ide.standin_gemini import Gemini
from tests.ide.standin_openai import OpenAI
from tests.ide.terminal import Terminal

PATIENCE = 90.0  # seconds for one turn


@dataclass
class Seat(ABC):
    """What all programs have in common; `name` is their word in --ide."""

    home: Path
    model: Model
    more: Mapping[str, str] = field(default_factory=dict)  # of the environment: FLEET_HOME
    name: ClassVar[str] = ""
    settings: ClassVar[tuple[tuple[str, str], ...]] = ()
    awaits_tools: bool = False  # a busy machine may take longer to start a server than Codex waits before its first turn
    told: Sequence[str] = ()  # what the program said last, line by line

    def settle(self) -> None:
        """Make the home and what a user would have set up before."""
        (self.home / "work").mkdir(parents=True, exist_ok=True)
        for path, text in self.settings:
            (self.home / path).parent.mkdir(parents=True, exist_ok=True)
            (self.home / path).write_text(text.replace("{URL}", self.model.url).replace("{HOME}", str(self.home)))

    @property
    def environ(self) -> dict[str, str]:
        """The whole environment of the program."""
        path = os.pathsep.join([str(equipment.programs()), os.environ.get("PATH", os.defpath)])
        return {"PATH": path, "HOME": str(self.home), "TERM": "xterm-256color", **self.keys(), **self.more}

    def keys(self) -> dict[str, str]:
        """How the program finds the model."""
        return {}

    @abstractmethod
    def command(self, prompt: str, resume: str) -> list[str]:
        """The program's words for one headless turn, of a new session or an old one."""

    @abstractmethod
    def session(self) -> str:
        """The id of the session that has just run."""

    def say(self, prompt: str, resume: str = "") -> str:
        """Run one headless turn; gives the session's id."""
        done = finished(self.command(prompt, resume), self.home / "work", self.environ)
        assert done.returncode == 0, f"{self.name} ended with {done.returncode}: {done.stdout[-2000:]} {done.stderr[-2000:]}"
        assert not self.model.wrong, self.model.wrong
        self.told = [*done.stdout.splitlines(), *done.stderr.splitlines()]
        return self.session()


def finished(words: Sequence[str], directory: Path, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; one that does not end is killed with all it started."""
    process = subprocess.Popen(
        words, cwd=directory, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


class Claude(Seat):
    """Claude Code; a tool of ours is allowed beforehand, as a user would once."""

    name = "claude"
    dialect: Dialect = Anthropic()
    settings = ((
        ".claude.json",
        '{"hasCompletedOnboarding": true, "theme": "dark",\n'
        ' "customApiKeyResponses": {"approved": ["none"], "rejected": []},\n'
        ' "projects": {"{HOME}/work": {"hasTrustDialogAccepted": true}}}\n',
    ),)  # fmt: skip

    def keys(self) -> dict[str, str]:
        return {
            "ANTHROPIC_BASE_URL": self.model.url, "ANTHROPIC_API_KEY": "none", "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }  # fmt: skip

    def command(self, prompt: str, resume: str) -> list[str]:
        allowed = ["--allowedTools", "mcp__plugin_fleet_fleet", "Bash", "--output-format", "json"]
        return ["claude", "-p", prompt, *allowed, *(["--resume", resume] if resume else [])]

    def session(self) -> str:
        return str(json.loads(self.told[0])["session_id"])

    def stay(self) -> "Running":
        """Start a session that stays open and takes turns on its standard input."""
        words = ["claude", "-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"]
        return Running(self, [*words, "--allowedTools", "mcp__plugin_fleet_fleet"])

    def open(self) -> Terminal:
        """Start a session in a terminal, as a person does."""
        return Terminal(["claude"], self.home / "work", self.environ)


class Codex(Seat):
    """Codex; its hooks run because this run says so, which the user does once by trusting them."""

    name = "codex"
    dialect: Dialect = OpenAI()
    settings = ((
        ".codex/config.toml",
        '# kept by hand\nmodel = "gpt-5"\nmodel_provider = "standin"\n\n[model_providers.standin]\nname = "standin"\n'
        'base_url = "{URL}/v1"\nwire_api = "responses"\nenv_key = "STANDIN_KEY"\n\n'
        '[projects."{HOME}/work"]\ntrust_level = "trusted"\n',
    ),)  # fmt: skip

    def keys(self) -> dict[str, str]:
        return {"STANDIN_KEY": "none"}

    def command(self, prompt: str, resume: str) -> list[str]:
        trusted = ["--dangerously-bypass-hook-trust", "--dangerously-bypass-approvals-and-sandbox"]
        words = ["codex", "exec", "--skip-git-repo-check", *trusted, "--json"]
        if self.awaits_tools:
            words += ["-c", "mcp_servers.fleet.required=true", "-c", "mcp_servers.fleet.startup_timeout_sec=60"]
        return [*words, *(["resume", resume] if resume else []), prompt]

    def open(self, *words: str) -> Terminal:
        """Start a session in a terminal, as a person does, without the background server that would outlive it."""
        return Terminal(["codex", "--no-daemon", "--no-alt-screen", *words], self.home / "work", self.environ)

    def session(self) -> str:
        events = [json.loads(line) for line in self.told if line.startswith("{")]
        return str(next(event["thread_id"] for event in events if event["type"] == "thread.started"))


class GeminiCli(Seat):
    """Gemini CLI."""

    name = "gemini"
    dialect: Dialect = Gemini()
    settings = (
        (".gemini/settings.json", '{"security": {"auth": {"selectedType": "gemini-api-key"}}}\n'),
        (".gemini/trustedFolders.json", '{"{HOME}/work": "TRUST_FOLDER"}\n'),
    )

    def keys(self) -> dict[str, str]:
        return {"GEMINI_API_KEY": "none", "GOOGLE_GEMINI_BASE_URL": self.model.url, "GEMINI_TELEMETRY_ENABLED": "false"}

    def command(self, prompt: str, resume: str) -> list[str]:
        words = ["gemini", "-p", prompt, "--skip-trust", "--approval-mode", "yolo", "--output-format", "json"]
        return [*words, *(["--resume", resume] if resume else [])]

    def session(self) -> str:
        text = "\n".join(self.told)
        return str(json.JSONDecoder().raw_decode(text[text.index("{") :])[0]["session_id"])


class Running:
    """A session of Claude Code that stays open."""

    def __init__(self, seat: Seat, words: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            words, cwd=seat.home / "work", env=seat.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.events: list[dict[str, object]] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.events.append(json.loads(line))

    def say(self, prompt: str) -> None:
        """Say something as the user."""
        assert self._process.stdin
        message = {"type": "user", "message": {"role": "user", "content": prompt}}
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def turns(self) -> int:
        """How many turns have ended."""
        return sum(event.get("type") == "result" for event in self.events)

    def close(self) -> None:
        """End the session."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(15)
        self._reader.join(15)


SEATS: Mapping[str, type[Claude] | type[Codex] | type[GeminiCli]] = {seat.name: seat for seat in (Claude, Codex, GeminiCli)}
