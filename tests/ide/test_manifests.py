"""What `fleet install` writes, before the judges of the programs themselves."""

import json
import subprocess
from pathlib import Path

import pytest

from fleet.faces import manifests
from fleet.faces.manifests import Place
from fleet.faces.planting import Garden
from fleet.faces.programs import PROGRAMS
from tests.ide import equipment
from tests.ide.seats import finished
from tests.ide.standin import Model
from tests.ide.standin_anthropic import Anthropic

pytestmark = [pytest.mark.tier("ide"), pytest.mark.timeout(300)]


def planted(home: Path, *names: str, project: Path | None = None) -> None:
    place = Place(home, ("/opt/fleet/bin/fleet",), project, {"FLEET_HOME": str(home / "my node")})
    for name in names:
        for thing in manifests.made(name, place, manifests.source()):
            Garden(project or home).install(thing)


def run(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return finished(words, home, {"PATH": f"{equipment.programs()}:/usr/local/bin:/usr/bin:/bin", "HOME": str(home)})


def test_claude_finds_the_plugin_valid(tmp_path: Path) -> None:
    planted(tmp_path, "claude")
    done = run(tmp_path, "claude", "plugin", "validate", "--strict", str(tmp_path / ".claude/skills/fleet"))
    assert done.returncode == 0 and "Validation passed" in done.stdout, done
    assert done.stdout.count("hooks: ") == len(PROGRAMS["claude"].events) and "skills: fleet:fleet-mail" in done.stdout
    listed = run(tmp_path, "claude", "plugin", "list")
    assert "fleet@skills-dir" in listed.stdout and "loaded" in listed.stdout, listed


def test_gemini_finds_the_extension_valid(tmp_path: Path) -> None:
    planted(tmp_path, "gemini")
    done = run(tmp_path, "gemini", "extensions", "validate", str(tmp_path / ".gemini/extensions/fleet"))
    assert done.returncode == 0 and "successfully validated" in done.stdout + done.stderr, done
    listed = run(tmp_path, "gemini", "extensions", "list")
    assert "fleet-operations" in listed.stdout + listed.stderr, listed


def test_codex_takes_its_settings_strictly(tmp_path: Path) -> None:
    planted(tmp_path, "codex")
    done = run(tmp_path, "codex", "mcp", "list", "--json")
    assert done.returncode == 0, done
    assert [(one["name"], one["enabled"]) for one in json.loads(done.stdout)] == [("fleet", True)]


@pytest.mark.parametrize("name", [".claude/skills/fleet", ".gemini/extensions/fleet", "."])
def test_the_linter_finds_nothing(tmp_path: Path, name: str) -> None:
    if name == ".":
        planted(tmp_path, "codex", "cursor", "vscode", project=tmp_path)
    else:
        planted(tmp_path, "claude", "gemini")
    done = run(tmp_path, str(equipment.skillsaw()), "-m", "skillsaw", "lint", "--strict", str(tmp_path / name))
    assert done.returncode == 0 and "All checks passed" in done.stdout, done.stdout


def test_claude_starts_with_the_plugin_and_says_nothing_of_errors(tmp_path: Path) -> None:
    planted(tmp_path, "claude")
    with Model(Anthropic()) as model:
        environ = {"PATH": f"{equipment.programs()}:/usr/bin:/bin", "HOME": str(tmp_path), "ANTHROPIC_BASE_URL": model.url}
        words = ["claude", "--init-only", "--plugin-dir", str(tmp_path / ".claude/skills/fleet")]
        done = finished(words, tmp_path, {**environ, "ANTHROPIC_API_KEY": "none"})
    assert done.returncode == 0 and "rror" not in done.stderr, done
