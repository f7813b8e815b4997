"""The laws: what must hold while a schedule runs, and what the store files must say when it is over.

The stores are read directly, with SQL of the checker's own, never by the code that wrote them. It must be apsw: a second
copy of SQLite in the process would drop the locks of the first when it closes a file.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from fleet.core.envelope import KINDS
from fleet.core.health import Health
from fleet.core.lifecycle import Status
from tests.support.fleet import Fleet
from tests.support.simroad import Trip

ENDS = ("expired", "cancelled", "tries used up", "membership: ", "breaker: ")  # why a message may die or be refused at home
GATES = ("trust", "membership", "budget", "breaker")
SIGNED_ENDS = ("the peer: expired", *(f"the peer: {gate}: " for gate in GATES))


@dataclass(slots=True)
class Sent:
    """One message as its sender asked for it."""

    sender: str
    to: str
    body: str
    sure: bool = True  # False: the caller was never told that it was accepted


@dataclass(slots=True)
class Watch:
    """Watches the laws that only hold moment by moment."""

    fleet: Fleet
    broken: list[str] = field(default_factory=list)
    trips: list[Trip] = field(default_factory=list)
    _seen: set[tuple[str, str]] = field(default_factory=set)
    _done: set[str] = field(default_factory=set)

    def say(self, law: str) -> None:
        """Note a broken law."""
        self.broken.append(f"{self.fleet.net.time():.3f} {law}")

    def sending(self, trip: Trip) -> None:
        """A channel is called."""
        self.trips.append(trip)
        life = self.fleet.lives.get(trip.sender)
        if life is None:
            return
        if not trip.own:
            return  # the relay's own affair: it knows the roads to a chief, not their links
        link = life.node.links._links.get((trip.to, trip.road))
        if link is not None and link.health is Health.BROKEN and link.since < trip.at:
            self.say(f"{trip.kind} {trip.pid} goes over the broken link {trip.sender}>{trip.to} {trip.road}")
        if trip.kind == "mail" and (trip.sender, trip.pid) not in self._seen:
            self._seen.add((trip.sender, trip.pid))
            self._leased(life.node.reader.db.conn, trip)

    def _leased(self, conn: Any, trip: Trip) -> None:
        """Every message of a parcel that begins its way is leased (or was settled in the same moment)."""
        rows = conn.execute(
            "SELECT o.id, o.status FROM parcel AS p, json_each(p.rows) AS r JOIN outbox AS o ON o.row = r.value"
            " WHERE p.pid = ?", (trip.pid,),
        ).fetchall()  # fmt: skip
        if not rows:
            self.say(f"parcel {trip.pid} is not on record")
        for id, status in rows:
            if status not in (Status.SENDING, Status.DONE):
                self.say(f"message {id} goes on its way while {Status(status).name}")

    def closed(self, sender: str, rows: Iterable[tuple[str, str]]) -> None:
        """Rows became DONE: the addressee must have the message on its disk already."""
        for id, to in rows:
            if id not in self._done:
                self._done.add(id)
                conn = open_store(self.fleet, to)
                if conn.execute("SELECT 1 FROM inbox WHERE id = ? AND sender = ?", (id, sender)).fetchone() is None:
                    self.say(f"message {id} is closed at {sender} and not in the inbox of {to}")
                conn.close()


def database(fleet: Fleet, name: str) -> Path:
    """Say where a node's store lies."""
    return fleet.directory / name / "fleet.db"


def open_store(fleet: Fleet, name: str) -> apsw.Connection:
    """Open a node's store beside whoever has it open."""
    return apsw.Connection(str(database(fleet, name)), flags=apsw.SQLITE_OPEN_READWRITE)


def rows_of(conn: apsw.Connection, table: str) -> list[dict[str, Any]]:
    """Read a whole table."""
    cursor = conn.execute(f"SELECT * FROM {table}")
    rows = cursor.fetchall()
    names = [row[1] for row in conn.execute(f"PRAGMA table_info({table})")]
    return [dict(zip(names, row, strict=True)) for row in rows]


