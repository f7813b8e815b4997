"""Edits of config.toml that keep its comments and order; never writes a file that would not load.

A new text is checked twice: it must hold exactly the old values with the one change, and it may have no mistake that
was not there before. The environment is left out of that check: the daemon's is another than the editor's.
"""

from __future__ import annotations

import fcntl
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from fleet.daemon import sections, settings
from fleet.daemon.mistakes import Mistake, error_of, nearest
from fleet.daemon.paths import Paths
from fleet.daemon.rules import Rule
from fleet.errors import NotFound, SettingsError, UsageError
from fleet.store.files import atomic_write


@dataclass(frozen=True, slots=True)
class Change:
    """What an edit did: `old` is None when the key was not in the file, `new` when it is gone."""

    key: str
    old: Any
    new: Any


def set_keys(paths: Paths, values: Mapping[str, Any]) -> list[Change]:
    """Write settings by dotted key, all or none; typed text becomes what each setting's rule wants.

    Raises SettingsError with every mistake the new file would have, UsageError for a key that cannot be one.
    """
    places = {key: _place(key) for key in values}
    new = {key: typed(places[key], value) if isinstance(value, str) else value for key, value in values.items()}

    def change(document: Any) -> None:
        for key, place in places.items():
            put(document, place, new[key])

    before = _edit(paths, change)
    return [Change(key, _find(before, place), new[key]) for key, place in places.items()]


def set_key(paths: Paths, key: str, value: Any) -> Change:
    """Write one setting, as set_keys does."""
    return set_keys(paths, {key: value})[0]


def unset_key(paths: Paths, key: str) -> Change:
    """Take a setting (or a whole table, such as peer.mac1) out of the file. Raises NotFound."""
    place = _place(key)
    before = _edit(paths, lambda document: _drop(document, place), place[:-1])
    return Change(key, _find(before, place), None)


def get_key(current: settings.Settings, key: str) -> tuple[Any, str]:
    """Give a setting's value, as TOML would hold it, and its origin. Raises NotFound with the nearest name."""
    known = {name: (value, origin) for name, value, origin in current.items()}
    if key not in known:
        near = nearest(key, known)
        raise NotFound(f"there is no setting {key}", hint=f"did you mean {near}?" if near else "fleet config show")
    return known[key]


def _place(key: str) -> tuple[str, ...]:
    place = tuple(key.split("."))
    if not all(place) or not key.isprintable() or len(key) > 512:
        raise UsageError("KEY is a dotted path such as channel.git.remote")
    return place


def typed(place: tuple[str, ...], text: str) -> Any:
    """Make of typed text what TOML would hold, by the setting's own rule or, where there is none, by its look."""
    rule = rule_of(place)
    if rule is not sections.ANYTHING.rule:
        return rule.parse(text)
    try:
        return tomllib.loads(f"value = {text}")["value"] if "\n" not in text else text
    except tomllib.TOMLDecodeError:
        return text


def rule_of(place: tuple[str, ...]) -> Rule:
    """Find the rule of a dotted key; ANYTHING's when no setting of the house has that name."""
    name, table = place[-1], place[:-1]
    keys: Mapping[str, sections.Key] = {}
    if len(table) == 1 and table[0] in sections.SECTIONS:
        keys = sections.section_keys(table[0])
    elif len(table) == 2:
        keys = {"channel": sections.road_keys(table[1]), "types": sections.KIND_KEYS, "peer": sections.PEER_KEYS}.get(
            table[0], {}
        )
    elif len(table) == 3 and table[0] == "peer":
        keys = {name: sections.LAYER} if table[2] == "layer" else sections.PEER_ROADS.get(table[2], {})
    return keys.get(name, sections.ANYTHING).rule


