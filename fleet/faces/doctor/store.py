"""Looks at the database: damage, room, the write-ahead log, what is stuck in it; over connections of its own."""

from __future__ import annotations

import threading
import time

from fleet.core import policy
from fleet.errors import StoreError
from fleet.faces.doctor.finding import FAILED, WARNING, Finding, Patient
from fleet.store.census import Census
from fleet.store.database import Database

CHECKED_FOR = 20.0  # seconds that SQLite may look for damage
AHEAD = 60_000  # ms that something stored may lie ahead of the clock


def integrity(patient: Patient) -> Finding:
    """Let SQLite look for damage; a database too large for the time is said to be."""
    try:
        db = Database.open(patient.paths.database, readonly=True)
    except StoreError as error:
        return _damaged(error.message)
    timer = threading.Timer(CHECKED_FOR, db.interrupt)
    timer.start()
    try:
        damage = db.integrity()
    except StoreError as error:
        if timer.is_alive():
            return _damaged(error.message)
        why = f"not looked through within {CHECKED_FOR:g} s: it is large"
        return Finding("store", WARNING, why, "fleet doctor, at a quiet hour")
    finally:
        timer.cancel()
        db.close()
    return _damaged("; ".join(damage[:3])) if damage else Finding("store")


def _damaged(why: str) -> Finding:
    return Finding("store", FAILED, why, "fleet down, keep a copy of fleet.db, restore a backup")


def disk(patient: Patient) -> Finding:
    """See whether there is room for new mail, and what was put aside for a full disk."""
    with _Open(patient) as db:
        free = db.free_space()
        if free < patient.settings.retention.free:
            least = patient.settings.retention.free >> 20
            return Finding("disk", FAILED, f"{free >> 20} MiB are free, new mail is refused below {least}",
                           "make room on the disk")  # fmt: skip
        if db.ballast.exists():
            return Finding("disk")
    return Finding("disk", cure=lambda: _put_aside(patient))


def _put_aside(patient: Patient) -> str:
    with _Open(patient) as db:
        db.make_ballast()
    return f"put {policy.BALLAST >> 20} MiB aside for a full disk"


def wal(patient: Patient) -> Finding:
    """See whether the write-ahead log is folded in."""
    with _Open(patient) as db:
        size = db.wal_bytes()
    if size <= 4 * policy.WAL_LIMIT:
        return Finding("wal")
    why = f"the write-ahead log has {size >> 20} MiB: somebody reads the database without end"
    return Finding("wal", WARNING, why, "fleet doctor --fix, or fleet down and fleet up", lambda: _fold(patient))


def _fold(patient: Patient) -> str:
    other = Database.open(patient.paths.database)
    try:
        pages, folded = other.checkpoint()
    finally:
        other.close()
    return f"folded {folded} of {pages} pages of the write-ahead log in"


def queues(patient: Patient) -> Finding:
    """See whether mail waits longer than the watchdog allows."""
    limit = patient.settings.watchdog.queue_age or 3600.0
    now = time.time() * 1000
    with _Open(patient) as db:
        stuck = [one for one in Census(db).waiting() if now - one.oldest >= limit * 1000]
    if not stuck:
        return Finding("queues")
    why = "; ".join(f"{one.count} for {one.peer}, the oldest since {(now - one.oldest) / 3.6e6:.1f} h" for one in stuck)
    return Finding("queues", WARNING, why, f"fleet check {stuck[0].peer}; fleet outbox")


def dead_letters(patient: Patient) -> Finding:
    """See whether there are dead letters that nobody looked after."""
    with _Open(patient) as db:
        count = Census(db).dead()
    if not count:
        return Finding("dead-letters")
    return Finding("dead-letters", WARNING, f"{count} did not arrive", "fleet dead; fleet dead retry ID or drop ID")


def clock(patient: Patient) -> Finding:
    """See whether the wall clock can be believed: what the daemon knows, and what lies in the future."""
    doubt = (patient.live or {}).get("clock") or {}
    if doubt.get("unsure"):
        why = f"in doubt: {doubt.get('reason', '')}"
        remedy = "set the clock (NTP); if it is right: fleet doctor --fix"
        return Finding("clock", WARNING, why, remedy, lambda: _believe(patient))
    with _Open(patient) as db:
        ahead = Census(db).latest() - time.time() * 1000
    if ahead > AHEAD:
        why = f"it was set back: the latest message is {ahead / 1000:.0f} s in the future"
        return Finding("clock", WARNING, why, "set this machine's clock (NTP)")
    return Finding("clock")


def _believe(patient: Patient) -> str:
    patient.believe_clock()
    return "the clock is believed from now on"


class _Open:
    """A connection for the time of a block; one that cannot be had is StoreError, and check `store` says more."""

    def __init__(self, patient: Patient) -> None:
        self._path = patient.paths.database

    def __enter__(self) -> Database:
        self._db = Database.open(self._path, readonly=True)
        return self._db

    def __exit__(self, *exc: object) -> None:
        self._db.close()
