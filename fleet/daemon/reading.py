"""Values out of a TOML table, a variable and a flag, one key at a time; never stops at the first mistake."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from fleet.core.envelope import KINDS, TYPE_WORD, is_node_id
from fleet.core.parcel import ParcelType
from fleet.daemon import sections
from fleet.daemon.mistakes import Mistake, Path, dotted, line_at, lines_of, nearest, shown
from fleet.daemon.sections import ANYTHING, KIND_KEYS, LAYER, PEER_KEYS, PEER_ROADS, ROADS, Key
from fleet.daemon.sources import Given

_NO_SETTING = "no such setting"
_TABLE = "must be a table"
_SYSTEM_WORDS = frozenset(kind.name.lower() for kind in ParcelType)


@dataclass(slots=True)
class Reading:
    """One load under way: what was found so far and what is wrong with it."""

    file: str
    text: str
    given: Mapping[Path, Given]
    origins: dict[Path, str] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    _places: dict[Path, int] | None = None

    def line(self, path: Path) -> int:
        """Find the line of a key; the file is searched only once something is wrong."""
        if self._places is None:
            self._places = lines_of(self.text)
        return line_at(self._places, path)

    def wrong(self, path: Path, allowed: str, *, found: Any = None, near: str = "") -> None:
        """Note a mistake of the file."""
        word = "" if found is None else shown(found)
        self.mistakes.append(Mistake(self.file, self.line(path), dotted(path), word, allowed, near))

    def table(self, data: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
        """Give the table at the end of `path`; a value in its place is a mistake and reads as an empty table."""
        found = data.get(path[-1], {})
        if isinstance(found, dict):
            return found
        self.wrong(path, _TABLE, found=found)
        return {}

    def unknown(self, data: Mapping[str, Any], path: Path, allowed: Iterable[str], why: str = _NO_SETTING) -> None:
        """Note every name in a table that is not one of `allowed`."""
        names = tuple(allowed)
        for name in data:
            if name not in names:
                near = nearest(name, names)
                self.wrong((*path, name), why, near=dotted((*path, near)) if near else "")

    def values(self, data: Mapping[str, Any], path: Path, keys: Mapping[str, Key]) -> dict[str, Any]:
        """Read the settings of one table that were given: a flag goes before a variable, a variable before the file."""
        values: dict[str, Any] = {}
        for name, key in keys.items():
            place = (*path, name)
            if name in data:
                self._from_file(values, data[name], place, key)
            given = self.given.get(place)
            if given is not None:
                self._from_given(values, given, place, key)
        return values

    def _from_file(self, values: dict[str, Any], found: Any, place: Path, key: Key) -> None:
        try:
            values[place[-1]] = key.rule.read(found)
            self.origins[place] = "file"
        except (ValueError, OverflowError):
            self.wrong(place, f"must be {key.rule.allowed}", found=found, near=_near(found, key))

    def _from_given(self, values: dict[str, Any], given: Given, place: Path, key: Key) -> None:
        try:
            found = key.rule.parse(given.value) if isinstance(given.value, str) else given.value
            values[place[-1]] = key.rule.read(found)
            self.origins[place] = given.origin
        except (ValueError, OverflowError):
            allowed, near = f"must be {key.rule.allowed}", _near(given.value, key)
            self.mistakes.append(Mistake(given.file, 0, given.name, shown(given.value), allowed, near))


def _near(found: Any, key: Key) -> str:
    """Guess which allowed word was meant, by the first word that is none of them."""
    words = key.rule.words
    for word in found if isinstance(found, list | tuple) else [found]:
        if isinstance(word, str) and words and word not in words:
            near = nearest(word, words)
            return f'"{near}"' if near else ""
    return ""


def read_section(reading: Reading, data: Mapping[str, Any], name: str) -> Any:
    """Read a fixed section into its struct."""
    keys = sections.section_keys(name)
    table = reading.table(data, (name,))
    reading.unknown(table, (name,), keys)
    values = reading.values(table, (name,), keys)
    return sections.SECTIONS[name](**{keys[key].attribute: value for key, value in values.items()})


def read_roads(
    reading: Reading, data: Mapping[str, Any], order: tuple[str, ...], exists: Callable[[str], bool]
) -> Mapping[str, Mapping[str, Any]]:
    """Read `[channel.NAME]` of every road that is known or in the order, defaults filled in."""
    tables = reading.table(data, ("channel",))
    names = dict.fromkeys((*ROADS, *order))
    reading.unknown(tables, ("channel",), names, "no such channel: it does not stand in order.channels")
    roads: dict[str, Mapping[str, Any]] = {}
    for name in names:
        path = ("channel", name)
        table = reading.table(tables, path)
        keys = sections.road_keys(name)
        if name in ROADS:
            reading.unknown(table, path, keys)
        values = {key: known.default for key, known in keys.items()} | reading.values(table, path, keys)
        if name not in ROADS:
            values = {**reading.values(table, path, dict.fromkeys(table, ANYTHING)), **values}
            if not values["module"] and not exists(name):
                why = f"no such channel: there is no channels/{name}.py and no [channel.{name}] module"
                near = nearest(name, ROADS)
                reading.wrong(("order", "channels"), why, found=name, near=f'"{near}"' if near else "")
        roads[name] = MappingProxyType(values)
    return MappingProxyType(roads)


def read_kinds(reading: Reading, data: Mapping[str, Any], roads: Iterable[str]) -> Mapping[str, Mapping[str, Any]]:
    """Read `[types.NAME]`: what the operator changes of the table of kinds, or a type of the fleet's own."""
    tables = reading.table(data, ("types",))
    known = tuple(roads)
    kinds: dict[str, Mapping[str, Any]] = {}
    for word in tables:
        path = ("types", word)
        table = reading.table(tables, path)
        near = "" if word in KINDS else nearest(word, KINDS)
        if near:
            reading.wrong(path, "no such type, and too near one to be a type of your own", near=f"types.{near}")
        elif word in _SYSTEM_WORDS or not re.match(TYPE_WORD, word, re.ASCII):
            reading.wrong(path, "must be a-z, 0-9, -, up to 32 characters, and no word of the system")
        reading.unknown(table, path, KIND_KEYS)
        values = reading.values(table, path, KIND_KEYS)
        for name in values.get("channels", ()):
            if name not in known and not (name == "*" and values["channels"][-1] == "*"):
                near = nearest(name, known)
                why = 'no such channel ("*" goes last)' if name == "*" else "no such channel"
                reading.wrong((*path, "channels"), why, found=name, near=f'"{near}"' if near else "")
        kinds[word] = MappingProxyType(values)
    return MappingProxyType(kinds)