def _edit(paths: Paths, change: Callable[[Any], None], emptied: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """Apply one change to the file and give the values it held before; tables around `emptied` may go when empty."""
    import tomlkit

    target = paths.config.resolve()  # a link of a dotfiles manager stays a link
    with _alone(target.parent):
        text = settings.read_text(paths)
        before = _data(text, str(paths.config))
        document = tomlkit.parse(text)
        change(document)
        wanted = _copy(before)
        change(wanted)
        written = _spaced(text, tomlkit.dumps(document))
        if _data(written, str(paths.config)) not in (wanted, _without(wanted, emptied)):
            raise SettingsError(f"{paths.config} is written in a way this edit would damage", hint="edit it by hand")
        _check(str(paths.config), text, written)
        atomic_write(target, written.encode(), mode=0o600)
    return before


def _check(file: str, before: str, after: str) -> None:
    old = {_identity(mistake) for mistake in settings.check(before, file, {}, {})[1]}
    new = settings.check(after, file, {}, {})[1]
    if any(_identity(mistake) not in old for mistake in new):
        raise error_of(new)


def _without(data: Any, place: tuple[str, ...]) -> Any:
    """Copy `data` without the tables along `place` that hold nothing."""
    if not place or place[0] not in data:
        return data
    inner = _without(data[place[0]], place[1:])
    rest = {name: value for name, value in data.items() if name != place[0]}
    return {**rest, place[0]: inner} if inner else rest


def _identity(mistake: Mistake) -> tuple[str, str, str]:
    return mistake.key, mistake.found, mistake.allowed


def _data(text: str, file: str) -> dict[str, Any]:
    """Parse a text; one that is no TOML raises the same SettingsError as a load would."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        raise error_of(settings.check(text, file, {}, {})[1]) from None


def _copy(value: Any) -> Any:
    return {name: _copy(inner) for name, inner in value.items()} if isinstance(value, dict) else value


def _find(data: Any, place: tuple[str, ...]) -> Any:
    for name in place:
        if not isinstance(data, Mapping) or name not in data:
            return None
        data = data[name]
    return data


def put(document: MutableMapping[str, Any], place: tuple[str, ...], value: Any) -> None:
    """Set a value in nested tables, making those that are missing. Raises SettingsError where a value is in the way."""
    table = document
    for name in place[:-1]:
        if table.get(name) is None:
            table[name] = {}
        inner = table[name]
        if not isinstance(inner, MutableMapping):
            raise SettingsError(f"{'.'.join(place)} cannot be set: {name} is a value, not a table")
        table = inner
    behind = _cut_tail(table) if place[-1] not in table else []
    table[place[-1]] = value
    for item in behind:
        table.add(item)  # type: ignore[attr-defined]  # only a table of the document has a tail


def _cut_tail(table: MutableMapping[str, Any]) -> list[Any]:
    """Take the blank lines and comments behind a table's last key off: they belong to what follows in the file."""
    body = getattr(getattr(table, "value", None), "body", [])
    cut = []
    while body and body[-1][0] is None and len(body) > 1:
        cut.append(body.pop()[1])
    return cut[::-1]


def _spaced(before: str, after: str) -> str:
    """Give each table a blank line before its head, but those that had none; a text this would change is left alone."""
    old = before.split("\n")
    tight = {line for above, line in pairwise(old) if line.startswith("[") and above}
    lines: list[str] = []
    for line in after.rstrip("\n").split("\n"):
        if line.startswith("[") and line not in tight and lines and lines[-1] and not lines[-1].startswith("#"):
            lines.append("")
        lines.append(line)
    spaced = "\n".join(lines) + "\n"
    return spaced if _parsed(spaced) == _parsed(after) else after


def _parsed(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _drop(document: MutableMapping[str, Any], place: tuple[str, ...]) -> None:
    table = document
    for name in place[:-1]:
        inner = table.get(name)
        table = inner if isinstance(inner, MutableMapping) else {}
    if place[-1] not in table:
        raise NotFound(f"config.toml does not set {'.'.join(place)}")
    del table[place[-1]]


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep other editors out while a file is read, changed and replaced; the lock is the directory's own."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise SettingsError(f"cannot open {directory}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
