"""The laws of the gates, read from the store files when a schedule is over: debits, levels, audit chains; it runs nothing.

In each schedule one member costs another more than it may: `account` says who. The limit holds for a day, so that no
schedule sees a second window however its clocks jump.
"""

import random
from collections.abc import Iterator

import apsw

from fleet.core.budget import Limits
from fleet.core.envelope import read, stamp
from fleet.store import Store
from fleet.store.notary import Notary
from tests.campaign.plan import LEVELS, NAMES
from tests.support.enrolment import paths_at
from tests.support.fleet import Fleet

LIMITS = Limits(tokens=200)
TRUST = dict(zip(NAMES, (*LEVELS, 2), strict=True))  # levels as enrolled


def account(seed: int, names: list[str]) -> tuple[str, str]:
    """Say who pays whom in a schedule: the sender of costly mail, and the addressee that set it a limit."""
    payer, payee = random.Random(f"account {seed}").sample(names, 2)
    return payer, payee


def cost_of(seed: int, number: int) -> dict[str, int] | None:
    """Say what the message of that number costs, if it goes from the payer to the payee."""
    dice = random.Random(f"cost {seed} {number}")
    return {"tokens": dice.randint(1, 60)} if dice.random() < 0.7 else None


def check(fleet: Fleet, payer: str, payee: str) -> Iterator[str]:
    """Give every law that is broken."""
    for name in fleet.names:
        paths = paths_at(fleet.directory / name)
        store = Store.open(paths.database, paths.keys)
        try:
            store.audit.use(Notary.of(fleet.rings[name]))
            checked = store.audit.verify()
            if not checked.ok:
                yield f"audit: the chain of {name} is wrong at {checked.failed_at}: {checked.reason}"
            yield from _levels(store.db.conn, name)
            if name == payee:
                yield from _debits(store.db.conn, name, payer)
        finally:
            store.close()


def _levels(conn: apsw.Connection, name: str) -> Iterator[str]:
    """No mail counts for more than its sender was enrolled with, unless the chain says that its level moved."""
    moved = {peer for (peer,) in conn.execute("SELECT DISTINCT peer FROM audit WHERE kind = 'trust'")}
    for sender, level in conn.execute("SELECT sender, max(level) FROM inbox GROUP BY sender"):
        if sender not in moved and level > TRUST[sender]:
            yield f"trust: mail of {sender} counts as level {level} at {name}, enrolled is {TRUST[sender]}"


def _debits(conn: apsw.Connection, name: str, payer: str) -> Iterator[str]:
    """What was debited is what came in, and never more than the limit."""
    mail = conn.execute("SELECT content FROM inbox WHERE sender = ?", (payer,))
    cost = sum(read(stamp(content, 1, 1)).cost.tokens for (content,) in mail)
    spent = conn.execute("SELECT coalesce(sum(tokens), 0) FROM spending WHERE peer = ?", (payer,)).get
    purse = conn.execute("SELECT coalesce(sum(tokens), 0) FROM purse WHERE peer = ? AND side = 'in'", (payer,)).get
    if cost > LIMITS.tokens:
        yield f"budget: mail of {payer} at {name} costs {cost}, the limit is {LIMITS.tokens}"
    if not cost == spent == purse:
        yield f"budget: mail of {payer} at {name} costs {cost}, debited are {spent}, the purse says {purse}"
