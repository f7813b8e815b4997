"""What the gates remember of each peer: budgets, spend, experience, breakers, and the time they go by; decides nothing.

Every method runs inside Database.transaction(); none commits.
"""

from __future__ import annotations

from collections.abc import Mapping

import apsw
import msgspec

from fleet.core import policy
from fleet.core.breaker import CLOSED, Breaker, State
from fleet.core.budget import NOTHING, Limits, Spent
from fleet.core.timeline import Mark
from fleet.core.trust import Experience
from fleet.store.database import Database

IN, OUT = "in", "out"  # the sides of a purse: the peer's mail to us, ours to it

_MARK = "SELECT boot, steady, time FROM timeline"
_SET_MARK = """INSERT INTO timeline (one, boot, steady, time) VALUES (1, ?, ?, ?) ON CONFLICT (one) DO UPDATE
               SET boot = excluded.boot, steady = excluded.steady, time = excluded.time"""
_LIMITS = "SELECT tokens, micro_usd, hops, window FROM budget WHERE peer = ?"
_ALL_LIMITS = "SELECT peer, tokens, micro_usd, hops, window FROM budget"
_SET_LIMITS = """INSERT INTO budget (peer, tokens, micro_usd, hops, window, at) VALUES (?, ?, ?, ?, ?, ?)
                 ON CONFLICT (peer) DO UPDATE SET tokens = excluded.tokens, micro_usd = excluded.micro_usd,
                 hops = excluded.hops, window = excluded.window, at = excluded.at"""
_SPENT = "SELECT began, tokens, micro_usd FROM purse WHERE peer = ? AND side = ?"
_SET_SPENT = """INSERT INTO purse (peer, side, began, tokens, micro_usd) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (peer, side) DO UPDATE
                SET began = excluded.began, tokens = excluded.tokens, micro_usd = excluded.micro_usd"""
_SPEND = """INSERT INTO spending (peer, slot, tokens, micro_usd) VALUES (?, ?, ?, ?) ON CONFLICT (peer, slot) DO UPDATE
            SET tokens = tokens + excluded.tokens, micro_usd = micro_usd + excluded.micro_usd"""
_SPENDING = "SELECT coalesce(sum(tokens), 0), coalesce(sum(micro_usd), 0) FROM spending WHERE peer = ? AND slot >= ?"
_SPENDERS = "SELECT peer, sum(micro_usd) FROM spending WHERE slot >= ? GROUP BY peer"
_FORGIVE = "DELETE FROM spending WHERE peer = ?"
_RETIRE = "DELETE FROM spending WHERE slot < ?"
_EXPERIENCES = "SELECT peer, sent, received, bad, threats, threat_at, heard, watched FROM experience"
_SET_EXPERIENCE = "INSERT OR REPLACE INTO experience VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_BREAKERS = "SELECT peer, state, since, at, reason, samples FROM breaker"
_BREAKER = "SELECT state, since, at, reason, samples FROM breaker WHERE peer = ?"
_SET_BREAKER = "INSERT OR REPLACE INTO breaker VALUES (?, ?, ?, ?, ?, ?)"
_FORGET = "DELETE FROM experience WHERE peer = ?"

_encode = msgspec.json.encode
_samples = msgspec.json.Decoder(tuple[tuple[int, int, int], ...]).decode


