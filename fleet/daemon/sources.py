"""Where a value may come from besides the file: FLEET_* variables and flags; never a value that was not named.

    FLEET_<SECTION>_<KEY>          FLEET_NODE_BIND, FLEET_NATS_URL, FLEET_FEDERATION_DYNAMIC_PEERS
    FLEET_CHANNEL_<NAME>_<KEY>     FLEET_CHANNEL_GIT_REMOTE
    FLEET_API                      short for FLEET_API_LISTEN

An empty variable is no variable. FLEET_HOME belongs to paths.py and FLEET_KEY, a secret, to fleet.store: neither is a
setting. A FLEET_* variable that names no section is somebody else's and is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fleet.daemon.mistakes import Mistake, Path, nearest
from fleet.daemon.sections import SECTIONS, Key, road_keys, section_keys

SHORT = {"FLEET_API": ("api", "listen")}
_PREFIX = "FLEET_"


@dataclass(frozen=True, slots=True)
class Given:
    """A value from the environment or a flag; `origin` is what `fleet config show --origin` prints."""

    file: str
    name: str
    value: Any

    @property
    def origin(self) -> str:
        """Name the source."""
        return f"{self.file} {self.name}" if self.file == "environment" else self.file


def from_environment(environ: Mapping[str, str], roads: Iterable[str]) -> tuple[dict[Path, Given], list[Mistake]]:
    """Find the settings among the variables."""
    given: dict[Path, Given] = {}
    mistakes: list[Mistake] = []
    known = _variables(roads)
    for name in sorted(environ, key=lambda name: (name in SHORT, name)):
        if not name.startswith(_PREFIX) or not environ[name]:
            continue
        path = SHORT.get(name) or known.get(name)
        if path:
            given[path] = Given("environment", name, environ[name])
        elif name.split("_")[1].lower() in (*SECTIONS, "channel") and name.count("_") > 1:
            mistakes.append(Mistake("environment", 0, name, "", "no such setting", nearest(name, known)))
    return given, mistakes


def from_flags(flags: Mapping[str, Any]) -> dict[Path, Given]:
    """Take the flags that were given (not None), by dotted key."""
    return {tuple(key.split(".")): Given("flag", key, value) for key, value in flags.items() if value is not None}


def _variables(roads: Iterable[str]) -> dict[str, Path]:
    places: dict[str, Path] = {}
    for section in SECTIONS:
        places |= _named((section,), section_keys(section))
    for road in roads:
        places |= _named(("channel", road), road_keys(road))
    return places


def _named(table: Path, keys: Mapping[str, Key]) -> dict[str, Path]:
    return {_PREFIX + "_".join((*table, key)).upper().replace("-", "_"): (*table, key) for key in keys}
