"""What each agent program is given, as values: made from config/ide and the table of programs; must never touch a disk but
to read those.

A `Tree` is a directory of ours alone; a `Graft` is our part in a file that others write too.
"""

from __future__ import annotations

import json
import shlex
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet import __version__
from fleet.errors import NotFound
from fleet.faces.graft import NAME, JsonPart, TomlPart
from fleet.faces.jsontext import END
from fleet.faces.programs import PROGRAMS, Program

HERE = Path(__file__).parents[2] / "config" / "ide"
_SCHEMA = "https://agent-plugins.org/schemas/1.0.0/{}.schema.json"


@dataclass(frozen=True, slots=True)
class Tree:
    """A directory that holds nothing but what is said here: path inside → bytes."""

    root: Path
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Graft:
    """Our part in one file."""

    path: Path
    part: JsonPart | TomlPart


@dataclass(frozen=True, slots=True)
class Source:
    """The canonical words of config/ide."""

    words: Mapping[str, Any]
    about: bytes
    skills: Mapping[str, Mapping[str, bytes]]  # skill → path inside → bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where it goes: the user's home, or one project; `fleet` is how the command is run from there."""

    home: Path
    fleet: tuple[str, ...]
    project: Path | None = None
    environ: Mapping[str, str] = field(default_factory=dict)  # what the command needs: FLEET_HOME
    moved: Mapping[str, str] = field(default_factory=dict)  # the user's CLAUDE_CONFIG_DIR, CODEX_HOME

    def under(self, directory: str, variable: str = "") -> Path:
        """Find a program's directory: below the project, where the user moved it to, or below the home."""
        moved = "" if self.project else self.moved.get(variable, "")
        return Path(moved) if moved else (self.project or self.home) / directory

    def command(self, program: Program, event: str) -> str:
        """Write the shell's words for a hook."""
        before = ["env", *(f"{name}={value}" for name, value in self.environ.items())] if self.environ else []
        return shlex.join([*before, *self.fleet, *program.command(event)])


def source(directory: Path = HERE) -> Source:
    """Read config/ide. Raises NotFound where this installation has none."""
    if not (directory / "plugin.toml").is_file():
        raise NotFound(f"{directory} is missing: manifests are made from it", hint="run fleet from its checkout")
    skills = {
        skill.parent.name: {
            path.relative_to(skill.parent).as_posix(): path.read_bytes()
            for path in sorted(skill.parent.rglob("*"))
            if path.is_file()
        }
        for skill in sorted(directory.glob("skills/*/SKILL.md"))
    }
    words = tomllib.loads((directory / "plugin.toml").read_text("utf-8"))
    return Source(words, (directory / "README.md").read_bytes(), skills)


def made(name: str, place: Place, source: Source) -> list[Tree | Graft]:
    """Make everything one program is given at a place."""
    return _MADE[name](PROGRAMS[name], place, source)


def _claude(program: Program, place: Place, source: Source) -> list[Tree | Graft]:
    about = {"name": NAME, "version": __version__, "description": source.words["description"]}
    author, keywords = {"name": source.words["author"]}, source.words["keywords"]
    plugin = {**about, "author": author, "keywords": keywords}
    listed = [{"name": NAME, "source": "./", "description": about["description"]}]
    market = {"name": NAME, "owner": author, "metadata": {"description": about["description"]}, "plugins": listed}
    files = {
        ".claude-plugin/plugin.json": plugin,
        ".claude-plugin/marketplace.json": market,
        ".mcp.json": {"mcpServers": {NAME: _server(place, source)}},
        "hooks/hooks.json": {"hooks": _hooks(program, place)},
        "plugin.json": {"$schema": _SCHEMA.format("plugin"), **about, "keywords": keywords},
        "mcp.json": {"$schema": _SCHEMA.format("mcp"), "mcpServers": {NAME: _portable(place, source)}},
    }
    root = place.under(".claude", "CLAUDE_CONFIG_DIR") / "skills" / NAME
    return [Tree(root, {**_written(files), **_skills(source), "README.md": source.about})]


