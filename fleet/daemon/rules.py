"""What a setting may be: one Rule reads a value or says what is allowed; never where the value came from."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fleet.core.actions import LEVELS
from fleet.core.envelope import is_node_id
from fleet.daemon import quantities
from fleet.daemon.quantities import show_duration, show_size, split_address

CHANNEL_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII).fullmatch
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]").search


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of value: `read` gives it or raises ValueError, `parse` makes of typed text what TOML would hold."""

    allowed: str
    read: Callable[[Any], Any]
    parse: Callable[[str], Any] = str
    show: Callable[[Any], Any] = lambda value: value  # the value as TOML would hold it
    words: tuple[str, ...] = ()  # what a near miss is looked for in


def _want(good: object) -> None:
    if not good:
        raise ValueError("not allowed")


def _flag(found: Any) -> bool:
    _want(isinstance(found, bool))
    return bool(found)


def _parse_flag(text: str) -> Any:
    return {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}.get(text.lower(), text)


def _parse_number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _parse_list(text: str) -> Any:
    """Read a JSON (or TOML) array of strings, or words between commas."""
    if text.startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return [word.strip() for word in text.split(",") if word.strip()]


FLAG = Rule("true or false", _flag, _parse_flag)


def text(allowed: str = "a text of one line", most: int = 4096) -> Rule:
    """Allow any line of text."""

    def read(found: Any) -> str:
        _want(isinstance(found, str) and len(found) <= most and not _CONTROL(found))
        return str(found)

    return Rule(allowed, read)


def checked(allowed: str, good: Callable[[str], object], *, empty: bool = True) -> Rule:
    """Allow a line of text that passes `good`, and "" for "not set"."""
    line = text()

    def read(found: Any) -> str:
        word: str = line.read(found)
        _want(good(word) if word else empty)
        return word

    return Rule(f'{allowed}, or ""' if empty else allowed, read)


def choice(*words: str) -> Rule:
    """Allow one of a few words."""

    def read(found: Any) -> str:
        _want(found in words if isinstance(found, str) else False)
        return str(found)

    return Rule(" or ".join(f'"{word}"' for word in words), read, words=words)


def number(least: int, most: int) -> Rule:
    """Allow a whole number within bounds."""

    def read(found: Any) -> int:
        _want(isinstance(found, int) and not isinstance(found, bool) and least <= found <= most)
        return int(found)

    return Rule(f"a whole number from {least} to {most}", read, _parse_number)


def ratio() -> Rule:
    """Allow a share from 0 to 1."""

    def read(found: Any) -> float:
        _want(isinstance(found, int | float) and not isinstance(found, bool) and 0 <= found <= 1)
        return float(found)

    return Rule("a number from 0 to 1", read, _parse_number)


def duration(least: float = 0.0, most: float = 10 * 365 * 86_400.0) -> Rule:
    """Allow a duration within bounds."""

    def read(found: Any) -> float:
        seconds = quantities.duration(found)
        _want(least <= seconds <= most)
        return seconds

    allowed = f'seconds, or "30s", "10m", "7d"; from {show_duration(least)} to {show_duration(most)}'
    return Rule(allowed, read, show=show_duration)


def size(least: int, most: int) -> Rule:
    """Allow a size within bounds."""

    def read(found: Any) -> int:
        count = quantities.size(found)
        _want(least <= count <= most)
        return count

    allowed = f'bytes, or "64MB", "64MiB"; from {show_size(least)} to {show_size(most)}'
    return Rule(allowed, read, show=show_size)


def dollars(most: int) -> Rule:
    """Allow an amount of dollars in whole micro-dollars, up to `most` dollars."""

    def read(found: Any) -> int:
        micro = quantities.micro_dollars(found)
        _want(micro <= most * 1_000_000)
        return micro

    return Rule(f"dollars, at most {most}, in steps of 0.000001", read, show=quantities.show_dollars)


