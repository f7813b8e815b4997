"""How one kind of secret or personal data is looked for; knows no kind, must never need more than linear time.

A kind has a sieve (RE2, cheap, fires too often rather than too seldom) and a look (Python, precise, asked only where the
sieve fired). A look stays linear on hostile text: it starts at a literal or at the edge of a word, and every repeat in
it is bounded or gives nothing back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

Span = tuple[int, int]
Find = Callable[[str], Iterator[Span]]

EDGE = r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt]))"  # of a word, also after `\n` as JSON writes it
DIGIT_EDGE = r"(?:(?<![\w.+-])|(?<=\\[nrt]))"  # of a number


@dataclass(frozen=True, slots=True)
class Pattern:
    """How one kind is found: in any text, and as the whole value of a JSON key that says what it is."""

    sieve: str  # RE2
    find: Find
    key: str = ""  # Python; the whole key, in lower case and without `_`, `-` and blanks
    fits: Callable[[str], bool] = bool  # … and its value


def _always(found: re.Match[str]) -> bool:
    return True


def look(source: str, good: Callable[[re.Match[str]], bool] = _always) -> Find:
    """Make a finder of a Python pattern; the span is what its group `x` matched, else all of it."""

    @cache
    def compiled() -> re.Pattern[str]:
        return re.compile(source)

    def find(text: str) -> Iterator[Span]:
        for found in compiled().finditer(text):
            if good(found):
                yield found.span("x" if found.groupdict().get("x") else 0)

    return find


def digits(text: str) -> str:
    """Give the digits of a text."""
    return "".join(one for one in text if "0" <= one <= "9")


def has_digit(text: str) -> bool:
    """Say whether a text has a digit, as keys have and names of keys seldom."""
    return any(one.isdigit() for one in text)


def is_mixed(text: str) -> bool:
    """Say whether a text has letters and digits, as a house in a street has."""
    return any(one.isdigit() for one in text) and any(one.isalpha() for one in text)
