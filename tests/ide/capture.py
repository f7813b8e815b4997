"""What the real programs hand to their hooks: captured, freed of this machine, kept in captured/ for tests to replay.

`python -m tests.ide.capture` writes them anew; tests/ide/test_captured.py finds what a newer program hands over differently.
"""

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from fleet.faces import manifests
from fleet.faces.manifests import Place
from fleet.faces.programs import PROGRAMS
from tests.ide.seats import SEATS
from tests.ide.standin import Call, Model, Say

CAPTURED = Path(__file__).parent / "captured"
NOTE = '#!/bin/sh\n[ "$1" = hook ] && exec cat > "$(dirname "$0")/input-$2.json"\nexit 0\n'  # called as fleet is
_HEX = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d[:-]\d\d(?:[:-]\d\d(?:\.\d+Z)?)?")


def captured(name: str) -> dict[str, Any]:
    """Let a program run one turn with hooks that keep what they are given: inner event → its JSON, scrubbed."""
    seat = SEATS[name]
    with tempfile.TemporaryDirectory(prefix="fleet-capture-") as directory, Model(seat.dialect) as model:
        home = Path(directory)
        (home / "note").write_text(NOTE)
        (home / "note").chmod(0o755)
        place = seat(home, model)
        place.settle()
        _install(name, home)
        model.answer = lambda asked: Say("done") if asked.results else Call(*_LOOK[name])
        place.say("look around")
        found = {path.stem.removeprefix("input-"): path.read_text() for path in home.glob("input-*.json")}
        return {event: json.loads(_scrubbed(text, home)) for event, text in sorted(found.items())}


_LOOK: dict[str, tuple[str, dict[str, Any]]] = {
    "claude": ("Bash", {"command": "true"}),
    "codex": ("exec_command", {"cmd": "true"}),
    "gemini": ("list_directory", {"dir_path": "."}),
}


def _install(name: str, home: Path) -> None:
    """Install as `fleet install` does, with the note in the place of fleet."""
    from fleet.faces.planting import Garden

    source = manifests.source()
    for thing in manifests.made(name, Place(home, (str(home / "note"),)), source):
        Garden(home).install(thing)


def _scrubbed(text: str, home: Path) -> str:
    """Replace what belongs to this machine and this moment."""
    text = text.replace(str(home), "/home/user").replace(str(home).replace("/", "-"), "-home-user")
    names: dict[str, str] = {}
    for found in _HEX.findall(text):
        names.setdefault(found, f"00000000-0000-4000-8000-{len(names) + 1:012x}")
    for found, name in names.items():
        text = text.replace(found, name)
    text = re.sub(r"-[0-9a-f]{8}\.jsonl", "-00000000.jsonl", text)
    return re.sub(r"\d{4}/\d\d/\d\d", "2026/01/02", _TIME.sub("2026-01-02T03-04-05", text))


def write() -> None:
    """Write every program's inputs anew."""
    for name in SEATS:
        for event, value in captured(name).items():
            path = CAPTURED / name / f"{event}-{PROGRAMS[name].events[event].native}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
            print(path, file=sys.stderr)


if __name__ == "__main__":
    write()
