"""The first floor: everything that must survive a crash, in one SQLite file and a few key files. Nothing here waits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fleet.store.accounts import Accounts
from fleet.store.audit import Audit
from fleet.store.beats import Beats
from fleet.store.custody import Custody
from fleet.store.database import Database
from fleet.store.inbox import Inbox
from fleet.store.ledger import Ledger
from fleet.store.members import Members
from fleet.store.mending import Mending
from fleet.store.notary import HeadFile
from fleet.store.outbox import Outbox
from fleet.store.sequence import ReserveFile, Sequence
from fleet.store.sessions import Sessions


@dataclass(frozen=True, slots=True)
class Store:
    """One node's database and its tables, by what they are for."""

    db: Database
    outbox: Outbox
    inbox: Inbox
    ledger: Ledger
    members: Members
    custody: Custody
    sequence: Sequence
    sessions: Sessions
    audit: Audit
    accounts: Accounts
    beats: Beats
    mending: Mending

    @classmethod
    def open(
        cls,
        path: Path,
        keys: Path | None = None,
        *,
        readonly: bool = False,
        vfs: str | None = None,
        synchronous: str = "FULL",
    ) -> Store:
        """Open the database at `path`; `keys` is where things are remembered outside it, by default `keys` beside it.

        Raises NewerStore, DiskFull or StoreError.
        """
        beside = keys or path.parent / "keys"
        reserve = ReserveFile(beside / "reserve.json")
        db = Database.open(path, readonly=readonly, vfs=vfs, synchronous=synchronous)
        audit = Audit(db, HeadFile(beside / "audit.json"))
        return cls(
            db, Outbox(db, audit), Inbox(db, audit), Ledger(db), Members(db), Custody(db), Sequence(db, reserve),
            Sessions(db), audit, Accounts(db), Beats(db), Mending(db),
        )  # fmt: skip

    def close(self) -> None:
        """Close the database."""
        self.db.close()