def read_peers(
    reading: Reading, data: Mapping[str, Any], roads: Iterable[str], me: str
) -> Mapping[str, Mapping[str, Any]]:
    """Read `[peer.ID]`: the operator's words on each static peer, as core.peer.merge wants them."""
    tables = reading.table(data, ("peer",))
    known = tuple(roads)
    peers: dict[str, Mapping[str, Any]] = {}
    for node in tables:
        path = ("peer", node)
        if not is_node_id(node):
            reading.wrong(path, "must be a node id: a-z, 0-9, -, up to 63 characters")
        elif node == me:
            reading.wrong(path, "is this node itself")
        peers[node] = MappingProxyType(read_peer(reading, reading.table(tables, path), path, known))
    return MappingProxyType(peers)


def read_peer(reading: Reading, table: Mapping[str, Any], path: Path, roads: tuple[str, ...]) -> dict[str, Any]:
    """Read the words on one peer: plain settings, layers, and an address table per channel ("" says nothing)."""
    reading.unknown(table, path, (*PEER_KEYS, "layer", *roads))
    words = reading.values(table, path, PEER_KEYS)
    for name in roads:
        if name in table:
            place = (*path, name)
            inner = reading.table(table, place)
            keys = PEER_ROADS.get(name, dict.fromkeys(inner, ANYTHING))
            reading.unknown(inner, place, keys)
            values = reading.values(inner, place, keys)
            words[name] = MappingProxyType({key: value for key, value in values.items() if value != ""})
    if "layer" in table:
        place = (*path, "layer")
        inner = reading.table(table, place)
        reading.unknown(inner, place, roads, "no such channel")
        words["layer"] = MappingProxyType(reading.values(inner, place, dict.fromkeys(roads, LAYER)))
    return words
