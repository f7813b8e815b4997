"""`fleet install` and `uninstall` on real homes: all programs, files of others, links, edits in between, errors."""

import json
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fleet.faces import agents, manifests
from fleet.faces.authorize import executable
from fleet.faces.cli import main
from fleet.faces.graft import MARK
from fleet.faces.programs import PROGRAMS

ALL = ",".join(PROGRAMS)
SOURCE = manifests.source()
CODEX_TOML = '# mine\nmodel = "x"\n\n[mcp_servers.docs]\ncommand = "docs"\n'
CURSOR_MCP = '{\n  // mine\n  "mcpServers": {"docs": {"command": "docs"}},\n}'


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of a user who has none of the programs."""
    for name in ("FLEET_HOME", *agents.MOVED):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def asked(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    assert main([*words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def contents(home: Path) -> dict[str, bytes]:
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def actions(found: Any) -> dict[str, str]:
    return {Path(file["path"]).name: file["action"] for file in found["files"]}


def furnished(home: Path) -> dict[str, bytes]:
    """Files of the user's own where ours go too."""
    for name, text in {
        ".codex/config.toml": CODEX_TOML,
        ".codex/hooks.json": '{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "say done"}]}]}}\n',
        ".cursor/mcp.json": CURSOR_MCP,
        ".cursor/hooks.json": '{\r\n\t"version": 1,\r\n\t"hooks": {}\r\n}',
        ".config/Code/User/mcp.json": "{ /* none yet */ }",
        ".claude/skills/other/SKILL.md": "---\nname: other\n---\n",
    }.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(text.encode())
    return contents(home)


# ── what is written ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_hook_of_every_program_is_written_with_its_command_and_its_time(user: Path, capsys: Any) -> None:
    asked(capsys, "install", "--ide", ALL)
    written = "\n".join(data.decode() for data in contents(user).values())
    for program in PROGRAMS.values():
        for event in program.events:
            command = shlex.join([*executable(), *program.command(event)])
            assert json.dumps(command) in written, (program.name, event)
    groups = json.loads((user / ".gemini/extensions/fleet/hooks/hooks.json").read_text())["hooks"]
    assert groups["BeforeAgent"][0]["hooks"][0]["timeout"] == 10_000
    waits = json.loads((user / ".claude/skills/fleet/hooks/hooks.json").read_text())["hooks"]["Stop"][0]["hooks"]
    assert [hook.get("asyncRewake") for hook in waits] == [None, True]


def test_every_program_gets_the_server_in_its_own_place(user: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("FLEET_HOME", str(user / "my node"))
    asked(capsys, "install", "--ide", ALL)
    expected = {"command": executable()[0], "args": [*executable()[1:], "mcp"], "env": {"FLEET_HOME": str(user / "my node")}}
    found = [
        json.loads((user / ".claude/skills/fleet/.mcp.json").read_text())["mcpServers"],
        json.loads((user / ".gemini/extensions/fleet/gemini-extension.json").read_text())["mcpServers"],
        json.loads((user / ".cursor/mcp.json").read_text())["mcpServers"],
        json.loads((user / ".config/Code/User/mcp.json").read_text())["servers"],
        tomllib.loads((user / ".codex/config.toml").read_text())["mcp_servers"],
    ]
    assert [{key: one["fleet"][key] for key in expected} for one in found] == [expected] * 5
    hook = json.loads((user / ".cursor/hooks.json").read_text())["hooks"]["stop"][0]["command"]
    assert hook.startswith(f"env 'FLEET_HOME={user}/my node' ")


def test_the_skills_go_to_every_program_as_they_are(user: Path, capsys: Any) -> None:
    asked(capsys, "install", "--ide", ALL)
    files = contents(user)
    for skill, parts in SOURCE.skills.items():
        copies = [path for path in files if path.endswith(f"skills/{skill}/SKILL.md")]
        assert len(copies) == len(PROGRAMS) and all(files[path] == parts["SKILL.md"] for path in copies)
        assert parts["SKILL.md"].startswith(f"---\nname: {skill}\ndescription: ".encode())
        assert len(parts["SKILL.md"]) < 4_000, "a skill is read at the price of context"


def test_files_are_the_users_alone_and_a_file_keeps_its_mode(user: Path, capsys: Any) -> None:
    furnished(user)
    (user / ".cursor/mcp.json").chmod(0o640)
    asked(capsys, "install", "--ide", "cursor,codex")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (user / ".cursor").iterdir() if path.is_file()}
    assert modes["mcp.json"] == 0o640
    assert (user / ".codex/skills/fleet-mail/SKILL.md").stat().st_mode & 0o777 == 0o600


