"""JSON as people keep it, comments and trailing commas included: finds, adds and removes one value; must never reformat.

Nothing but the value in question and the comma beside it changes, so what a person wrote around it survives byte for byte.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from fleet.errors import UsageError

_GAP = re.compile(r"(?:[ \t\r\n\ufeff]+|//[^\r\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_SCALAR = re.compile(r"-?\d[\d.eE+-]*|true|false|null")
_REMARK = re.compile(r"[ \t]*(?://[^\r\n]*|/\*[^\r\n]*?\*/)")
_REMARKS = re.compile(r"//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_DEEPEST = 100
END = -1  # in a path: behind the last item of a list
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """One value and where it stands in the text; a member starts at its key and opens behind the colon."""

    start: int
    opens: int
    end: int
    plain: Any
    inner: dict[str | int, Value] = field(default_factory=dict)

    def at(self, path: Path) -> Value | None:
        """Find what a path of keys and positions leads to."""
        found: Value | None = self
        for step in path:
            found = found.inner.get(step) if found else None
        return found


def parse(text: str) -> Value:
    """Read a text that holds one value. Raises UsageError with the line where it is wrong."""
    reader = _Reader(text)
    value = reader.value(reader.gap(0), 0)
    if reader.gap(value.end) != len(text):
        raise reader.wrong(value.end, "something follows the value")
    return value


def add(text: str, path: Path, new: Any) -> str:
    """Put a value at the end of the object or list that holds it; what is missing on the way is made.

    `path` ends in the value's key, or in END. Raises UsageError where something else stands in the way.
    """
    for length in range(1, len(path)):
        if parse(text).at(path[:length]) is None:
            text = _added(text, path[:length], [] if path[length] == END else {})
    return _added(text, path, new)


def remove(text: str, path: Path) -> str:
    """Take one value out, its key and one comma too; a container that it leaves empty closes up."""
    holder = parse(text).at(path[:-1])
    if holder is None or path[-1] not in holder.inner:
        return text
    gap = _Reader(text).gap
    names, value = list(holder.inner), holder.inner[path[-1]]
    place, after = names.index(path[-1]), gap(value.end)
    before = holder.inner[names[place - 1]].end if place else holder.opens + 1
    between, tail = text[before : value.start], text[value.end :]
    if text[after] == ",":
        tail = text[value.end : after] + text[after + 1 :]
    elif place:
        comma = gap(before) - before
        between = between[:comma] + between[comma + 1 :]
    text = text[:before] + _without_end(between, tail) + tail
    return _closed(text, path[:-1]) if len(names) == 1 else text


def _without_end(between: str, tail: str) -> str:
    """Drop the blanks at the end; the end of a remark's line stays where the tail would become part of the remark."""
    kept = between.rstrip(" \t\r\n")
    remarks = _REMARKS.findall(kept)
    if remarks and remarks[-1].startswith("//") and kept.endswith(remarks[-1]) and not re.match(r"[ \t]*\r?\n", tail):
        return kept + ("\r\n" if between[len(kept) :].startswith("\r") else "\n")
    return kept


def _closed(text: str, path: Path) -> str:
    holder = parse(text).at(path)
    assert holder is not None
    blank = not text[holder.opens + 1 : holder.end - 1].strip()
    return text[: holder.opens + 1] + text[holder.end - 1 :] if blank else text


def _added(text: str, path: Path, new: Any) -> str:
    holder = parse(text).at(path[:-1])
    if holder is None or not isinstance(holder.plain, list if path[-1] == END else dict):
        raise UsageError(f"{'.'.join(map(str, path[:-1])) or 'the whole'} is not of the kind that can hold {path[-1]!a}")
    inside = list(holder.inner.values())
    line, step, outer = "\r\n" if "\r\n" in text else "\n", _step(text), _margin(text, holder.opens)
    spread = not inside or "\n" in text[holder.opens : inside[0].start]
    margin = _margin(text, inside[0].start) if inside and spread else outer + step
    words = json.dumps(new, indent=step if spread else None, ensure_ascii=False).replace("\n", line + margin)
    if path[-1] != END:
        words = f"{json.dumps(path[-1], ensure_ascii=False)}: {words}"
    if inside:
        return _behind(text, inside[-1].end, words, line + margin, spread=spread)
    at = holder.opens + 1
    closing = "" if "\n" in text[at : holder.end - 1] else line + outer
    return f"{text[:at]}{line}{margin}{words}{closing}{text[at:]}"


def _behind(text: str, last: int, words: str, line: str, *, spread: bool) -> str:
    """Put words behind the last value, its comma and the remark that stands on its line."""
    comma = _Reader(text).gap(last)
    has = text[comma] == ","
    found = _REMARK.match(text, comma + 1 if has else last)
    at = found.end() if found else comma + 1 if has else last
    begin = line if spread or (found and "//" in found.group()) else " "
    return f"{text[:last]}{'' if has else ','}{text[last:at]}{begin}{words}{',' if has else ''}{text[at:]}"


def _step(text: str) -> str:
    found = re.search(r"\n([ \t]{1,8})\S", text)
    return found.group(1) if found else "  "


def _margin(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


class _Reader:
    """A walk over one text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def gap(self, at: int) -> int:
        """Go over blanks and comments."""
        found = _GAP.match(self.text, at)
        return found.end() if found else at

    def wrong(self, at: int, why: str) -> UsageError:
        """Say where it is wrong."""
        return UsageError(f"line {self.text.count(chr(10), 0, at) + 1}: {why}")

    def value(self, at: int, depth: int, start: int | None = None) -> Value:
        """Read the value that begins here; `start` is where its key begins."""
        start = at if start is None else start
        if depth > _DEEPEST:
            raise self.wrong(at, "nested too deeply")
        if self.text[at : at + 1] in ("{", "["):
            return self._container(at, depth, start)
        found = _STRING.match(self.text, at) or _SCALAR.match(self.text, at)
        if found is None:
            raise self.wrong(at, f"no value begins with {self.text[at : at + 10]!a}")
        return Value(start, at, found.end(), self._loaded(at, found.group()))

    def _loaded(self, at: int, words: str) -> Any:
        try:
            return json.loads(words)
        except ValueError:
            raise self.wrong(at, f"{words[:20]!a} is no value") from None

    def _container(self, opens: int, depth: int, start: int) -> Value:
        closes = "}" if self.text[opens] == "{" else "]"
        inner: dict[str | int, Value] = {}
        at = self.gap(opens + 1)
        while not self.text.startswith(closes, at):
            key, value = self._member(at, depth) if closes == "}" else (len(inner), self.value(at, depth + 1))
            inner[key] = value
            at = self.gap(value.end)
            if self.text.startswith(",", at):
                at = self.gap(at + 1)
            elif not self.text.startswith(closes, at):
                raise self.wrong(at, f"a comma or {closes} is missing")
        plain: Any = [one.plain for one in inner.values()]
        return Value(start, opens, at + 1, plain if closes == "]" else dict(zip(inner, plain, strict=True)), inner)

    def _member(self, start: int, depth: int) -> tuple[str, Value]:
        key = _STRING.match(self.text, start)
        colon = self.gap(key.end()) if key else start
        if key is None or not self.text.startswith(":", colon):
            raise self.wrong(start, 'a member is "KEY": VALUE')
        return str(self._loaded(start, key.group())), self.value(self.gap(colon + 1), depth + 1, start)
