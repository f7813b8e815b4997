"""The operator's words on a peer that was added while the daemon runs; the same rules as [peer.ID], never a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fleet.core.envelope import is_node_id
from fleet.daemon.mistakes import error_of
from fleet.daemon.reading import Reading, read_peer
from fleet.errors import UsageError


def changed(node: str, table: Mapping[str, Any], values: Mapping[str, Any], roads: Iterable[str]) -> dict[str, Any]:
    """Give a peer's raw table (fit for JSON, for the store) with dotted keys such as ssh.host changed.

    None takes a key out. Raises SettingsError with every mistake, UsageError for a node id or key that cannot be one.
    """
    if not is_node_id(node):
        raise UsageError("a node id is a-z, 0-9, -, up to 63 characters")
    from fleet.daemon.edit import put, typed  # the pen for config.toml; whoever only reads does without

    new = _copy(table)
    for key, value in values.items():
        place = tuple(key.split("."))
        if not all(place) or not key.isprintable():
            raise UsageError("KEY is a dotted path such as ssh.host")
        put(new, place, typed(("peer", node, *place), value) if isinstance(value, str) else value)
    new = _without_nothing(new)
    read(node, new, roads)
    return new


def read(node: str, table: Mapping[str, Any], roads: Iterable[str]) -> Mapping[str, Any]:
    """Read a raw table into the words that core.peer.merge wants. Raises SettingsError with every mistake."""
    reading = Reading("peer", "", {})
    words = read_peer(reading, table, ("peer", node), tuple(roads))
    if reading.mistakes:
        raise error_of(reading.mistakes)
    return words


def _copy(value: Any) -> Any:
    return {name: _copy(inner) for name, inner in value.items()} if isinstance(value, Mapping) else value


def _without_nothing(table: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_nothing(value) if isinstance(value, dict) else value
        for name, value in table.items()
        if value is not None
    }
