"""The configuration as frozen values: flag > FLEET_* > config.toml > default; all mistakes at once, never half."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from fleet.core.envelope import KINDS, Kind
from fleet.daemon import registry, sections
from fleet.daemon.content import Content
from fleet.daemon.mistakes import Mistake, dotted, error_of, line_at, lines_of, shown, syntax_mistake
from fleet.daemon.mistakes import Path as Place
from fleet.daemon.paths import Paths
from fleet.daemon.reading import Reading, read_kinds, read_peers, read_roads, read_section
from fleet.daemon.sections import PEER_KEYS, PEER_ROADS, ROADS, SECTIONS
from fleet.daemon.sources import from_environment, from_flags
from fleet.errors import SettingsError

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the operator may say, with defaults where nothing was said."""

    node: sections.Node
    api: sections.Api
    nats: sections.Nats
    federation: sections.Federation
    budget: sections.Budget
    breaker: sections.Breaker
    content: Content
    healing: sections.Healing
    retention: sections.Retention
    watchdog: sections.Watchdog
    keys: sections.Keys
    log: sections.Log
    order: tuple[str, ...]
    channels: Mapping[str, Mapping[str, Any]]
    types: Mapping[str, Mapping[str, Any]]
    peers: Mapping[str, Mapping[str, Any]]
    file: str = ""
    origins: Mapping[Place, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    text: str = field(default="", repr=False)

    @property
    def roads(self) -> tuple[str, ...]:
        """The channels in use: those of the order that are enabled."""
        return tuple(name for name in self.order if self.channels[name]["enabled"])

    def channel(self, name: str) -> Mapping[str, Any]:
        """Give the table of one channel, defaults filled in."""
        return self.channels[name]

    def kinds(self) -> Mapping[str, Kind]:
        """Give the table of kinds with `[types.NAME]` applied; a type of the fleet's own needs level 2."""
        changed = {word: _changed(KINDS.get(word) or Kind(word), values) for word, values in self.types.items()}
        return MappingProxyType({**KINDS, **changed})

    def items(self) -> Iterator[tuple[str, Any, str]]:
        """Yield (dotted key, value as TOML would hold it, origin) of every setting, for `fleet config show`."""
        places = lines_of(self.text)
        for place, value in self._values():
            yield dotted(place), value, self._origin(place, places)

    def origin(self, key: str) -> str:
        """Say where a key's value comes from: flag, environment NAME, config.toml:line or default."""
        return self._origin(tuple(key.split(".")), lines_of(self.text))

    def _origin(self, place: Place, places: Mapping[Place, int]) -> str:
        origin = self.origins.get(place, DEFAULT)
        return f"config.toml:{line_at(places, place)}" if origin == "file" else origin

    def _values(self) -> Iterator[tuple[Place, Any]]:
        for section in SECTIONS:
            for name, key in sections.section_keys(section).items():
                value = self.order if section == "order" else getattr(getattr(self, section), key.attribute)
                yield (section, name), key.rule.show(value)
        for road, table in self.channels.items():
            yield from _shown(("channel", road), table, sections.road_keys(road))
        for word, table in self.types.items():
            yield from _shown(("types", word), table, sections.KIND_KEYS)
        for node, words in self.peers.items():
            yield from _shown(("peer", node), words, PEER_KEYS)
            for name, inner in words.items():
                if isinstance(inner, Mapping):
                    yield from _shown(("peer", node, name), inner, PEER_ROADS.get(name, {}))


def load(paths: Paths, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> Settings:
    """Read the configuration of one node. Raises SettingsError that lists every mistake.

    `flags` are dotted keys with typed values or text; None means that the flag was not given.
    """
    return parse(read_text(paths), str(paths.config), environ, flags or {})


def read_text(paths: Paths) -> str:
    """Read config.toml; a missing one is an empty one. Raises SettingsError."""
    try:
        return paths.config.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise error_of([Mistake(str(paths.config), line, "TOML", "", "must be UTF-8")]) from None
    except OSError as error:
        raise SettingsError(f"cannot read {paths.config}: {error.strerror}") from None


def parse(text: str, file: str, environ: Mapping[str, str], flags: Mapping[str, Any]) -> Settings:
    """Make settings of a text. Raises SettingsError that lists every mistake."""
    settings, mistakes = check(text, file, environ, flags)
    if settings is None or mistakes:
        raise error_of(mistakes)
    return settings


def check(
    text: str, file: str, environ: Mapping[str, str], flags: Mapping[str, Any]
) -> tuple[Settings | None, list[Mistake]]:
    """Read a text and give what could be read with every mistake found; no settings when it is no TOML."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return None, [syntax_mistake(file, text, error)]
    except RecursionError:
        return None, [Mistake(file, 0, "TOML", "", "nested too deep")]
    tables = data.get("channel", {})
    given, mistakes = from_environment(environ, {**ROADS, **tables} if isinstance(tables, dict) else ROADS)
    reading = Reading(file, text, {**given, **from_flags(flags)}, mistakes=mistakes)
    settings = _read(reading, data)
    return settings, sorted(reading.mistakes, key=lambda mistake: (mistake.file != file, mistake.line, mistake.key))


def _read(reading: Reading, data: Mapping[str, Any]) -> Settings:
    reading.unknown(data, (), (*SECTIONS, "types", "channel", "peer"), "no such section")
    values = {name: read_section(reading, data, name) for name in SECTIONS}
    order: tuple[str, ...] = values.pop("order").channels
    channels = read_roads(reading, data, order, registry.exists)
    _unknown_flags(reading, channels)
    return Settings(
        **values,
        order=order,
        channels=channels,
        types=read_kinds(reading, data, channels),
        peers=read_peers(reading, data, channels, values["node"].id),
        file=reading.file,
        origins=MappingProxyType(reading.origins),
        text=reading.text,
    )


def _unknown_flags(reading: Reading, channels: Mapping[str, Any]) -> None:
    """Note a flag that names no setting: a bug of the face that passed it, but never a silent one."""
    known: set[Place] = {(section, name) for section in SECTIONS for name in sections.section_keys(section)}
    known |= {("channel", road, name) for road in channels for name in sections.road_keys(road)}
    for place, given in reading.given.items():
        if place not in known:
            reading.mistakes.append(Mistake(given.file, 0, given.name, shown(given.value), "no such setting"))


def _changed(kind: Kind, values: Mapping[str, Any]) -> Kind:
    """Apply `[types.NAME]`; "*" at the end of its channels means: then every other road."""
    changes = {name: value for name, value in values.items() if name != "channels"}
    if "channels" in values:
        roads = tuple(name for name in values["channels"] if name != "*")
        changes |= {"roads": roads, "then_all": bool(roads) and "*" in values["channels"]}
    return replace(kind, **changes)


def _shown(place: Place, table: Mapping[str, Any], keys: Mapping[str, sections.Key]) -> Iterator[tuple[Place, Any]]:
    for name, value in table.items():
        if not isinstance(value, Mapping):
            yield (*place, name), keys[name].rule.show(value) if name in keys else value