def _gemini(program: Program, place: Place, source: Source) -> list[Tree | Graft]:
    server = {**_server(place, source), "timeout": source.words["server"]["patience"] * 1000}
    base = place.under(".gemini")
    if place.project:
        values = [*_items(_hooks(program, place)), (("mcpServers", NAME), server)]
        return [Graft(base / "settings.json", JsonPart(tuple(values))), *_skill_trees(base, source)]
    extension = {
        "name": NAME, "version": __version__, "description": source.words["description"], "mcpServers": {NAME: server},
    }  # fmt: skip
    files = {"gemini-extension.json": extension, "hooks/hooks.json": {"hooks": _hooks(program, place)}}
    command = "".join(f"{key} = {json.dumps(words)}\n" for key, words in source.words["command"].items())
    more = {"README.md": source.about, "commands/fleet.toml": command.encode()}
    return [Tree(base / "extensions" / NAME, {**_written(files), **_skills(source), **more})]


def _codex(program: Program, place: Place, source: Source) -> list[Tree | Graft]:
    base = place.under(".codex", "CODEX_HOME")
    server = {**_server(place, source), "tool_timeout_sec": source.words["server"]["patience"]}
    return [
        Graft(base / "hooks.json", JsonPart(tuple(_items(_hooks(program, place))))),
        Graft(base / "config.toml", TomlPart("mcp_servers", server)),
        *_skill_trees(base, source),
    ]


def _cursor(program: Program, place: Place, source: Source) -> list[Tree | Graft]:
    base = place.under(".cursor")
    return [
        Graft(base / "hooks.json", JsonPart(tuple(_items(_flat(program, place, {}))), '{\n  "version": 1\n}\n')),
        Graft(base / "mcp.json", JsonPart(((("mcpServers", NAME), _server(place, source)),))),
        *_skill_trees(base, source),
    ]


def _vscode(program: Program, place: Place, source: Source) -> list[Tree | Graft]:
    settings = "Library/Application Support/Code/User" if sys.platform == "darwin" else ".config/Code/User"
    servers = place.under(".vscode") if place.project else place.under(settings)
    base = place.under(".github") if place.project else place.under(".copilot")
    return [
        Graft(servers / "mcp.json", JsonPart(((("servers", NAME), {"type": "stdio", **_server(place, source)}),))),
        Graft(base / "hooks" / "fleet.json", JsonPart(tuple(_items(_flat(program, place, {"type": "command"}))))),
        *_skill_trees(base, source),
    ]


_MADE: Mapping[str, Callable[[Program, Place, Source], list[Tree | Graft]]] = {
    "claude": _claude, "codex": _codex, "gemini": _gemini, "cursor": _cursor, "vscode": _vscode,
}  # fmt: skip


def _server(place: Place, source: Source) -> dict[str, Any]:
    environ = {"env": dict(place.environ)} if place.environ else {}
    return {"command": place.fleet[0], "args": [*place.fleet[1:], *source.words["server"]["args"]], **environ}


def _portable(place: Place, source: Source) -> dict[str, Any]:
    """The server as Agent Plugins want it: its command is a bare name."""
    found = _server(place, source)
    return {"type": "stdio", **found, "command": "env", "args": [found["command"], *found["args"]]}


def _hooks(program: Program, place: Place) -> dict[str, list[dict[str, Any]]]:
    """The hooks as Claude Code, Codex and Gemini CLI group them: native event → groups of handlers."""
    found: dict[str, list[dict[str, Any]]] = {}
    for native, entries in _flat(program, place, {"type": "command"}).items():
        found[native] = [{"hooks": entries}]
    return found


def _flat(program: Program, place: Place, more: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The hooks as Cursor and VS Code list them: native event → handlers."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, event in program.events.items():
        command = {"command": place.command(program, name), "timeout": program.timeout(name)}
        found.setdefault(event.native, []).append({**more, **command, **event.extra})
    return found


def _items(hooks: Mapping[str, list[dict[str, Any]]]) -> list[tuple[tuple[str | int, ...], Any]]:
    return [(("hooks", native, END), entry) for native, entries in hooks.items() for entry in entries]


def _skills(source: Source) -> dict[str, bytes]:
    return {f"skills/{skill}/{path}": data for skill, files in source.skills.items() for path, data in files.items()}


def _skill_trees(base: Path, source: Source) -> list[Tree | Graft]:
    return [Tree(base / "skills" / skill, files) for skill, files in source.skills.items()]


def _written(files: Mapping[str, Any]) -> dict[str, bytes]:
    return {path: (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode() for path, value in files.items()}
