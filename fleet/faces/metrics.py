"""The figures of a node as Prometheus reads them (text format 0.0.4): numbers and labels, never the text of a message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fleet.daemon.measures import Family

KIND = "text/plain; version=0.0.4; charset=utf-8"


def text(families: Iterable[Family]) -> str:
    """Write families of samples; one without any is left out."""
    rows: list[str] = []
    for family in families:
        if family.samples:
            rows += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"]
            rows += [f"{family.name}{s.suffix}{_labels(s.labels)} {_number(s.value)}" for s in family.samples]
    return "\n".join(rows) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    inner = ",".join(f'{name}="{_quoted(value)}"' for name, value in labels.items())
    return f"{{{inner}}}" if inner else ""


def _quoted(word: str) -> str:
    return word.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
