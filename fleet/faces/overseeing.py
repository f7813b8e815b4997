"""What anyone can ask of trust, budgets and breakers, with and without a daemon; must never print or parse."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from fleet.core import policy
from fleet.daemon.oversight import Oversight
from fleet.faces import asked

if TYPE_CHECKING:
    from fleet.daemon.service import Node
    from fleet.faces.house import House

Some = Annotated[str, Meta(max_length=63)]  # a peer, or "" for all of them
Tokens = Annotated[int, Meta(ge=0, le=10**9)]
MicroUsd = Annotated[int, Meta(ge=0, le=10**12)]
YEAR = 366 * 86_400_000  # ms


class Which(asked.Words):
    """One peer, or all."""

    peer: Some = ""


class Rung(asked.Words):
    """The level of a peer, and why."""

    peer: asked.Name
    level: Annotated[int, Meta(ge=0, le=policy.TRUST_CEILING)]
    reason: Annotated[str, Meta(min_length=1, max_length=256)]


class Caps(asked.Words):
    """What a peer may cost; what is None stays. `window` in ms."""

    peer: asked.Name
    tokens: Tokens | None = None
    micro_usd: MicroUsd | None = None
    hops: Annotated[int, Meta(ge=0, le=64)] | None = None
    window: Annotated[int, Meta(ge=60_000, le=YEAR)] | None = None


class Bill(asked.Words):
    """What a peer's work cost."""

    peer: asked.Name
    tokens: Tokens = 0
    micro_usd: MicroUsd = 0
    failed: bool = False


class Door(asked.Words):
    """Whom to shut out or let in."""

    peer: asked.Name
    reason: Annotated[str, Meta(max_length=256)] = ""
    insist: bool = False


async def _trust(oversight: Oversight, words: Which) -> Any:
    return oversight.trust(words.peer)


async def _budget(oversight: Oversight, words: Which) -> Any:
    return oversight.budget(words.peer)


async def _breaker(oversight: Oversight, words: Which) -> Any:
    return oversight.breaker(words.peer)


async def _set_trust(oversight: Oversight, words: Rung) -> Any:
    return await oversight.set_trust(words.peer, words.level, words.reason)


async def _set_budget(oversight: Oversight, words: Caps) -> Any:
    return await oversight.set_budget(words.peer, words.tokens, words.micro_usd, words.hops, words.window)


async def _spend(oversight: Oversight, words: Bill) -> Any:
    return await oversight.spend(words.peer, words.tokens, words.micro_usd, failed=words.failed)


async def _evict(oversight: Oversight, words: Door) -> Any:
    return await oversight.evict(words.peer, words.reason)


async def _reactivate(oversight: Oversight, words: Door) -> Any:
    return await oversight.reactivate(words.peer, insist=words.insist)


def verbs(make: Callable[..., Any]) -> dict[str, Any]:
    """Make the verbs: each acts through the node's oversight while it lives, through its store when not."""

    def verb(words: type[asked.Words], act: Callable[[Oversight, Any], Awaitable[Any]]) -> Any:
        async def live(node: Node, given: Any) -> Any:
            return await act(node.oversight, given)

        def still(house: House, given: Any) -> Any:
            return asyncio.run(act(house.oversight, given))  # type: ignore[arg-type]

        return make(words, live, still)

    return {
        "trust": verb(Which, _trust), "trust_set": verb(Rung, _set_trust),
        "budget": verb(Which, _budget), "budget_set": verb(Caps, _set_budget), "spend": verb(Bill, _spend),
        "breaker": verb(Which, _breaker), "evict": verb(Door, _evict), "reactivate": verb(Door, _reactivate),
    }  # fmt: skip
