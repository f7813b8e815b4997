"""Trust, budget and breaker against models of few words: any sequence of mail, threats, spending, restarts, crashes, clocks.

    python -m tests.campaign gates [--sequences 10000] [--seed 0]

Each model keeps its own whole numbers and knows neither the core's functions nor a table. A sequence whose node differs
from its model in one unit, level or state fails, and says the seed that shows it.
"""

import argparse
import asyncio
import contextlib
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import msgspec

from fleet.core.breaker import Rules, Signal, State
from fleet.core.budget import Limits
from fleet.core.envelope import Cost
from fleet.core.peer import Peer
from fleet.core.timeline import reckon
from fleet.core.trust import Experience
from fleet.engine.at_once import AtOnce
from fleet.engine.conduct import OPERATOR, Conduct
from fleet.engine.world import World
from fleet.engine.writer import Writer
from fleet.store import Store
from fleet.store.accounts import IN
from fleet.store.inbox import Arrival
from tests.support.letters import arrival, copy, open_store

FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None
HOUR, DAY = 3_600_000, 86_400_000
ROADS = ("nats", "http", "git", "seed")
RULES = Rules()


class Clocks:
    """The clocks of one machine: time passes, the wall clock is set, the machine boots."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000_000
        self.steady = 1000.0
        self.boot = "boot 0"
        self.true = 0  # ms that really passed

    def world(self) -> World:
        return World(lambda: self.wall, lambda: self.steady, bytes, lambda: 0.5, None, self.boot)

    def passes(self, ms: int) -> None:
        self.true += ms
        self.wall += ms
        self.steady += ms / 1000


# --- budget ----------------------------------------------------------------------------------------------------------------


@dataclass
class Purse:
    """What the model of a budget knows."""

    tokens: int
    micro: int
    window: int
    began: int = -1  # true time of the window's first debit
    spent: tuple[int, int] = (0, 0)
    answers: dict[int, str] = field(default_factory=dict)

    def says(self, n: int, cost: Cost, hops: int, now: int) -> str:
        """What the addressee must answer."""
        if n in self.answers:
            return "refused" if self.answers[n] == "refused" else "duplicate"
        if self.began >= 0 and now - self.began >= self.window:
            self.began, self.spent = -1, (0, 0)
        after = (self.spent[0] + cost.tokens, self.spent[1] + cost.micro_usd)
        fits = hops <= 8 and (not cost.tokens or after[0] <= self.tokens) and (not cost.micro_usd or after[1] <= self.micro)
        if fits and (cost.tokens or cost.micro_usd):
            self.began = now if self.began < 0 else self.began
            self.spent = after
        self.answers[n] = "stored" if fits else "refused"
        return self.answers[n]


def priced(n: int, seq: int, cost: Cost) -> Arrival:
    made = arrival(n, seq)
    return msgspec.structs.replace(made, envelope=msgspec.structs.replace(made.envelope, cost=cost))


async def budget(stores: "Stores", dice: random.Random, name: str) -> None:
    """Mail at a cost: replayed, split, over other roads, after restarts, with every clock set."""
    clocks, store = Clocks(), stores.store
    mark = reckon(None, clocks.boot, clocks.steady, clocks.wall)
    model = Purse(dice.choice((0, 10, 100)), dice.choice((0, 1000, 10**12)), dice.choice((60_000, HOUR)))
    limits = Limits(model.tokens, model.micro, 8, model.window)
    sent: dict[int, Cost] = {}
    for step in range(dice.randint(10, 40)):
        chance = dice.random()
        if chance < 0.15:
            clocks.passes(dice.choice((1, 1000, model.window // 2, model.window - 1, model.window)))
        elif chance < 0.25:
            clocks.wall += dice.choice((-DAY, DAY, -clocks.wall, 400 * DAY))  # somebody sets it
        elif chance < 0.3:
            store = stores.again()
            mark = reckon(mark, clocks.boot, clocks.steady, clocks.wall)
        elif chance < 0.35:
            model.tokens = dice.choice((5, 50, 500))  # the operator changes it
            limits = Limits(model.tokens, model.micro, 8, model.window)
        else:
            fresh = {len(sent) + 1 + at: Cost(dice.choice((0, 1, 7, 60)), dice.choice((0, 0, 1, 500))) for at in range(3)}
            sent.update(dict(list(fresh.items())[: dice.randint(1, 3)]))
            batch = dice.choices(sorted(sent), k=dice.randint(1, 4))  # old ones too
            hops = dice.choice((0, 0, 0, 8, 9))
            now = reckon(mark, clocks.boot, clocks.steady, clocks.wall).time
            made = msgspec.structs.replace(
                copy(step, sender=name, road=dice.choice(ROADS)), limits=limits, at=now, hops=hops
            )
            wanted = [model.says(n, sent[n], hops, clocks.true) for n in batch]
            with store.db.transaction():
                got = store.inbox.receive(made, [priced(n, n, sent[n]) for n in batch], clocks.wall)
            assert [entry.fate.value for entry in got.entries] == wanted
            spent = store.accounts.spent(name, IN)
            assert (spent.tokens, spent.micro_usd) == model.spent or model.began < 0


# --- trust -----------------------------------------------------------------------------------------------------------------


@dataclass
class Ladder:
    """What the model of a level knows: whole numbers, scores times a thousand times n."""

    level: int
    ceiling: int
    sent: int = 0
    received: int = 0
    threats: int = 0
    last: int = -10 * HOUR
    on: int = 0
    watched: int = 0

    def look(self) -> None:
        """Move by the rules of the mission, or stay."""
        n = self.sent + self.received
        if n < 10:
            return
        clean, risk = max(0, n - self.threats), min(n, 10 * self.threats)
        on, watched = (self.on, self.watched) if self.watched else (0, 1)
        worth = (400 * clean + 200 * (n - risk) + 200 * clean) * watched + 200 * on * n  # times n and watched

        def least(score: int) -> bool:
            return worth >= score * n * watched

        if self.level in (2, 3, 4) and not least({2: 500, 3: 650, 4: 800}[self.level]):
            self.level -= 1
        elif (self.level == 1 and n >= 50 and least(700) and self.ceiling > 1) or (
            self.level == 2 and n >= 500 and least(850) and self.ceiling > 2
        ):
            self.level += 1  # 3 → 4 is only proposed


def conduct_of(store: Store, clocks: Clocks) -> Conduct:
    return Conduct(cast(Writer, AtOnce(store)), store, clocks.world(), RULES, Limits())


async def trust(stores: "Stores", dice: random.Random, name: str) -> None:
    """Interactions, threats, silence, operators, restarts and crashes; never a level without its rule."""
    clocks, store = Clocks(), stores.store
    start, ceiling = dice.choice((1, 2, 2, 3)), dice.choice((2, 3, 4))
    peer = Peer(id=name, key=b"k" * 32, trust=start, ceiling=ceiling)
    node, model = conduct_of(store, clocks), Ladder(min(start, ceiling), ceiling)
    kept = (0, 0, 0, 0)
    heard = -DAY
    for _ in range(dice.randint(10, 40)):
        match dice.choices(("met", "answered", "threat", "time", "look", "operator", "restart", "crash", "past"),
                           (6, 6, 1, 3, 8, 0.7, 1, 1, 2))[0]:  # fmt: skip
            case "met":
                n = dice.choice((1, 5, 30, 300))
                node.heard(name, n)
                model.received, heard = model.received + n, clocks.true
            case "answered":
                n = dice.choice((1, 5, 30, 300))
                node.answered(name, n)
                model.sent, heard = model.sent + n, clocks.true
            case "threat":
                await node.threat(peer, dice.choice(("forged", "wrong_receipt", "equivocation", "cost")))
                if clocks.true - model.last <= HOUR:
                    model.level = 0
                model.threats, model.last = model.threats + 1, clocks.true
                kept = (model.sent, model.received, model.on, model.watched)
                await node.threat(peer, "malformed")  # no proof of malice
            case "time":
                clocks.passes(dice.choice((1000, 60_000, HOUR, HOUR + 1)))
                clocks.wall += dice.choice((0, 0, DAY, -DAY))
            case "look":
                clocks.passes(10_000)
                before = node.time() - node._looked
                await node.look([peer])
                passed = min(before, 20_000)
                model.watched += passed
                model.on += passed if clocks.true - heard <= 45_000 else 0
                model.look()
                if not node._unkept.peers:
                    kept = (model.sent, model.received, model.on, model.watched)
            case "operator":
                level = dice.randint(0, ceiling)
                node.move(peer, level, "because", OPERATOR)
                node.begin_anew(name)
                await node.keep()
                model = Ladder(level, ceiling)
                kept = (0, 0, 0, 0)
            case "past":  # at the edge of a rule
                n, threats = dice.choice((9, 10, 49, 50, 499, 500, 4999, 5000)), dice.choice((0, 0, 1, 9))
                on = dice.choice((0, 200, 240, 249, 250, 500, 749, 750, 1000))
                node.begin_anew(name)
                node.seen[name] = Experience(n // 2, n - n // 2, threats, threats, node.seen[name].threat_at, on, 1000)
                model = Ladder(model.level, ceiling, n // 2, n - n // 2, threats, clocks.true - 10 * HOUR, on, 1000)
                await node.keep()
                kept = (model.sent, model.received, model.on, model.watched)
            case "restart":
                await node.keep()
                node, heard = conduct_of(stores.again(), clocks), -DAY
                kept = (model.sent, model.received, model.on, model.watched)
            case "crash":
                node, heard = conduct_of(stores.again(), clocks), -DAY
                model.sent, model.received, model.on, model.watched = kept
        seen = node.experience(name)
        assert (seen.sent, seen.received, seen.threats) == (model.sent, model.received, model.threats)
        assert (seen.on, seen.watched) == (model.on, model.watched)
        assert node.level(peer) == min(model.level, ceiling)
        assert node.level(peer) < 4 or model.level == 4


# --- breaker ---------------------------------------------------------------------------------------------------------------


@dataclass
class Fuse:
    """What the model of a breaker knows."""

    state: str = "active"
    since: int = 0
    dealings: list[tuple[int, bool, int]] = field(default_factory=list)  # minute, well, how many
    bills: list[tuple[int, int]] = field(default_factory=list)  # ten minutes, micro-dollars

    def turn(self, state: str, now: int) -> None:
        if state != self.state:
            self.state, self.since, self.dealings = state, now, []

    def weigh(self, now: int, minute: int, tens: int, *, money: bool) -> None:
        """Follow R5, or stay."""
        if self.state == "evicted":
            return
        if self.state == "suspended" and now - self.since >= DAY:
            self.turn("evicted", now)
            return
        if money and self.state == "active" and sum(micro for at, micro in self.bills if at >= tens - 144) > 5_000_000:
            self.turn("suspended", now)
            return
        within = [one for one in self.dealings if one[0] >= minute - 60]
        good, bad = sum(n for _, well, n in within if well), sum(n for _, well, n in within if not well)
        if good + bad >= 50 and 2 * bad > good + bad:
            self.turn("evicted" if self.state == "suspended" else "suspended", now)


async def breaker(stores: "Stores", dice: random.Random, name: str) -> None:
    """Dealings good and bad, bills, operators, time, restarts and crashes; never a state without its rule."""
    clocks, store = Clocks(), stores.store
    node, model = conduct_of(store, clocks), Fuse()
    peer = Peer(id=name, key=b"k" * 32, trust=2)
    for _ in range(dice.randint(10, 40)):
        now = node.time()
        minute, tens = now // 60_000, now // 600_000
        match dice.choices(("good", "bad", "bill", "time", "look", "evict", "reactivate", "restart"),
                           (6, 6, 3, 5, 4, 0.4, 1, 1))[0]:  # fmt: skip
            case "good":
                n = dice.choice((1, 10, 40))
                node.answered(name, n, good=n)
                node.breaker(name)  # counted in this minute
                model.dealings.append((minute, True, n))
            case "bad":
                n = dice.choice((1, 10, 24, 26, 49, 50))
                node.failed(name, n)
                model.dealings.append((minute, False, n))
                model.weigh(now, minute, tens, money=False)
            case "bill":
                micro = dice.choice((1, 2_500_000, 4_999_999))
                with stores.store.db.transaction():
                    stores.store.accounts.spend(name, 0, micro, now)
                await node.spent(name)
                model.bills.append((tens, micro))
                model.weigh(now, minute, tens, money=True)
            case "time":
                clocks.passes(dice.choice((1000, 60_000, 20 * 60_000, HOUR, DAY // 2)))
                clocks.wall += dice.choice((0, 0, DAY, -DAY))
            case "look":
                await node.look([peer])
                model.weigh(now, minute, tens, money=True)
            case "evict":
                node.signal(name, Signal.EVICT, "said so", OPERATOR)
                model.turn("evicted", now)
            case "reactivate":
                with stores.store.db.transaction():
                    stores.store.accounts.forgive(name)
                node.signal(name, Signal.REACTIVATE, "said so", OPERATOR)
                model.bills = []
                model.turn("active", now)
            case "restart":
                await node.keep()
                node = conduct_of(stores.again(), clocks)
        assert node.breaker(name).state.value == model.state
        assert node.is_evicted(name) is (model.state == "evicted")
    await node.keep()
    assert conduct_of(stores.again(), clocks).breaker(name).state is State(model.state)


# --- many ------------------------------------------------------------------------------------------------------------------


class Stores:
    """One store for many sequences, each with a peer of its own; opened again whenever a sequence wants it."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.store = open_store(home, synchronous="OFF")

    def again(self) -> Store:
        self.store.close()
        self.store = open_store(self._home, synchronous="OFF")
        return self.store