def test_a_project_gets_files_of_its_own(user: Path, tmp_path: Path, capsys: Any) -> None:
    project = tmp_path / "work"
    project.mkdir()
    before = set(contents(user))
    asked(capsys, "install", "--ide", ALL, "--project", str(project))
    new = set(contents(user)) - before
    assert all(path.startswith("work/") for path in new)
    assert {"work/.vscode/mcp.json", "work/.github/hooks/fleet.json", "work/.gemini/settings.json"} <= new
    asked(capsys, "uninstall", "--project", str(project))
    assert set(contents(user)) == before


# ── again, and away ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_second_time_nothing_changes(user: Path, capsys: Any) -> None:
    furnished(user)
    asked(capsys, "install", "--ide", ALL)
    before = contents(user)
    assert set(actions(asked(capsys, "install", "--ide", ALL)).values()) == {"unchanged"}
    assert contents(user) == before


def test_away_again_every_file_is_back_byte_for_byte(user: Path, capsys: Any) -> None:
    before = furnished(user)
    asked(capsys, "install", "--ide", ALL)
    assert len(contents(user)) > len(before) + 10
    found = asked(capsys, "uninstall")
    assert contents(user) == before
    assert actions(found)["config.toml"] == "restored"
    assert asked(capsys, "uninstall")["files"] == []


def test_what_the_user_changed_in_between_stays_and_only_our_part_goes(user: Path, capsys: Any) -> None:
    furnished(user)
    asked(capsys, "install", "--ide", "codex,cursor")
    config, servers = user / ".codex/config.toml", user / ".cursor/mcp.json"
    config.write_text(config.read_text().replace('"x"', '"y"  # better') + '\n[hooks.state]\n\n[tui]\ntheme = "dark"\n')
    servers.write_text(servers.read_text().replace("// mine", "// mine, and more"))
    found = asked(capsys, "uninstall")
    assert actions(found)["config.toml"] == actions(found)["mcp.json"] == "trimmed"
    assert config.read_text() == CODEX_TOML.replace('"x"', '"y"  # better') + '\n[hooks.state]\n\n[tui]\ntheme = "dark"\n'
    assert servers.read_text() == CURSOR_MCP.replace("// mine", "// mine, and more")
    assert (user / ".codex/config.toml.before-fleet").read_text() == CODEX_TOML


def test_the_copy_of_before_is_kept_when_it_is_installed_anew(user: Path, capsys: Any, monkeypatch: Any) -> None:
    before = furnished(user)
    asked(capsys, "install", "--ide", "codex")
    monkeypatch.setenv("FLEET_HOME", str(user / "node"))
    assert actions(asked(capsys, "install", "--ide", "codex"))["config.toml"] == "changed"
    assert (user / ".codex/config.toml").read_text().count(MARK) == 1
    asked(capsys, "uninstall")
    assert contents(user) == before


def test_what_somebody_put_into_our_directory_stays(user: Path, capsys: Any) -> None:
    asked(capsys, "install", "--ide", "claude")
    root = user / ".claude/skills/fleet"
    (root / "notes.md").write_text("mine")
    (root / "skills/fleet-mail/SKILL.md").write_text("mine, too")
    found = asked(capsys, "install", "--ide", "claude")
    assert [file["backup"] for file in found["files"] if file["action"] == "changed"] == [
        str(root / "skills/fleet-mail/SKILL.md.before-fleet")
    ]
    asked(capsys, "uninstall", "--ide", "claude")
    assert contents(root) == {"notes.md": b"mine", "skills/fleet-mail/SKILL.md.before-fleet": b"mine, too"}


