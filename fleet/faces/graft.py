"""Our part in a file of another program: put in, found again, taken out; pure, must never touch what is not ours.

Ours is known by what it runs, `fleet hook EVENT --ide NAME` and `fleet mcp`: the programs' JSON allows no mark beside it. In
TOML a comment stands above our one table. Everything else in the file keeps every byte.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fleet.errors import UsageError
from fleet.faces import jsontext
from fleet.faces.jsontext import Path, Value

NAME = "fleet"  # of the server, in every program
MARK = "# fleet: `fleet install` wrote this table, `fleet uninstall` takes it out"
_HOOK = re.compile(r"\bhook (start|prompt|idle|wait|end) --ide [a-z]+$")


@dataclass(frozen=True, slots=True)
class JsonPart:
    """Values at places of a JSON file; `fresh` is what a new file begins with."""

    values: tuple[tuple[Path, Any], ...]
    fresh: str = "{}\n"

    def put(self, text: str) -> str:
        """Bring our part in, or up to date. Raises UsageError where something of somebody else stands in its place."""
        if not text.strip(" \t\r\n\ufeff"):
            text = self.fresh
        if self.complete(text):
            return text
        text = self.take(text)
        whole = jsontext.parse(text)
        for path, value in self.values:
            if whole.at(path) is not None:
                raise UsageError(f"{'.'.join(map(str, path))} is there already and is not ours", hint="rename or remove it")
            text = jsontext.add(text, path, value)
        return text

    def take(self, text: str) -> str:
        """Take our part out, and the lists and objects that held nothing else."""
        while path := next((path for path, _ in _ours(jsontext.parse(text), ())), ()):
            text = jsontext.remove(text, path)
            while len(path := path[:-1]) > 0 and not _plain(text, path):
                text = jsontext.remove(text, path)
        return text

    def complete(self, text: str) -> bool:
        """Whether our whole part is there, as it would be written today."""
        alone = self.fresh
        for path, value in self.values:
            alone = jsontext.add(alone, path, value)
        return _named(text) == _named(alone)

    def present(self, text: str) -> bool:
        """Whether anything of ours is there."""
        return bool(_named(text))

    def hollow(self, text: str) -> bool:
        """Whether nothing is left but what a new file begins with."""
        return bool(jsontext.parse(text).plain == json.loads(self.fresh))


def _ours(value: Value, path: Path) -> Iterator[tuple[Path, Any]]:
    """Everything of ours in a value: hooks by their command, the server by its name and its command."""
    plain = value.plain
    server = path[-1:] == (NAME,) and isinstance(plain, dict) and list(plain.get("args", []))[-1:] == ["mcp"]
    if server or (isinstance(plain, dict) and _HOOK.search(str(plain.get("command", "")))):
        yield path, plain
    else:
        for key, inner in value.inner.items():
            yield from _ours(inner, (*path, key))


def _named(text: str) -> list[str]:
    """Our things with the keys that lead to them, positions left out, so that two texts can be compared."""
    if not text.strip(" \t\r\n\ufeff"):
        return []
    found = _ours(jsontext.parse(text), ())
    named = [([key for key in path if isinstance(key, str)], plain) for path, plain in found]
    return sorted(json.dumps(one, sort_keys=True) for one in named)


def _plain(text: str, path: Path) -> Any:
    found = jsontext.parse(text).at(path)
    return found.plain if found else None


@dataclass(frozen=True, slots=True)
class TomlPart:
    """One table of a TOML file: `[KEEPER.fleet]`, at the end, under a comment that marks it."""

    keeper: str
    values: Mapping[str, Any]
    fresh: str = ""

    def put(self, text: str) -> str:
        """Bring our table in, or up to date. Raises UsageError where another stands in its place."""
        _loads(text)
        if self.complete(text):
            return text
        text = self.take(text)
        if NAME in _loads(text).get(self.keeper, {}):
            raise UsageError(f"{self._header} is there already and is not ours", hint="rename or remove it")
        line = "\r\n" if "\r\n" in text else "\n"
        begin = "" if not text else line if text.endswith("\n") else line + line
        whole = f"{text}{begin}{self._block(line)}"
        _loads(whole)
        return whole

    def take(self, text: str) -> str:
        """Take our table out, with the comment above it and the blank line above that."""
        lines = text.splitlines(keepends=True)
        found = [number for number, line in enumerate(lines) if line.strip() == self._header]
        if not found or not self.present(text):
            return text
        start = found[0] - (found[0] > 0 and lines[found[0] - 1].strip() == MARK)
        end = found[0] + 1
        while end < len(lines) and not (lines[end].startswith("[") and not lines[end].startswith(self._header[:-1] + ".")):
            end += 1
        while lines[end - 1].lstrip().startswith("#") or not lines[end - 1].strip():
            end -= 1
        start -= start > 0 and not lines[start - 1].strip()
        return "".join(lines[:start] + lines[end:])

    def complete(self, text: str) -> bool:
        """Whether our table is there, as it would be written today; what a person added to it is no matter."""
        there = _loads(text).get(self.keeper, {}).get(NAME, {})
        return all(there.get(key) == value for key, value in self.values.items())

    def present(self, text: str) -> bool:
        """Whether a table of ours is there."""
        table = _loads(text).get(self.keeper, {})
        return isinstance(table, dict) and list(table.get(NAME, {}).get("args", []))[-1:] == ["mcp"]

    def hollow(self, text: str) -> bool:
        """Whether nothing is left."""
        return not text.strip()

    @property
    def _header(self) -> str:
        return f"[{self.keeper}.{NAME}]"

    def _block(self, line: str) -> str:
        from tomlkit import inline_table, item

        def written(value: Any) -> str:
            if isinstance(value, Mapping):
                value, table = inline_table(), value
                value.update(table)
            return str(item(value).as_string())

        rows = [f"{key} = {written(value)}" for key, value in self.values.items()]
        return line.join([MARK, self._header, *rows, ""])


def _loads(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"it is no TOML: {error}") from None
