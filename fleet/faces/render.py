"""How values become text for a terminal: the one place where what a peer wrote is made harmless; must never decide.

A terminal obeys what it is sent. Whatever came from another machine therefore passes visible() first (core/visible.py).
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

import msgspec

from fleet.core.visible import UNSEEN, visible, visible_text

__all__ = ["Screen", "age", "dumps", "failure", "since", "visible", "visible_text"]

_encode = msgspec.json.Encoder().encode


def dumps(value: Any) -> str:
    """Write a value as one line of JSON, control and invisible characters as JSON escapes."""
    return _escape_json(_encode(value).decode("utf-8"))


def _escape_json(text: str) -> str:
    return text if text.isascii() and "\x7f" not in text else text.translate(_JSON)


_JSON = {
    code: f"\\u{code:04x}" if code < 0x10000 else f"\\u{0xD7C0 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
    for code in UNSEEN
}


_HALVES = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}  # light is drawn: a terminal's ground is dark


class Screen:
    """Where a command prints: data on stdout, talk on stderr, one value of JSON when asked."""

    def __init__(self, json: bool, out: TextIO | None = None, err: TextIO | None = None) -> None:
        """Take the streams of the process unless others are given."""
        self.json = json
        self.out = out or sys.stdout
        self.err = err or sys.stderr

    def value(self, value: Any) -> None:
        """Print one JSON value on a line of its own."""
        print(dumps(value), file=self.out, flush=True)

    def line(self, text: str) -> None:
        """Print one line of data for people."""
        print(text, file=self.out, flush=True)

    def talk(self, text: str) -> None:
        """Say something about the work, never part of the data."""
        print(f"fleet: {text}", file=self.err, flush=True)

    def code(self, text: str) -> None:
        """Draw a QR code, two modules a character, if this is a terminal that is wide enough."""
        if not self.err.isatty():
            return
        import segno

        rows = [bytes(row) for row in segno.make_qr(text, error="l").matrix_iter(border=2)]
        if len(rows) > shutil.get_terminal_size((0, 0)).columns:
            return
        rows.append(bytes(len(rows[0])))
        for upper, lower in zip(rows[::2], rows[1::2], strict=False):
            print("".join(_HALVES[pair] for pair in zip(upper, lower, strict=True)), file=self.err, flush=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print rows under headings: a drawn table at a terminal, tab-separated lines otherwise."""
        safe = [[visible("" if cell is None else cell) for cell in row] for row in rows]
        if self.out.isatty():
            self._draw(columns, safe)
            return
        for row in ([*columns], *safe):
            self.line("\t".join(row))

    def _draw(self, columns: Sequence[str], rows: list[list[str]]) -> None:
        from rich import box
        from rich.console import Console
        from rich.table import Column, Table
        from rich.text import Text

        headings = (Column(name, overflow="fold") for name in columns)
        table = Table(*headings, box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
        Console(file=self.out, no_color="NO_COLOR" in os.environ, highlight=False).print(table)


_STYLES = {
    "healthy": "green", "received": "green", "shown": "green", "done": "green", "alive": "green",
    "degraded": "yellow", "healing": "yellow", "held": "yellow", "custody": "yellow",
    "broken": "red", "refused": "red", "dead": "red",
}  # fmt: skip


def failure(message: str, code: str, hint: str = "", retryable: bool = False) -> dict[str, Any]:
    """Put an error into the shape that every face gives."""
    return {"error": {"code": code, "message": message, "hint": hint, "retryable": retryable}}


def age(ms: float | None) -> str:
    """Say a duration in the two units a person reads: `12 s`, `3 min`, `5 h`, `2 d`."""
    if ms is None:
        return ""
    seconds = max(0.0, ms / 1000)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def since(at: int | None, now: float | None = None) -> str:
    """Say how long ago a moment (ms since the epoch) was."""
    return "" if not at else age((now if now is not None else time.time()) * 1000 - at)


def channels(table: Mapping[str, Mapping[str, Any]]) -> str:
    """Say the state of every road on one line."""
    return " ".join(f"{name}:{link.get('state', '?')}" for name, link in table.items())