def test_a_skill_that_is_no_longer_given_goes_with_the_next_installation(user: Path, capsys: Any) -> None:
    asked(capsys, "install", "--ide", "gemini")
    root = user / ".gemini/extensions/fleet"
    record = json.loads((root / ".fleet-install.json").read_text())
    (root / "old.md").write_bytes(b"old")
    record["files"]["old.md"] = "cba06b5736faf67e54b07b561eae94395e774c517a7d910a54369e1263ccfbd4"
    (root / ".fleet-install.json").write_text(json.dumps(record))
    assert actions(asked(capsys, "install", "--ide", "gemini"))["old.md"] == "removed"
    assert not (root / "old.md").exists()


def test_a_dry_run_tells_the_same_and_writes_nothing(user: Path, capsys: Any) -> None:
    before = furnished(user)
    told = asked(capsys, "install", "--ide", ALL, "--dry-run")["files"]
    assert contents(user) == before
    assert asked(capsys, "install", "--ide", ALL)["files"] == told
    whole = contents(user)
    gone = asked(capsys, "uninstall", "--dry-run")["files"]
    assert contents(user) == whole and asked(capsys, "uninstall")["files"] == gone


# ── what is in the way ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (".codex/config.toml", "model = \n"),
        (".codex/hooks.json", '{"hooks": '),
        (".codex/hooks.json", '{"hooks": 7}'),
        (".cursor/mcp.json", '{"mcpServers": {"fleet": {"command": "other"}}}'),
        (".gemini/extensions/fleet/gemini-extension.json", '{"name": "fleet"}'),
    ],
)
def test_what_cannot_be_edited_stops_it_before_anything_is_written(user: Path, capsys: Any, path: str, text: str) -> None:
    (user / path).parent.mkdir(parents=True)
    (user / path).write_text(text)
    before = contents(user)
    error = asked(capsys, "install", "--ide", ALL, code=2 if "gemini" in path else 1)["error"]
    assert path.split("/gemini-")[0] in error["message"] and error["hint"]
    assert contents(user) == before


def test_a_link_that_leads_out_of_the_home_is_not_followed(user: Path, tmp_path_factory: Any, capsys: Any) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "config.toml").write_text("a = 1\n")
    (user / ".codex").mkdir()
    (user / ".codex/config.toml").symlink_to(elsewhere / "config.toml")
    assert "leads out" in asked(capsys, "install", "--ide", "codex", code=2)["error"]["message"]
    (user / ".cursor").symlink_to(elsewhere)
    assert "leads out" in asked(capsys, "install", "--ide", "cursor", code=2)["error"]["message"]
    assert [path.name for path in elsewhere.iterdir()] == ["config.toml"]
    assert (elsewhere / "config.toml").read_text() == "a = 1\n"


def test_a_link_within_the_home_stays_a_link(user: Path, capsys: Any) -> None:
    (user / "dotfiles").mkdir()
    (user / "dotfiles/codex.toml").write_text(CODEX_TOML)
    (user / ".codex").mkdir()
    (user / ".codex/config.toml").symlink_to("../dotfiles/codex.toml")
    asked(capsys, "install", "--ide", "codex")
    assert (user / ".codex/config.toml").is_symlink() and MARK in (user / "dotfiles/codex.toml").read_text()
    asked(capsys, "uninstall")
    assert (user / ".codex/config.toml").is_symlink() and (user / "dotfiles/codex.toml").read_text() == CODEX_TOML


def test_a_directory_that_the_user_moved_is_found(user: Path, tmp_path_factory: Any, capsys: Any, monkeypatch: Any) -> None:
    moved = tmp_path_factory.mktemp("codex")
    monkeypatch.setenv("CODEX_HOME", str(moved))
    asked(capsys, "install", "--ide", "codex")
    assert (moved / "hooks.json").exists() and not (user / ".codex").exists()
    asked(capsys, "uninstall", "--ide", "codex")
    assert contents(moved) == {}


def test_a_program_that_nobody_knows_is_a_usage_error(user: Path, capsys: Any) -> None:
    assert "vim" in asked(capsys, "install", "--ide", "claude,vim", code=2)["error"]["message"]
    assert asked(capsys, "install", code=1)["error"]["hint"].startswith("fleet install --ide")
    assert "no directory" in asked(capsys, "install", "--ide", ALL, "--project", "/nowhere", code=1)["error"]["message"]
    assert contents(user) == {}


