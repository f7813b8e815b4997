"""What is wrong in a configuration and where: file, line, key, found, allowed, nearest; never shows a secret."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fleet.errors import SettingsError

_USER_PART = re.compile(r"(//)[^/@\s]*@")
_BARE = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII).fullmatch
_SHOWN = 80  # characters of a wrong value; enough to recognise it
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong. `file` is a path, "environment" or "flag"; line 0 = not known."""

    file: str
    line: int
    key: str
    found: str
    allowed: str
    nearest: str = ""

    def __str__(self) -> str:
        """Say it in one line, as compilers do."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        found = f" = {self.found}" if self.found else ""
        hint = f"; did you mean {self.nearest}?" if self.nearest else ""
        return f"{place}: {self.key}{found}: {self.allowed}{hint}"


def dotted(path: Path) -> str:
    """Write a path as TOML does, with quotes where a name needs them."""
    return ".".join(name if _BARE(name) else quoted(name) for name in path)


def nearest(word: str, words: Iterable[str]) -> str:
    """Find the one that was probably meant; "" when none is near."""
    import difflib  # only a mistake needs it

    found = difflib.get_close_matches(word, list(words), 1, 0.6)
    return found[0] if found else ""


def shown(value: Any) -> str:
    """Write a wrong value short, on one line, without the user part of a URL."""
    word = _USER_PART.sub(r"\1…@", repr(value) if not isinstance(value, str) else quoted(value))
    return word if len(word) <= _SHOWN else word[: _SHOWN - 1] + "…"


def quoted(value: str) -> str:
    """Quote a text so that control characters and lone surrogates cannot reach a terminal."""
    return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value) + '"'


def error_of(mistakes: list[Mistake]) -> SettingsError:
    """Put all mistakes into one error."""
    lines = [str(mistake) for mistake in mistakes]
    if len(lines) == 1:
        return SettingsError(lines[0])
    return SettingsError("\n".join([f"{len(lines)} mistakes in the configuration", *lines]))


def syntax_mistake(file: str, text: str, error: tomllib.TOMLDecodeError) -> Mistake:
    """Say where the file stops being TOML."""
    match = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
    lines = text.split("\n")
    line = int(match[1]) if match else len(lines)
    words = str(error).split(" (at ")[0]
    found = shown(lines[line - 1].strip()) if line <= len(lines) and lines[line - 1].strip() else ""
    return Mistake(file, line, "TOML", "", f"{words[:1].lower()}{words[1:]} in {found}" if found else words)


def lines_of(text: str) -> dict[Path, int]:
    """Find the line of every key and table of a TOML text.

    A statement is as many lines as it takes until they parse on their own, so strings and arrays over many lines are
    right without a second grammar. Slow (a parse per line): only for mistakes and origins.
    """
    places: dict[Path, int] = {}
    table: Path = ()
    lines = [line + "\n" for line in text.split("\n")]
    at = 0
    while at < len(lines):
        end, value = _statement(lines, at)
        header = lines[at].lstrip().startswith("[")
        for path in _paths(value):
            places.setdefault(path if header else table + path, at + 1)
        if header:
            table = max(_paths(value), key=len, default=())
        at = end
    return places


def _statement(lines: list[str], at: int) -> tuple[int, Mapping[str, Any]]:
    for end in range(at + 1, len(lines) + 1):
        try:
            return end, tomllib.loads("".join(lines[at:end]))
        except tomllib.TOMLDecodeError:
            continue
    return len(lines), {}


def _paths(value: Any, above: Path = ()) -> Iterator[Path]:
    """List the paths of a value and all that is within it; the first is its own."""
    if above:
        yield above
    if isinstance(value, list) and value and isinstance(value[-1], dict):
        value = value[-1]
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _paths(inner, (*above, name))


def line_at(places: Mapping[Path, int], path: Path) -> int:
    """Give the line of a path, or of the nearest table around it; 0 when none is known."""
    while path:
        if path in places:
            return places[path]
        path = path[:-1]
    return 0