MODELS: dict[str, Callable[[Stores, random.Random, str], Awaitable[None]]] = {
    "budget": budget, "trust": trust, "breaker": breaker,
}  # fmt: skip


def run(model: str, sequences: int, seed: int = 0) -> None:
    """Run sequences of one model. Raises AssertionError that says which one failed."""

    async def walk() -> None:
        for first in range(0, sequences, 200):  # a store for every two hundred
            with tempfile.TemporaryDirectory(dir=FAST) as directory:
                stores = Stores(Path(directory))
                for number in range(first, min(sequences, first + 200)):
                    try:
                        await MODELS[model](stores, random.Random(f"{model} {seed} {number}"), f"p{number}")
                    except AssertionError as error:
                        raise AssertionError(f"{model}, seed {seed}, sequence {number}: {error}") from error
                stores.store.close()

    asyncio.run(walk())


def main(arguments: list[str]) -> int:
    """Run all three; prints what ran."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign gates", description=__doc__)
    parser.add_argument("--sequences", type=int, default=10_000, help="of all models together")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    each = -(-asked.sequences // len(MODELS))
    for model in MODELS:
        began = time.perf_counter()
        run(model, each, asked.seed)
        print(f"{model}: {each} sequences, seed {asked.seed}, nothing over, {time.perf_counter() - began:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        raise SystemExit(main([]))
