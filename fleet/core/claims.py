"""Where in one text each kind lies: claims() gives spans that do not overlap; it judges nothing and replaces nothing.

A sieve (google-re2, loaded by whoever screens first) says in a microsecond that there is nothing, which is the rule.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from fleet.core.patterns import PATTERNS

if TYPE_CHECKING:
    import re2

KINDS = tuple(PATTERNS)
BETWEEN = "\0"  # after a key and between values, where many are sieved as one text
_MARK = re.compile(rf"\[(?:redacted:(?:{'|'.join(KINDS)})|(?:{'|'.join(KINDS)}):[0-9a-f]{{12}})\]")
_LITERAL = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_ESCAPE = re.compile(r"u[0-9A-Fa-f]{4}|[bfnrt]")
_FIELD = re.compile(r"\"\s{0,4}:\s{0,4}$")


class Claim(NamedTuple):
    """A part of a text and the kind that it is."""

    start: int
    end: int
    kind: str


def fires(kinds: Collection[str], body: Any, context: Any) -> bool:
    """Say whether any of some kinds may be in a message: one look at all its keys and values together."""
    if type(body) is str and context is None:
        return bool(_sieve(tuple(kinds)).Match(body))
    parts: list[str] = []
    _gather(body, parts)
    _gather(context, parts)
    return bool(_sieve(tuple(kinds)).Match(BETWEEN.join(parts)))


def claims(text: str, key: str = "", acting: Collection[str] = ()) -> list[Claim]:
    """Find everything in a text, in its order; `key` names it in JSON, which counts for the `acting` kinds.

    Earlier kinds of PATTERNS claim first; marks of an earlier screening and the numbers of JSON are nobody's.
    """
    if key and _MARK.fullmatch(text) is None:
        for kind in keyed(key):
            if kind in acting and PATTERNS[kind].fits(text):
                return [Claim(0, len(text), kind)]
    fired = [KINDS[at] for at in sorted(_sieve(KINDS).Match(text) or ())]
    if not fired:
        return []
    taken = _closed(text)
    found: list[Claim] = []
    for kind in fired:
        for start, end in PATTERNS[kind].find(text):
            start = _past_escape(text, start)
            end = start + len(text[start:end].rstrip("\\"))  # a backslash at the end belongs to what follows
            if start < end and taken.find(1, start, end) < 0 and not _is_number(text, start, end):
                taken[start:end] = b"\1" * (end - start)
                found.append(Claim(start, end, kind))
    return sorted(found)


@cache
def _sieve(kinds: tuple[str, ...]) -> re2.Set:
    import re2

    options = re2.Options()
    options.log_errors = False
    made = re2.Set.SearchSet(options)
    for kind in kinds:
        made.Add(PATTERNS[kind].sieve)
    made.Compile()
    return made


def _gather(value: Any, parts: list[str]) -> None:
    if type(value) is str:
        parts.append(value)
    elif type(value) is dict:
        for key, item in value.items():
            parts.append(key)
            _gather(item, parts)
    elif type(value) is list:
        for item in value:
            _gather(item, parts)


def keyed(key: str) -> list[str]:
    """Name the kinds that a JSON key says its value is."""
    if len(key) > 64:
        return []
    plain = key.lower().replace("_", "").replace("-", "").replace(" ", "")
    return [kind for kind, names in _keys() if names.fullmatch(plain)]


@cache
def _keys() -> list[tuple[str, re.Pattern[str]]]:
    return [(kind, re.compile(pattern.key)) for kind, pattern in PATTERNS.items() if pattern.key]


def _closed(text: str) -> bytearray:
    """Mark what nobody may claim: earlier marks, and in JSON everything but the inside of its strings."""
    if _is_json(text):
        taken = bytearray(b"\1" * len(text))
        for word in _LITERAL.finditer(text):
            taken[word.start(1) : word.end(1)] = bytes(word.end(1) - word.start(1))
    else:
        taken = bytearray(len(text))
    for mark in _MARK.finditer(text):
        taken[mark.start() : mark.end()] = b"\1" * (mark.end() - mark.start())
    return taken


def _is_json(text: str) -> bool:
    """Say whether a text is a JSON object or array, or one such a line."""
    if text.lstrip()[:1] not in ("{", "["):
        return False
    return _reads(text) or all(_reads(line) for line in text.splitlines() if line.strip())


def _reads(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return False
    return True


def _past_escape(text: str, start: int) -> int:
    """Step over the letter of an escape (`\\n`) that a finder took for the beginning of a word.

    How many backslashes stand before it says nothing: JSON may be written in JSON any number of times.
    """
    escape = _ESCAPE.match(text, start) if text[start - 1 : start] == "\\" else None
    return escape.end() if escape else start


def _is_number(text: str, start: int, end: int) -> bool:
    """Say whether a span is the number of a JSON field, in a text that is only partly JSON."""
    return text[start:end].isdigit() and _FIELD.search(text[max(0, start - 12) : start]) is not None
