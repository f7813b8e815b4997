"""The figures of a node as Prometheus reads them: numbers, names of roads and peers, never the text of a message."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_NAME = re.compile(r"[^a-zA-Z0-9_]")


def text(stats: Mapping[str, Any]) -> str:
    """Write every number of `stats` as a gauge: nested names are joined, a list of rows becomes labels."""
    rows: list[str] = []
    for name, samples in _families(stats):
        rows.append(f"# TYPE {name} gauge")
        rows.extend(f"{name}{labels} {value}" for labels, value in samples)
    return "\n".join(rows) + "\n"


def _families(stats: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    found: dict[str, list[tuple[str, float]]] = {}
    _collect(found, "fleet", stats, "")
    yield from found.items()


def _collect(found: dict[str, list[tuple[str, float]]], name: str, value: Any, labels: str) -> None:
    if isinstance(value, bool | int | float):
        found.setdefault(name, []).append((labels, float(value) if isinstance(value, float) else int(value)))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            _collect(found, f"{name}_{_NAME.sub('_', str(key))}", inner, labels)
    elif isinstance(value, list | tuple):
        for row in value:
            if isinstance(row, Mapping):
                words = {key: inner for key, inner in row.items() if isinstance(inner, str)}
                tags = ",".join(f'{_NAME.sub("_", key)}="{_quoted(word)}"' for key, word in words.items())
                rest = {key: inner for key, inner in row.items() if not isinstance(inner, str)}
                _collect(found, name, rest, f"{{{tags}}}" if tags else "")


def _quoted(word: str) -> str:
    return word.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
