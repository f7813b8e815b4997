"""`fleet audit`: the chain on screen, as an export, or verified; it reads the store, with or without a daemon.

Exports hold no cell that a spreadsheet would take for a formula, and nothing a terminal would obey.
"""

from __future__ import annotations

import contextlib
import csv
import io
import time
from argparse import Namespace
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from fleet.core.audit import KINDS, Details, write_details
from fleet.core.submission import seconds
from fleet.errors import FleetError, NoIdentity, UsageError
from fleet.faces.caller import Caller
from fleet.faces.render import Screen, dumps, visible
from fleet.faces.verdicts import DONE, FAILED
from fleet.store import Store
from fleet.store.audit import Entry
from fleet.store.notary import Notary

if TYPE_CHECKING:
    from fleet.faces.house import House

SHOWN = 100  # entries on a screen, unless --limit says otherwise; an export gives all
COLUMNS = ("seq", "at", "time", "kind", "peer", "details", "hash")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def audit(args: Namespace, call: Caller, screen: Screen) -> int:
    """Show the chain, export it, or verify it. Raises UsageError for a kind that there is not."""
    if args.action == "verify":
        return _verify(call.house, screen)
    entries = _entries(args, call.house)
    if args.export == "csv":
        screen.out.write(as_csv(entries))
    elif args.export == "ndjson":
        for entry in entries:
            screen.value(msgspec.structs.asdict(entry))
    elif args.export or screen.json:
        screen.value([msgspec.structs.asdict(entry) for entry in entries])
    else:
        rows = [(entry.seq, _time(entry.at), entry.kind, entry.peer, _words(entry.details)) for entry in entries]
        screen.table(("seq", "time", "kind", "peer", "details"), rows)
    return DONE


def _verify(house: House, screen: Screen) -> int:
    with _chain(house) as store, store.db.transaction():
        checked = store.audit.verify()
    if screen.json:
        screen.value(msgspec.structs.asdict(checked))
    elif checked.ok:
        screen.line(f"the audit chain is whole: {checked.entries} entries")
    else:
        screen.line(visible(f"the audit chain was touched, at entry {checked.failed_at}: {checked.reason}"))
        screen.talk("what stands before that entry is as this node wrote it; fleet audit --export ndjson keeps the rest")
    return DONE if checked.ok else FAILED


def _entries(args: Namespace, house: House) -> list[Entry]:
    if args.type and args.type not in KINDS:
        raise UsageError(f"no entry of the audit chain is of kind {args.type!a}", hint="one of " + ", ".join(KINDS))
    if args.limit is not None and args.limit < 1:
        raise UsageError("--limit is at least 1")
    since = int((time.time() - seconds(args.since)) * 1000) if args.since else 0
    limit = args.limit or (-1 if args.export else SHOWN)
    with _chain(house) as store, store.db.transaction():
        return store.audit.entries(since=since, kind=args.type or "", peer=args.peer or "", limit=limit)


@contextlib.contextmanager
def _chain(house: House) -> Iterator[Store]:
    """Open the store to read. Raises NoIdentity on a machine without a node."""
    if not house.initialised:
        raise NoIdentity(hint="fleet init, or fleet join LINK")
    store = Store.open(house.paths.database, house.paths.keys, readonly=True)
    try:
        store.audit.use(Notary.of(house.ring))
        yield store
    finally:
        store.close()


def note(call: Caller, screen: Screen, kind: str, details: Details) -> None:
    """Write an entry about what a command did; a machine without a node has no chain.

    The deed is done: a store that cannot be written is said, and no failure.
    """
    house = call.house
    write_details(kind, details)
    if not house.initialised:
        return
    try:
        house.store.audit.use(Notary.of(house.ring))
        with house.store.db.transaction():
            house.store.audit.add(kind, details=details, now=int(time.time() * 1000))
    except FleetError as error:
        screen.talk(visible(f"this is not in the audit chain: {error.message}"))


def as_csv(entries: list[Entry]) -> str:
    """Write entries as CSV (RFC 4180), one line of names first."""
    out = io.StringIO()
    pen = csv.writer(out)
    pen.writerow(COLUMNS)
    for one in entries:
        words = (_cell(one.kind), _cell(one.peer), _cell(dumps(one.details)), one.hash)
        pen.writerow((one.seq, one.at, _time(one.at), *words))
    return out.getvalue()


def _cell(text: str) -> str:
    """Make a word harmless for terminals, and for spreadsheets by a quote where it would begin a formula."""
    safe = visible(text)
    return f"'{safe}" if safe.lstrip().startswith(_FORMULA) or text.startswith(_FORMULA) else safe


def _time(at: int) -> str:
    try:
        return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(at)


def _words(details: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in details.items())
