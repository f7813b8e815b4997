"""The commands about trust, budgets and breakers: parse and print; must never decide who is trusted."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fleet.core.budget import MICRO, dollars, micro_dollars, span
from fleet.core.submission import seconds
from fleet.errors import UsageError
from fleet.faces.agreement import agreed
from fleet.faces.caller import Caller
from fleet.faces.render import Screen, visible

OVERRULES = "no mail passes to or from it"


def trust(args: Namespace, call: Caller, screen: Screen) -> int:
    """Show the ladder, or set a peer's level."""
    if args.level is None:
        if args.reason is not None:
            raise UsageError("--reason goes with a level", hint="fleet trust PEER LEVEL --reason …")
        return _show(call.ask("trust", peer=args.peer or ""), args.peer, screen, _trust_row, _TRUST)
    if not (args.reason or "").strip():
        hint = f"fleet trust {args.peer} {args.level} --reason …"
        raise UsageError("a level is set with a reason, which the audit keeps", hint=hint)
    (before,) = call.ask("trust", peer=args.peer)
    what = f"{args.peer} goes from level {before['level']} to {args.level}, and what was counted of it begins anew"
    agreed(args, screen, what, f"trust {args.peer} {args.level}", needed=False)
    found = call.ask("trust_set", peer=args.peer, level=args.level, reason=args.reason)
    return _show([found], args.peer, screen, _trust_row, _TRUST)


def budget(args: Namespace, call: Caller, screen: Screen) -> int:
    """Show what peers may cost and have cost, or set it for one."""
    caps = {"tokens": args.tokens, "micro_usd": _micro(args.usd), "hops": args.hops, "window": _window(args.window)}
    caps = {name: value for name, value in caps.items() if value is not None}
    if not caps:
        return _show(call.ask("budget", peer=args.peer or ""), args.peer, screen, _budget_row, _BUDGET)
    if not args.peer:
        raise UsageError("whose budget: name a peer; [budget] in config.toml is for all", hint="fleet budget PEER --usd X")
    found = call.ask("budget_set", peer=args.peer, **caps)
    return _show([found], args.peer, screen, _budget_row, _BUDGET)


def spend(args: Namespace, call: Caller, screen: Screen) -> int:
    """Report what a peer's work cost."""
    found = call.ask(
        "spend", peer=args.peer, tokens=args.tokens or 0, micro_usd=_micro(args.usd) or 0, failed=args.failed
    )
    if found["over"] and not screen.json:
        screen.talk(visible(f"{args.peer} is over its budget: what it sends at a cost is refused until the window ends"))
    return _show([found], args.peer, screen, _budget_row, _BUDGET)


def breaker(args: Namespace, call: Caller, screen: Screen) -> int:
    """Show breakers: state, since when, why."""
    return _show(call.ask("breaker", peer=args.peer or ""), args.peer, screen, _breaker_row, _BREAKER)


def evict(args: Namespace, call: Caller, screen: Screen) -> int:
    """Shut a peer out."""
    call.ask("breaker", peer=args.peer)  # it is known
    agreed(args, screen, f"{args.peer} is evicted: {OVERRULES}, it is not pinged, its sessions end", f"evict {args.peer}")
    found = call.ask("evict", peer=args.peer, reason=args.reason or "")
    return _show([found], args.peer, screen, _breaker_row, _BREAKER)


def reactivate(args: Namespace, call: Caller, screen: Screen) -> int:
    """Let a peer in again."""
    found = call.ask("reactivate", peer=args.peer, insist=args.yes)
    return _show([found], args.peer, screen, _breaker_row, _BREAKER)


def _micro(text: str | None) -> int | None:
    """Read dollars. Raises UsageError."""
    if text is None:
        return None
    try:
        return micro_dollars(text)
    except ValueError:
        raise UsageError(f"{text!a} is no amount of dollars: 0 to 1,000,000, in steps of 0.000001") from None


def _window(text: str | None) -> int | None:
    return None if text is None else int(seconds(text) * 1000)


Row = Callable[[dict[str, Any]], tuple[object, ...]]


def _show(
    found: list[dict[str, Any]], one: str | None, screen: Screen, row: Row, columns: tuple[str, ...]
) -> int:  # fmt: skip
    if screen.json:
        screen.value(found[0] if one else found)
    else:
        screen.table(columns, [row(each) for each in found])
    return 0


_TRUST = ("node", "level", "name", "score", "interactions", "proofs", "threats", "uptime", "ceiling", "proposal")
_BUDGET = ("node", "tokens", "USD", "hops", "window", "in: tokens", "in: USD", "out: tokens", "out: USD", "window ends")
_BREAKER = ("node", "state", "since", "why", "good", "bad", "USD", "eligible")


def _trust_row(one: dict[str, Any]) -> tuple[object, ...]:
    proposal = "" if one["proposal"] is None else f"fleet trust {one['node']} {one['proposal']} --reason …"
    score, uptime = f"{one['score']:.3f}", f"{one['uptime']:.0%}"
    return (
        one["node"], one["level"], one["name"], score, one["interactions"], one["proofs"], one["threats"], uptime,
        one["ceiling"], proposal,
    )  # fmt: skip


def _budget_row(one: dict[str, Any]) -> tuple[object, ...]:
    ends = max(one["in"]["until"] or 0, one["out"]["until"] or 0)
    sides = [value for side in ("in", "out") for value in (one[side]["tokens"], _usd(one[side]["usd"]))]
    window = span(one["window_ms"])
    return (one["node"], one["tokens"], _usd(one["usd"]), one["hops"], window, *sides, _when(ends))


def _breaker_row(one: dict[str, Any]) -> tuple[object, ...]:
    spent = f"{_usd(one['usd'])} of {_usd(one['usd_limit'])}"
    why = one["reason"] if one["state"] != "active" else ""
    return (
        one["node"], one["state"], _when(one["since"]), why, one["good"], one["bad"], spent, _when(one["eligible_at"]),
    )  # fmt: skip


def _usd(amount: float) -> str:
    return dollars(round(amount * MICRO)).removesuffix(" USD")


def _when(ms: int | None) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if ms else ""
