"""One side of a peer's budget, open for one transaction: looked up at the first cost, saved once; judges by the core alone.

Mail that costs nothing touches no table. What was taken and not saved is as if it had never been.
"""

from __future__ import annotations

from fleet.core import budget
from fleet.core.budget import Limits, Shortage, Spent
from fleet.core.envelope import FREE, Cost
from fleet.store.accounts import IN, Accounts
from fleet.store.database import Database


class Purse:
    """What one peer has left on one side."""

    __slots__ = ("_accounts", "_at", "_default", "_limits", "_peer", "_side", "_spent", "micro_usd", "tokens")

    def __init__(self, db: Database, peer: str, side: str, default: Limits, at: int) -> None:
        """Take the peer, the side (accounts.IN, OUT), the settings' limits and the time (timeline ms)."""
        self._accounts = Accounts(db)
        self._peer = peer
        self._side = side
        self._default = default
        self._at = at
        self._limits: Limits | None = None
        self._spent: Spent = budget.NOTHING
        self.tokens = 0  # taken in this transaction
        self.micro_usd = 0

    @property
    def limits(self) -> Limits:
        """The limits in force."""
        if self._limits is None:
            self._limits = self._accounts.limits(self._peer, self._default)
            self._spent = self._accounts.spent(self._peer, self._side)
        return self._limits

    def shortage(self, cost: Cost, hops: int = 0) -> Shortage | None:
        """Say why a cost does not fit; None when it does. Free mail that crossed no relay is not looked up."""
        if not hops and not budget.costs(cost):
            return None
        return budget.check(self.limits, self._spent, cost, hops, self._at)

    def wish(self, cost: Cost) -> Shortage | None:
        """Say why a cost of ours does not fit; whoever names no hops asks for those there are."""
        return self.shortage(cost, cost.hops if cost.hops > FREE.hops else 0)

    def take(self, cost: Cost) -> None:
        """Debit a cost for which there was no shortage."""
        if budget.costs(cost):
            self._spent = budget.debit(self.limits, self._spent, cost, self._at)
            self.tokens += cost.tokens
            self.micro_usd += cost.micro_usd

    def left(self) -> int:
        """Say how many ms of the window are left."""
        return budget.left(self.limits, self._spent, self._at)

    def save(self) -> None:
        """Write what was taken; on the side of the peer's own mail the breaker's record, too."""
        if self.tokens or self.micro_usd:
            self._accounts.set_spent(self._peer, self._side, self._spent)
            if self._side == IN:
                self._accounts.spend(self._peer, self.tokens, self.micro_usd, self._at)
