"""What a peer may cost (mission R4): tokens, micro-dollars and hops per message and window; never a float, never a clock.

Exactly at a cap passes; the hops are asked first. A window begins with the first debit and ends so long after it on the
timeline (core.timeline), whatever the wall clock says.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from fleet.core.envelope import FREE, Cost

MICRO = 1_000_000


class Limits(msgspec.Struct, frozen=True, gc=False):
    """The caps of one peer; `window` in ms."""

    tokens: int = 10**9
    micro_usd: int = 10**12
    hops: int = 8
    window: int = 86_400_000


class Spent(msgspec.Struct, frozen=True, gc=False):
    """What was debited in the window that began at `began` (timeline ms; 0 = nothing was, ever)."""

    began: int = 0
    tokens: int = 0
    micro_usd: int = 0


class Shortage(msgspec.Struct, frozen=True, gc=False):
    """Why a cost does not fit; `ever` = it would not fit into an empty window either."""

    reason: str
    ever: bool


NOTHING = Spent()
UNLIMITED = Limits(hops=64)


def in_force(spent: Spent, limits: Limits, at: int) -> Spent:
    """Give what counts at `at` (timeline ms): nothing once the window is over."""
    return spent if spent.began and at - spent.began < limits.window else NOTHING


def check(limits: Limits, spent: Spent, cost: Cost, hops: int, at: int) -> Shortage | None:
    """Say why a message must not pass; None when it may. `hops` are the relays it crossed, or asks to cross."""
    if hops > limits.hops:
        return Shortage(f"{hops} hops, the limit is {limits.hops}", ever=True)
    now = in_force(spent, limits, at)
    for write, wanted, before, cap in (
        (_tokens, cost.tokens, now.tokens, limits.tokens),
        (dollars, cost.micro_usd, now.micro_usd, limits.micro_usd),
    ):
        if wanted and before + wanted > cap:
            used = f" on top of {write(before)}" if before else ""
            reason = f"{write(wanted)}{used}, the limit is {write(cap)} in {span(limits.window)}"
            return Shortage(reason, ever=wanted > cap)
    return None


def debit(limits: Limits, spent: Spent, cost: Cost, at: int) -> Spent:
    """Add a cost that check() let pass; the first one begins a window."""
    now = in_force(spent, limits, at)
    return Spent(now.began or max(1, at), now.tokens + cost.tokens, now.micro_usd + cost.micro_usd)


def left(limits: Limits, spent: Spent, at: int) -> int:
    """Say how many ms of the window are left; 0 when none is open."""
    now = in_force(spent, limits, at)
    return min(limits.window, limits.window - (at - now.began)) if now.began else 0


def describe(limits: Limits, spent: Spent, at: int) -> str:
    """Write what was spent of what, for people."""
    now = in_force(spent, limits, at)
    used = f"{now.tokens} of {_tokens(limits.tokens)}, {dollars(now.micro_usd)} of {dollars(limits.micro_usd)}"
    return f"{used} in {span(limits.window)}, {limits.hops} hops"


def costs(cost: Cost) -> bool:
    """Say whether a message costs anything that is debited."""
    return cost is not FREE and (cost.tokens > 0 or cost.micro_usd > 0)


def dollars(micro: int) -> str:
    """Write micro-dollars for people."""
    return f"{(Decimal(micro) / MICRO).normalize():f} USD"


def _tokens(count: int) -> str:
    return f"{count} tokens"


def span(ms: int) -> str:
    """Write a duration for people: in the largest unit that divides it."""
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if ms and ms % length == 0:
            return f"{ms // length}{unit}"
    return f"{ms}ms"


def micro_dollars(found: object) -> int:
    """Read dollars as whole micro-dollars, never through a binary fraction. Raises ValueError."""
    if isinstance(found, bool) or not isinstance(found, int | float | str):
        raise ValueError("not an amount")
    try:
        micro = Decimal(str(found)) * MICRO
    except ArithmeticError:
        raise ValueError("not an amount") from None
    if not micro.is_finite() or micro < 0 or micro > 10**18 or micro != micro.to_integral_value():
        raise ValueError("not an amount")
    return int(micro)
