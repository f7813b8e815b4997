"""The checker of campaigns over real processes: reads the SQLite files and says what is wrong; must never ask a daemon.

lost        answered `accepted`, not in the addressee's inbox
twice       in an inbox more than once, by id or by the sender's number
phantom     in an inbox, never submitted
changed     in the wrong inbox, or with another body
false       its outbox row says DONE, no inbox has it
open, dead  its outbox row is not DONE although everything had time to end
damaged     SQLite's own check
"""

import contextlib
import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DONE, REFUSED, DEAD = 4, 5, 6  # of the outbox's status


@dataclass(frozen=True)
class Sent:
    """One message as it was handed over."""

    source: str
    target: str
    sha: str


@dataclass
class Record:
    """What submitters did; `accepted` is a promise of the node, `asked` merely was sent to it."""

    asked: dict[str, Sent] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)


def sha(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


OURS = " WHERE type <> 'repair'"  # what nodes ask of each other when a road is broken is nobody's mail


@dataclass
class Store:
    """What one file holds."""

    inbox: list[tuple[str, str, int, int, str]]  # id, sender, inc, seq, sha of the body
    outbox: dict[str, tuple[str, int, str]]  # id → (peer, status, reason)
    damage: list[str]


def read(path: Path) -> Store:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
        inbox = [
            (id, sender, inc, seq, sha(str(json.loads(b"{" + content)["body"])))
            for id, sender, inc, seq, content in db.execute("SELECT id, sender, inc, seq, content FROM inbox" + OURS)
        ]
        outbox = {
            id: (peer, status, reason)
            for id, peer, status, reason in db.execute("SELECT id, peer, status, reason FROM outbox" + OURS)
        }
        damage = [line for (line,) in db.execute("PRAGMA quick_check") if line != "ok"]
    return Store(inbox, outbox, damage)


def check(files: Mapping[str, Path], record: Record) -> list[str]:
    """Everything that is wrong, as sentences; nothing when all is well."""
    stores = {node: read(path) for node, path in files.items()}
    found = [f"damaged: {node}: {line}" for node, store in stores.items() for line in store.damage]
    here = {(node, id) for node, store in stores.items() for id, *_ in store.inbox}
    found += _check_inboxes(stores, record)
    for id in sorted(record.accepted):
        sent = record.asked[id]
        if (sent.target, id) not in here:
            found.append(f"lost: {id} from {sent.source} to {sent.target}: {stores[sent.source].outbox.get(id)}")
    for node, store in stores.items():
        for id, (peer, status, reason) in store.outbox.items():
            if status == DONE and (peer, id) not in here:
                found.append(f"false: {node} holds {id} for received, {peer} does not have it")
            elif status != DONE:
                word = {DEAD: "dead", REFUSED: "refused"}.get(status, "open")
                found.append(f"{word}: {node} has {id} to {peer} in status {status}: {reason}")
    return found


def _check_inboxes(stores: Mapping[str, Store], record: Record) -> list[str]:
    found = []
    for node, store in stores.items():
        ids = Counter((id, sender) for id, sender, *_ in store.inbox)
        numbers = Counter((sender, inc, seq) for _, sender, inc, seq, _ in store.inbox)
        found += [f"twice: {node} has {key} {n} times" for key, n in (ids + numbers).items() if n > 1]
        for id, sender, _, _, digest in store.inbox:
            sent = record.asked.get(id)
            if sent is None:
                found.append(f"phantom: {node} has {id} from {sender}")
            elif sent != Sent(sender, node, digest):
                found.append(f"changed: {node} has {id} from {sender}, it was {sent}")
    return found


def recovered(files: Mapping[str, Path], record: Record) -> int:
    """How many messages arrived whose submitter never got its answer: allowed, and worth knowing."""
    here = {id for path in files.values() for id, *_ in read(path).inbox}
    return len(here & set(record.asked) - record.accepted)