def listing(allowed: str, good: Callable[[str], object], most: int = 64, words: tuple[str, ...] = ()) -> Rule:
    """Allow a list of texts that pass `good`, none twice."""
    line = text(most=256)

    def read(found: Any) -> tuple[str, ...]:
        _want(isinstance(found, Sequence) and not isinstance(found, str) and len(found) <= most)
        items = tuple(line.read(item) for item in found)
        _want(len(set(items)) == len(items) and all(good(item) for item in items))
        return items

    return Rule(allowed, read, _parse_list, list, words)


def levels(*words: str) -> Rule:
    """Allow one word for every trust level, or five of them, level 0 first."""

    def read(found: Any) -> tuple[str, ...]:
        row = [found] * LEVELS if isinstance(found, str) else found
        _want(isinstance(row, Sequence) and len(row) == LEVELS and all(word in words for word in row))
        return tuple(row)

    def parse(text: str) -> Any:
        return text if text in words else _parse_list(text)

    each = " or ".join(f'"{word}"' for word in words)
    return Rule(f"{each}, or a list of {LEVELS} of them, level 0 first", read, parse, list, words)


def is_address(word: str) -> bool:
    """Say whether a word is host:port."""
    try:
        split_address(word)
    except ValueError:
        return False
    return True


def is_loopback(word: str) -> bool:
    """Say whether a word is host:port of this machine alone."""
    if not is_address(word):
        return False
    host = split_address(word)[0]
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_routable(word: str) -> bool:
    """Say whether a word is host:port that another machine could call (a wildcard is not)."""
    if not is_address(word):
        return False
    host, port = split_address(word)
    return port > 0 and host not in ("0.0.0.0", "::", "*")


def is_operand(word: str) -> bool:
    """Say whether a word can be handed to ssh, git or tmux without being taken for an option."""
    return not word.startswith("-") and not any(character.isspace() for character in word)


def is_remote(word: str) -> bool:
    """Say whether a word is a git remote by ssh, https or a local path; never a helper such as ext::."""
    scheme, mark, _ = word.partition("://")
    if "::" in word or not is_operand(word):
        return False
    if mark:
        return scheme in ("ssh", "https", "file")
    return word.startswith("/") or bool(re.fullmatch(r"(?:[A-Za-z0-9._-]+@)?[A-Za-z0-9._-]+:[^:]+", word))


def _has_scheme(*schemes: str) -> Callable[[str], bool]:
    def good(word: str) -> bool:
        scheme, mark, rest = word.partition("://")
        return bool(mark) and scheme in schemes and bool(rest) and is_operand(word)

    return good


def url(*schemes: str) -> Rule:
    """Allow a URL of some schemes, and "" for "not set"."""
    return checked(" or ".join(f"{scheme}://…" for scheme in schemes), _has_scheme(*schemes))


NODE = checked("a node id: a-z, 0-9, -, up to 63 characters", is_node_id)
ADDRESS = checked("host:port", is_address, empty=False)
ROUTABLE = checked("host:port that other machines can call", is_routable)
LOCAL = replace(
    checked("", lambda word: word == "off" or is_loopback(word), empty=False),
    allowed='host:port of this machine (127.0.0.1, ::1, localhost), or "off"',
    words=("off",),
)
OPERAND = checked("one word that does not begin with -", is_operand)
REMOTE = checked("ssh://…, https://…, file://…, user@host:path or an absolute path", is_remote)
PORT = number(1, 65_535)
LINE = text()
NODES = listing("a list of node ids", is_node_id)
LABELS = listing("a list of texts, none twice", bool)
MAC = checked(
    "a hardware address, 00:11:22:33:44:55", re.compile(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}", re.ASCII).fullmatch
)
SERVERS = checked(
    "nats://… or tls://…, several between commas",
    lambda word: all(_has_scheme("nats", "tls")(part) for part in word.split(",")),
)
ROUTES = listing("a list of nats-route://… or nats://… URLs", _has_scheme("nats-route", "nats", "tls"))
