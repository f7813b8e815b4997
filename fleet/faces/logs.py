"""The command logs: the daemon's log, filtered and followed over the turns of its file; must never change it."""

from __future__ import annotations

import os
import time
from argparse import Namespace
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from fleet.core.submission import seconds
from fleet.errors import NotFound
from fleet.faces import journal, render
from fleet.faces.caller import Caller
from fleet.faces.render import Screen, visible

LOOK = 0.2  # seconds between two looks of --follow
LONGEST = 1 << 16  # bytes of a line; a longer one is not the daemon's
_decode = msgspec.json.Decoder(dict[str, Any]).decode
Entry = dict[str, Any]


def logs(args: Namespace, call: Caller, screen: Screen) -> int:
    """Print the latest lines of the daemon's log, and go on if asked."""
    log = call.house.paths.log / journal.NAME
    after = (time.time() - seconds(args.since)) * 1000 if args.since else 0.0
    try:
        file = log.open("rb")
    except FileNotFoundError:
        raise NotFound(f"there is no {log}: no daemon ever ran here", hint="fleet up --detach") from None
    with file:
        written = (entry for part in chain(older(log), (file,)) for entry in entries(part))
        latest = list(deque(wanted(written, args.level, after), maxlen=max(args.lines, 0)))
        if screen.json and not args.follow:
            screen.value(latest)
            return 0
        for entry in latest:
            _print(entry, screen)
        if args.follow:
            for entry in wanted(follow(log, file), args.level, after):
                _print(entry, screen)
    return 0


def _print(entry: Entry, screen: Screen) -> None:
    screen.line(render.dumps(entry) if screen.json else visible(journal.text(entry)))


def tail(log: Path, lines: int) -> list[Entry]:
    """Give the last entries of a log and its older files; nothing where there is none."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        return list(deque((entry for part in chain(older(log), (file,)) for entry in entries(part)), maxlen=lines))


def older(log: Path) -> Iterator[BinaryIO]:
    """Open the files that the log was before, the oldest first."""
    found = [path for path in log.parent.glob(f"{log.name}.*") if path.suffix[1:].isdigit()]
    for path in sorted(found, key=lambda path: -int(path.suffix[1:])):
        try:
            file = path.open("rb")
        except FileNotFoundError:
            continue  # turned over while we looked
        with file:
            yield file


def entries(file: BinaryIO) -> Iterator[Entry]:
    """Read the entries that are written whole; what is no entry is passed over."""
    while True:
        at, line = file.tell(), file.readline(LONGEST)
        if not line.endswith(b"\n") and len(line) < LONGEST:
            file.seek(at)
            return
        try:
            entry = _decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
        yield entry


def wanted(found: Iterable[Entry], level: str, after: float) -> Iterator[Entry]:
    """Keep what is at least of a level, and not older than `after` (ms since the epoch)."""
    least = journal.LEVELS.index(level)
    for entry in found:
        severity = entry.get("severity", "info")
        grave = journal.LEVELS.index(severity) if severity in journal.LEVELS else least
        if grave >= least and entry.get("at", 0) >= after:
            yield entry


def follow(log: Path, file: BinaryIO) -> Iterator[Entry]:
    """Give what comes after the place where `file` stands, over the turns of the log; ends only with the caller."""
    while True:
        yield from entries(file)
        if not _turned(log, file):
            time.sleep(LOOK)
            continue
        yield from entries(file)  # what was written between the last look and the turn
        with log.open("rb") as fresh:
            yield from follow(log, fresh)


def _turned(log: Path, file: BinaryIO) -> bool:
    try:
        return log.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False
