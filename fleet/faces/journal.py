"""The daemon's log: one line of JSON an event, of the fields that are named here; must never hold a body or a key.

The file is bounded: it is turned over at [log] size and [log] files are kept. So is what one event may write in a minute,
for most of them somebody else can cause. A disk that refuses costs lines, never the daemon.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import msgspec

from fleet.daemon.sections import Log

NAME = "fleetd.log"
FIELDS = frozenset(
    {
        "node", "peer", "channel", "road", "roads", "id", "pid", "state", "old", "new", "size", "ms", "code", "reason",
        "count", "part", "free", "pause", "listen", "name", "error", "level", "port", "url", "address", "line", "kind",
        "path", "source", "seconds", "where", "type", "gate", "verdict", "session", "version",
    }
)  # fmt: skip
LEVELS = ("debug", "info", "warning", "error")
EVENTS = {  # whatever is not named here is of level info
    "bug": "error", "failed": "error", "broker not started": "error", "upkeep": "error", "notice": "warning",
    "alarm": "warning", "dead letter": "warning", "disk": "warning", "clock": "warning", "road out": "warning",
    "road not open": "warning", "broker": "warning", "broker ended": "warning", "ended": "warning", "not leased": "warning",
    "unsettled": "warning", "custody full": "warning", "custody unsettled": "warning", "inbox full": "warning",
    "a false parcel": "warning", "a false manifest": "warning", "a wrong receipt": "warning", "tunnel broke": "warning",
    "a false revocation list": "warning", "a false word about keys": "warning", "unanswerable": "warning",
    "escalation": "warning", "not announced": "debug", "not taken back": "debug",
}  # fmt: skip
PER_MINUTE = 300  # lines of one event
_LONGEST = 400  # characters of one field
_USER_PART = re.compile(r"(//)[^/@\s]*@")
_encode = msgspec.json.Encoder(enc_hook=str).encode


def level_of(event: str) -> str:
    """Say how grave an event is."""
    return EVENTS.get(event, "info")


class Journal:
    """Writes events to the node's log file and, where somebody reads it, to a stream."""

    def __init__(
        self, path: Path, settings: Log, echo: TextIO | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        """Write to `path`, turned over as `settings` say, and to `echo` in the format they name."""
        self._path = path
        self._least = LEVELS.index(settings.level)
        self._format = settings.format
        self._size = settings.size
        self._files = settings.files
        self._echo = echo
        self._clock = clock
        self._descriptor = -1
        self._written = 0
        self._minute = 0
        self._lines: dict[str, int] = {}
        self.lost = 0  # lines that the disk did not take

    def line(self, event: str, **fields: Any) -> None:
        """Write one event; fields that are not on the list leave only their name."""
        if LEVELS.index(level_of(event)) < self._least or self._too_many(event):
            return
        self._write(event, fields)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _too_many(self, event: str) -> bool:
        """Count an event; once its minute is over it is told how many were left out."""
        minute = int(self._clock() // 60)
        if minute != self._minute:
            over = {name: count - PER_MINUTE for name, count in self._lines.items() if count > PER_MINUTE}
            self._minute, self._lines = minute, {}
            for name, count in over.items():
                self._write("left out", {"name": name, "count": count})
        self._lines[event] = self._lines.get(event, 0) + 1
        return self._lines[event] > PER_MINUTE

    def _write(self, event: str, fields: Mapping[str, Any]) -> None:
        entry: dict[str, Any] = {"at": int(self._clock() * 1000), "severity": level_of(event), "event": event}
        entry |= {name: _plain(value) for name, value in fields.items() if name in FIELDS}
        left_out = sorted(set(fields) - FIELDS)
        if left_out:
            entry["left_out"] = left_out
        data = _encode(entry) + b"\n"
        self._keep(data)
        if self._echo is not None:
            self._echo.write(data.decode() if self._format == "json" else f"{text(entry)}\n")
            self._echo.flush()

    def _keep(self, data: bytes) -> None:
        try:
            if self._descriptor < 0 or self._written + len(data) > self._size:
                self._turn_over(len(data))
            self._written += os.write(self._descriptor, data)
        except OSError:
            self.lost += 1

    def _turn_over(self, more: int) -> None:
        """Open the file; a full one becomes NAME.1, that one NAME.2, and the oldest goes."""
        self.close()
        there = self._path.stat().st_size if self._path.exists() else 0
        if there and there + more > self._size:
            oldest = self._files - 1
            self._older(oldest).unlink(missing_ok=True)
            for number in range(oldest, 0, -1):
                if self._older(number - 1).exists():
                    self._older(number - 1).rename(self._older(number))
            self._path.unlink(missing_ok=True)  # still there when only one file is kept
            there = 0
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._written = there

    def _older(self, number: int) -> Path:
        return self._path.with_name(f"{NAME}.{number}") if number else self._path


def _plain(value: Any) -> Any:
    """Cut a text, and take the user part out of the URLs in it."""
    return _USER_PART.sub(r"\1…@", value[:_LONGEST]) if isinstance(value, str) else value


def text(entry: Mapping[str, Any]) -> str:
    """Write an entry for people: time, level, event, the rest as name=value."""
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.get("at", 0) / 1000))
    rest = " ".join(f"{name}={value}" for name, value in entry.items() if name not in ("at", "severity", "event"))
    return f"{at} {entry.get('severity', 'info'):7} {entry.get('event', '')}  {rest}".rstrip()