def test_people_are_told_the_step_that_is_left_and_that_a_program_is_absent(user: Path, capsys: Any) -> None:
    assert main(["install", "--ide", "codex"]) == 0
    told = capsys.readouterr()
    assert "created" in told.out and "hooks.json" in told.out
    assert "until you trust them" in told.err and "Codex is not on PATH here" in told.err
    assert main(["uninstall", "--ide", "claude"]) == 0
    assert "nothing of fleet" in capsys.readouterr().err


# ── what doctor sees ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def programs(user: Path) -> Path:
    """The same home, with every program on PATH."""
    (user / "bin").mkdir()
    for name in PROGRAMS:
        (user / "bin" / agents.COMMANDS[name][0]).write_text("#!/bin/sh\n")
        (user / "bin" / agents.COMMANDS[name][0]).chmod(0o755)
    return user


def seen(home: Path) -> dict[str, tuple[str, str]]:
    return {one["id"].removeprefix("agents-"): (one["status"], one["why"]) for one in agents.installed(home)}


def trust(home: Path, *events: str) -> None:
    config = home / ".codex/config.toml"
    states = [f'[hooks.state."{home}/.codex/hooks.json:{event}:0:0"]\ntrusted_hash = "sha256:0"\n' for event in events]
    config.write_text(config.read_text() + "\n" + "\n".join(states))


def test_programs_without_fleet_are_named_and_nothing_is_wrong(programs: Path) -> None:
    found = seen(programs)
    assert set(found) == set(PROGRAMS) and {status for status, _ in found.values()} == {"ok"}
    assert "fleet install --ide gemini" in found["gemini"][1]


def test_all_is_well_once_the_hooks_of_codex_are_trusted(programs: Path, capsys: Any) -> None:
    asked(capsys, "install")
    assert seen(programs)["codex"] == ("warning", "Codex runs 4 of fleet's hooks only after you trust them")
    trust(programs, "session_start", "user_prompt_submit", "stop")
    assert seen(programs)["codex"][1].startswith("Codex runs 1 of")
    trust(programs, "session_end")
    before = contents(programs)
    assert set(seen(programs).values()) == {("ok", "")}
    assert contents(programs) == before


@pytest.mark.parametrize(
    ("name", "path", "text"),
    [
        ("claude", ".claude/settings.json", '{"disableAllHooks": true}'),
        ("claude", ".claude/settings.json", '{"enabledPlugins": {"fleet@skills-dir": false}}'),
        ("gemini", ".gemini/settings.json", '{"hooksConfig": {"enabled": false}} // off'),
        ("gemini", ".gemini/extensions/extension-enablement.json", '{"fleet": {"overrides": ["!HOME/*"]}}'),
        ("codex", ".codex/config.toml", "[features]\nhooks = false\n"),
    ],
)
def test_a_switch_of_the_program_that_is_off_is_found(programs: Path, capsys: Any, name: str, path: str, text: str) -> None:
    asked(capsys, "install")
    trust(programs, "session_start", "user_prompt_submit", "stop", "session_end")
    file = programs / path
    file.write_text((file.read_text() if file.exists() else "") + text.replace("HOME", str(programs)))
    status, why = seen(programs)[name]
    assert status == "warning" and "switched off" in why


def test_what_is_not_as_it_was_written_is_found(programs: Path, capsys: Any, monkeypatch: Any) -> None:
    asked(capsys, "install")
    (programs / ".claude/skills/fleet/hooks/hooks.json").unlink()
    (programs / ".cursor/mcp.json").write_text("{")
    (programs / "bin/code").unlink()
    found = {one["id"]: one for one in agents.installed(programs)}
    assert found["agents-claude"]["fix"] == "fleet install --ide claude" and found["agents-claude"]["status"] == "warning"
    assert found["agents-cursor"]["status"] == "failed" and "mcp.json" in found["agents-cursor"]["why"]
    assert found["agents-vscode"]["fix"] == "fleet uninstall --ide vscode"