class Accounts:
    """The tables of the gates."""

    __slots__ = ("_conn",)

    def __init__(self, db: Database) -> None:
        """Work on an open database."""
        self._conn: apsw.Connection = db.conn

    # --- time ---------------------------------------------------------------------------------------------------------

    def mark(self) -> Mark | None:
        """Give the reading of the timeline that was kept last."""
        found = self._conn.execute(_MARK).get
        return None if found is None else Mark(*found)

    def set_mark(self, mark: Mark) -> None:
        """Keep a reading of the timeline."""
        self._conn.execute(_SET_MARK, (mark.boot, mark.steady, mark.time))

    # --- budget -------------------------------------------------------------------------------------------------------

    def limits(self, peer: str, default: Limits) -> Limits:
        """Give what a peer may cost: the operator's word on it, else the `default` of the settings."""
        found = self._conn.execute(_LIMITS, (peer,)).get
        return default if found is None else Limits(*found)

    def all_limits(self) -> dict[str, Limits]:
        """Give the operator's word on every peer it speaks of."""
        return {peer: Limits(*caps) for peer, *caps in self._conn.execute(_ALL_LIMITS)}

    def set_limits(self, peer: str, limits: Limits, now: int) -> None:
        """Keep the operator's word on what a peer may cost. `now` in ms since the epoch."""
        values = (peer, limits.tokens, limits.micro_usd, limits.hops, limits.window, now)
        self._conn.execute(_SET_LIMITS, values)

    def spent(self, peer: str, side: str) -> Spent:
        """Give what was debited on one side in the window that began last; whether it is over is the core's to say."""
        found = self._conn.execute(_SPENT, (peer, side)).get
        return NOTHING if found is None else Spent(*found)

    def set_spent(self, peer: str, side: str, spent: Spent) -> None:
        """Keep what was debited on one side."""
        self._conn.execute(_SET_SPENT, (peer, side, spent.began, spent.tokens, spent.micro_usd))

    def spend(self, peer: str, tokens: int, micro_usd: int, at: int) -> None:
        """Note what a peer cost at `at` (timeline ms)."""
        self._conn.execute(_SPEND, (peer, at // policy.SPEND_SLOT, tokens, micro_usd))

    def spending(self, peer: str, since: int) -> tuple[int, int]:
        """Add up what a peer cost since `since` (timeline ms), ten minutes more at most: (tokens, micro-dollars)."""
        tokens, micro_usd = self._conn.execute(_SPENDING, (peer, since // policy.SPEND_SLOT)).get
        return int(tokens), int(micro_usd)

    def spenders(self, since: int) -> dict[str, int]:
        """Add up what every peer cost since `since` (timeline ms), in micro-dollars."""
        return {peer: int(micro) for peer, micro in self._conn.execute(_SPENDERS, (since // policy.SPEND_SLOT,))}

    def forgive(self, peer: str) -> None:
        """Forget what a peer cost, for the breaker: the window of its budget goes on."""
        self._conn.execute(_FORGIVE, (peer,))

    def retire(self, before: int) -> None:
        """Delete spending from before `before` (timeline ms)."""
        self._conn.execute(_RETIRE, (before // policy.SPEND_SLOT,))

    # --- trust --------------------------------------------------------------------------------------------------------

    def experiences(self) -> dict[str, Experience]:
        """Give what was counted of every peer."""
        return {peer: Experience(*counts) for peer, *counts in self._conn.execute(_EXPERIENCES)}

    def save_experiences(self, seen: Mapping[str, Experience]) -> None:
        """Keep what was counted of some peers."""
        self._conn.executemany(
            _SET_EXPERIENCE,
            [(p, e.sent, e.received, e.bad, e.threats, e.threat_at, e.on, e.watched) for p, e in seen.items()],
        )

    # --- breaker ------------------------------------------------------------------------------------------------------

    def breakers(self) -> dict[str, Breaker]:
        """Give every breaker that ever did or counted something."""
        return {
            peer: Breaker(State(state), since, at, reason, _samples(samples))
            for peer, state, since, at, reason, samples in self._conn.execute(_BREAKERS)
        }

    def breaker(self, peer: str) -> Breaker:
        """Give one peer's breaker."""
        for state, since, at, reason, samples in self._conn.execute(_BREAKER, (peer,)):
            return Breaker(State(state), since, at, reason, _samples(samples))
        return CLOSED

    def save_breakers(self, breakers: Mapping[str, Breaker]) -> None:
        """Keep some breakers."""
        self._conn.executemany(
            _SET_BREAKER,
            [(p, b.state.value, b.since, b.at, b.reason, _encode(b.samples).decode()) for p, b in breakers.items()],
        )

    def forget(self, peer: str) -> None:
        """Forget what was counted of a node that is no member any more; what it spent stays, and that it was evicted."""
        self._conn.execute(_FORGET, (peer,))