class Stores:
    """What the store files say when everybody has stopped."""

    def __init__(self, fleet: Fleet) -> None:
        self.outbox: dict[str, dict[str, dict[str, Any]]] = {}
        self.inbox: dict[str, list[dict[str, Any]]] = {}
        self.attempts: dict[str, Counter[tuple[str, str]]] = {}
        self.damage: list[str] = []
        for name in fleet.names:
            conn = open_store(fleet, name)
            if conn.execute("PRAGMA quick_check").get != "ok":
                self.damage.append(f"the store of {name} is damaged")
            self.outbox[name] = {row["id"]: row for row in rows_of(conn, "outbox")}
            self.inbox[name] = rows_of(conn, "inbox")
            self.attempts[name] = Counter((row["pid"], row["channel"]) for row in rows_of(conn, "attempt"))
            conn.close()


def check(fleet: Fleet, watch: Watch, sent: dict[str, Sent], alarms: int, lives: dict[str, list[float]]) -> list[str]:
    """Give every law that is broken; `lives` = when each node's lives ended."""
    stores = Stores(fleet)
    broken = [*watch.broken, *stores.damage, *(f"a receiver broke: {bug}" for bug in fleet.net.bugs)]
    if alarms:
        broken.append(f"{alarms} alarms without an attacker")
    broken += [word for id, one in sent.items() for word in _outcome(stores, id, one)]
    broken += _inboxes(stores, sent)
    broken += _attempts(stores, watch, lives)
    return broken


def _outcome(stores: Stores, id: str, one: Sent) -> list[str]:
    """Lost, stuck, closed without delivery, ended without a reason."""
    row = stores.outbox[one.sender].get(id)
    there = any(mail["id"] == id and mail["sender"] == one.sender for mail in stores.inbox[one.to])
    if row is None:
        return [f"lost: {id} of {one.sender} was accepted and is gone"] if one.sure else []
    status, reason = Status(row["status"]), row["reason"]
    if status < Status.DONE:
        return [f"stuck: {id} {one.sender}>{one.to} is {status.name}, due {row['due']}, {reason!r}"]
    if status is Status.DONE:
        return [] if there else [f"false: {id} {one.sender}>{one.to} is DONE and not in the inbox"]
    if not reason.startswith((*ENDS, *SIGNED_ENDS)):
        return [f"lost: {id} {one.sender}>{one.to} is {status.name} because {reason!r}"]
    if row["what"] == "undelivered" and there:
        return [f"untrue: {id} {one.sender}>{one.to} is called undelivered and lies in the inbox"]
    return []


def _inboxes(stores: Stores, sent: dict[str, Sent]) -> list[str]:
    """Twice, phantom, in the wrong place, changed, against the level, a number given twice."""
    broken = []
    for name, rows in stores.inbox.items():
        for what in (("sender", "id"), ("sender", "inc", "seq")):
            for key, count in Counter(tuple(row[column] for column in what) for row in rows).items():
                if count > 1:
                    broken.append(f"twice: {name} has {key} {count} times")
        for row in rows:
            one = sent.get(row["id"])
            if one is None and row["type"] == "repair":
                continue  # what nodes ask of each other when a road is broken
            if one is None or (one.sender, one.to) != (row["sender"], name):
                broken.append(f"phantom: {row['id']} of {row['sender']} in the inbox of {name}")
            elif one.body.encode() not in row["content"]:
                broken.append(f"changed: {row['id']} in the inbox of {name}")
            if row["level"] < KINDS[row["type"]].trust:
                broken.append(f"trust: a {row['type']} of level {row['level']} in the inbox of {name}")
    return broken


def _attempts(stores: Stores, watch: Watch, lives: dict[str, list[float]]) -> list[str]:
    """Every try of mail is on record, unless its sender's life ended before the walk could be written down."""
    ends: dict[tuple[str, str], float] = {}
    made: dict[tuple[str, str], Counter[tuple[str, str]]] = {}
    for trip in watch.trips:
        if trip.kind == "mail":
            key = (trip.sender, trip.pid)
            ends[key] = max(ends.get(key, 0.0), trip.over if trip.over >= 0 else float("inf"))
            if trip.own:
                made.setdefault(key, Counter())[(trip.pid, trip.road)] += 1
    broken = []
    for (sender, pid), counted in made.items():
        began = min(trip.at for trip in watch.trips if trip.pid == pid)
        over = next((end for end in lives[sender] if end >= began), float("inf"))
        if ends[(sender, pid)] + 1.0 < over:
            missing = counted - stores.attempts[sender]
            broken += [f"unrecorded: {sender} tried {road} {n} times more for {pid}" for (_, road), n in missing.items()]
    return broken
