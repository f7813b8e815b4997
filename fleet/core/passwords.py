"""Which words of a text are a password: after `password =`, in JSON, in a URL; must never take a variable for one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

SIEVE = r"""(?i)(?:password|passwd|passphrase|pwd)(?:[\\"'`]*\s*(?:[:=]|\x00)|\s+[^\s])|://[^\s/:@]*:[^\s/@]+@"""
KEY = r"(?:[a-z0-9.]*(?:password|passwd|passphrase)|(?:[a-z0-9]{1,16})?pwd)"  # of a JSON object, without `_` and `-`

_NAMED = (
    r"(?P<name>(?i:password|passwd|passphrase|pwd))(?P<mark>\\*+[\"'`]?)"
    r"(?P<sep>\s{0,8}(?:=>|:=|[:=])\s{0,8}|(?<=--password)[ ]{1,4}|(?<=--passwd)[ ]{1,4})(?P<open>\\*+[\"'`]?)"
)
_IN_URL = r"(?<=[A-Za-z0-9])://[^\s/:@\"'<>\\`]{1,128}+:(?P<x>[^\s/@\"'<>\\`]{1,256}+)@[A-Za-z0-9\[]"
_BARE = re.compile(r"[^\s\"'`,;(){}<>\\]{1,256}+")
_NONE = """string str text password passwd secret none null nil undefined true false bool optional required hidden any
object bytes input field prompt redacted empty unset changed unchanged expired invalid incorrect wrong missing reset sha1
sha256 sha512 md5 argon2 argon2i argon2id bcrypt scrypt pbkdf2 base64 utf8 utf-8 int32 int64 uint8"""
_WORDS = frozenset(_NONE.split())  # what stands after `password:` where none stands
_EXAMPLES = _WORDS | {"pass", "pw", "pwd", "token"}
_PLACEHOLDER = re.compile(r"[$<{%*•x.…_-]{3,}|\$.+|<.*>|\{.*\}|%[sd(A-Z].*|#\{.*|\*+|x{3,}|X{3,}|\.+|…", re.DOTALL)
_VARIABLE = re.compile(r"[A-Za-z_]\w{0,128}(?:(?:(?:\.|->|::)[A-Za-z_]\w{0,128})+|\[.*)")  # cfg.password, entry[1]
_CONSTANT = re.compile(r"[A-Z]+(?:_[A-Z]+)+")
_SPECIAL = frozenset("0123456789!@#$%^&*+?~")
LONGEST = 1024  # characters of a password in quotes


def find(text: str) -> Iterator[tuple[int, int]]:
    """Find passwords in a text: start and end of each."""
    named, in_url = _patterns()
    for found in in_url.finditer(text):
        if not is_reference(found["x"]) and found["x"].lower() not in _EXAMPLES:
            yield found.span("x")
    for found in named.finditer(text):
        opening = found["open"]
        start = found.end()
        if opening and opening[-1] in "\"'`":
            end = _closing(text, start, opening)
            if end > start and _is_quoted(text[start:end], json=found["mark"] == opening):
                yield start, end
        elif not (opening or found["mark"]) and (bare := _BARE.match(text, start)) and _is_bare(text, found, bare):
            yield bare.span()


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    return re.compile(_NAMED), re.compile(_IN_URL)


def fits(value: str) -> bool:
    """Say whether the whole value of a key named so is a password."""
    return _is_quoted(value, json=True)


def is_reference(value: str) -> bool:
    """Say whether a value only says where the password is to come from, or that there is one."""
    return _PLACEHOLDER.fullmatch(value) is not None


def _closing(text: str, start: int, opening: str) -> int:
    """Find the quote that ends what `opening` began, in JSON inside of JSON too; -1 when there is none nearby.

    A quote that closes has as many backslashes before it as the one that opened, or more by whole escaped backslashes.
    """
    depth, quote = len(opening) - 1, opening[-1]
    at = start
    limit = min(len(text), start + LONGEST)
    while (at := text.find(quote, at, limit)) >= 0:
        before = at
        while before > start and text[before - 1] == "\\":
            before -= 1
        if (at - before) % (2 * (depth + 1)) == depth:
            end = at - depth
            return end if "\n" not in text[start:end] else -1
        at += 1
    return -1


def _is_quoted(value: str, *, json: bool) -> bool:
    word = value.strip()
    if not word or word.lower() in _WORDS or is_reference(word) or word.startswith(("/", "~/", "./")):
        return False
    if " " in word and ("password" in word.lower() or not json) and not _SPECIAL & set(word):
        return False  # a label: "Enter your password"
    return json or (len(word) >= 4 and not _CONSTANT.fullmatch(word))


def _is_bare(text: str, found: re.Match[str], bare: re.Match[str]) -> bool:
    word = bare[0].rstrip(".:!?")
    follows = text[bare.end() : bare.end() + 1]
    if word.lower() in _WORDS or is_reference(word) or _VARIABLE.fullmatch(word) or follows in ("(", "{", "<"):
        return False
    if word.startswith(("/", "~", "./", "=", "@", "[", "http://", "https://", "-", "&", "|")):
        return False
    if found["name"].isupper() and found["sep"] == "=":
        return len(word) >= 4  # a line of an environment file
    return len(word) >= 6 and bool(_SPECIAL & set(word)) and any(one.isalpha() for one in word) and "_" not in word
