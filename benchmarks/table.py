"""Figures with their targets, printed as a table or as JSON; must never call a figure good that misses its target.

Imported by the benchmarks beside it. Each of them is started by hand, never as a test:
    .venv/bin/python benchmarks/NAME.py [--json]      (the directory it is started in must lie on a disk)
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil

QUIET = 8.0  # % of all cores that other work may use while something is measured


@dataclass(frozen=True)
class Row:
    """One figure. `base` = what it is compared with; `least` or `most` bound the ratio to it, or the figure itself."""

    what: str
    figure: float
    unit: str
    base: float | None = None
    base_name: str = ""
    least: float | None = None
    most: float | None = None

    @property
    def judged(self) -> float:
        return self.figure if self.base is None else self.figure / self.base

    @property
    def holds(self) -> bool | None:
        """None: only shown."""
        if self.least is None and self.most is None:
            return None
        return (self.least is None or self.judged >= self.least) and (self.most is None or self.judged <= self.most)

    def cells(self) -> tuple[str, ...]:
        times = "" if self.base is None else f"{self.judged:.2f} ×"
        sign = "" if self.holds is None else "≥" if self.least is not None else "≤"
        bound = self.least if self.least is not None else self.most
        target = "" if bound is None else f"{sign} {bound:g}{' ×' if self.base is not None else f' {self.unit}'}"
        verdict = {None: "", True: "holds", False: "MISSES"}[self.holds]
        figure = f"{self.figure:,.{0 if self.figure >= 1000 else 3}f} {self.unit}"
        return self.what, figure, times, self.base_name, target, verdict

    def words(self) -> dict[str, Any]:
        ratio = None if self.base is None else round(self.judged, 3)
        return {
            "what": self.what, "figure": round(self.figure, 3), "unit": self.unit, "base": self.base,
            "base_name": self.base_name, "ratio": ratio, "least": self.least, "most": self.most, "holds": self.holds,
        }  # fmt: skip


def show(rows: Sequence[Row], as_json: bool) -> int:
    """Print the figures; 0 when every target holds."""
    if as_json:
        print(json.dumps({"at": int(time.time() * 1000), "machine": machine(), "rows": [row.words() for row in rows]}))
    else:
        lines = [("what", "figure", "ratio", "to", "target", ""), *(row.cells() for row in rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(6)]
        for line in lines:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        print(f"({machine()})")
    return 0 if all(row.holds is not False for row in rows) else 1


def machine() -> str:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, load {load}"


def wait_for_quiet(patience: float) -> None:
    """Wait at most so many seconds until other work leaves the cores alone; says what was left when it does not."""
    deadline = time.monotonic() + patience
    while (busy := psutil.cpu_percent(1.0)) > QUIET:
        if time.monotonic() > deadline:
            talk(f"  other work uses {busy:.0f} % of the cores: what follows is worse than it is")
            return


def talk(text: str) -> None:
    """Say on stderr how far it is."""
    print(text, file=sys.stderr, flush=True)


def percentile(values: Sequence[float], part: float) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, round(part * (len(ranked) - 1)))]
