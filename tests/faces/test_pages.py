"""What pages and skills tell people and agents to type is what the grammar takes."""

import re
import shlex
from pathlib import Path

import pytest

from fleet.faces.cli import parse
from fleet.faces.parser import build

ROOT = Path(__file__).parents[2]
COMING = {"mcp"}  # named before it is there; checked like the others as soon as it is
PAGES = [ROOT / "docs" / "agents.md", *sorted((ROOT / "config" / "ide").rglob("*.md"))]


def commands(text: str) -> set[str]:
    """Every `fleet …` of a page, typed in a block or named in a sentence; dots leave out what follows."""
    text = text.replace("fleet1:…", "fleet1:link")
    typed = re.findall(r"^    (?:\$ )?(fleet .*)$", text, re.MULTILINE)
    named = re.findall(r"`(fleet [a-z][^`]*)`", text)
    return {re.sub(r"\s+#.*|\s*(?:…|\.\.\.).*", "", command).strip() for command in [*typed, *named]}


def alternatives(command: str) -> list[str]:
    """`peer set|remove` is two commands; in a name in brackets anything may stand."""
    found = re.search(r"(\S+)\|(\S+)", command)
    return [command.replace(found[0], word) for word in found[0].split("|")] if found else [command]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_is_one(page: Path) -> None:
    found = {one for command in commands(page.read_text("utf-8")) for one in alternatives(command)}
    assert found
    for command in sorted(found):
        words = shlex.split(command)[1:]
        if words[0] in COMING - set(build()[1]):
            continue
        assert parse(_complete(words)).command == words[0], command


def _complete(words: list[str]) -> list[str]:
    """A command named without its arguments gets what it cannot do without."""
    needs = {
        "revoke": ["b"], "keys": ["show"], "peer": ["b"], "join": ["x"], "ping": ["b"], "send": ["b", "x"],
        "ask": ["b", "x"],
    }  # fmt: skip
    if len(words) == 1 or (words[0] == "peer" and len(words) == 2):
        return [*words, *needs.get(words[0], [])]
    return words
