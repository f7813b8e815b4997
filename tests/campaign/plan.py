"""What will happen in one random schedule: a list of acts made from a seed alone; executes nothing."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.support.weather import LIES, Weather

STORM = 40.0  # seconds of weather
LEVELS = (2, 2, 3, 4)  # trust of the members, by the dice
NAMES = "abcde"


@dataclass(frozen=True, slots=True)
class Act:
    """Something that happens at a moment: a word of tests/campaign/sim.py and its arguments."""

    at: float
    word: str
    arguments: tuple[Any, ...] = ()


@dataclass(slots=True)
class Plan:
    """One schedule."""

    seed: int
    names: list[str]
    roads: tuple[str, ...]
    acts: list[Act] = field(default_factory=list)


def make_plan(seed: int, nodes: tuple[int, int] = (3, 5), messages: int = 200) -> Plan:
    """Throw the dice for one schedule."""
    dice = random.Random(f"plan {seed}")
    names = list(NAMES[: dice.randint(*nodes)])
    roads = ("nats", "http", *(road for road in ("relay", "seed", "ssh", "git") if dice.random() < 0.5))
    plan = Plan(seed, names, roads)
    plan.acts += _mail(dice, plan, messages)
    for _ in range(dice.randint(6, 24)):
        plan.acts += _weather(dice, plan)
    for _ in range(dice.randint(0, 5)):
        plan.acts += _end_of_life(dice, plan)
    for _ in range(dice.choice((0, 0, 1, 2))):
        jump = dice.choice((-86_400.0, -3600.0, -600.0, -5.0, 5.0, 600.0, 3600.0))
        plan.acts.append(Act(dice.random() * STORM, "jump", (dice.choice(names), jump)))
    if dice.random() < 0.2:
        plan.acts += _gate(dice, plan)
    plan.acts.sort(key=lambda act: act.at)
    return plan


def _pair(dice: random.Random, plan: Plan) -> tuple[str, str]:
    one, other = dice.sample(plan.names, 2)
    return one, other


def _mail(dice: random.Random, plan: Plan, messages: int) -> Iterator[Act]:
    """Bursts of messages, cancelled and marked now and then."""
    left = messages
    while left > 0:
        count = min(left, dice.choice((1, 1, 2, 4, 8, 16)))
        left -= count
        at, (sender, to) = dice.random() * STORM, _pair(dice, plan)
        words = _words(dice, plan)
        if words.get("channel") == "relay" and plan.names[0] in (sender, to):
            del words["channel"]  # the chief itself has no relay: that would wait until it expires
        yield Act(at, "send", (sender, to, count, words, dice.random() < 0.1))
        if dice.random() < 0.05:
            yield Act(at + dice.random() * 20, "cancel", (sender,))
        if dice.random() < 0.1:
            yield Act(at + dice.random() * 20, "read", (to,))


def _words(dice: random.Random, plan: Plan) -> dict[str, Any]:
    words: dict[str, Any] = {}
    if dice.random() < 0.3:
        words["type"] = dice.choice(("alert", "task", "broadcast", "context", "reply", "repair", "query", "handoff"))
    if dice.random() < 0.3:
        words["priority"] = dice.choice(("low", "high", "urgent"))
    if dice.random() < 0.15:
        words["ttl"] = dice.choice((1.0, 5.0, 20.0, 60.0))
    if dice.random() < 0.08:
        words["channel"] = dice.choice(plan.roads)
    return words


def _weather(dice: random.Random, plan: Plan) -> Iterator[Act]:
    """One change of the weather and its end."""
    at, length = dice.random() * STORM, dice.choice((1.0, 5.0, 10.0, 20.0, 40.0))
    sender, receiver = _pair(dice, plan)
    if dice.random() < 0.2:
        receiver = "*"
    road = dice.choice((*plan.roads, "nats", "*"))
    both = dice.random() < 0.5
    yield Act(at, "sky", (sender, receiver, road, _kind(dice), both))
    yield Act(min(STORM, at + length), "sky", (sender, receiver, road, Weather(), both))


def _kind(dice: random.Random) -> Weather:
    kinds = (
        lambda: Weather(cut=True),
        lambda: Weather(hole=True),
        lambda: Weather(deaf=True),
        lambda: Weather(delay=dice.choice((0.1, 1.0, 4.0)), jitter=dice.choice((0.0, 2.0))),
        lambda: Weather(drop=dice.random()),
        lambda: Weather(twice=dice.random(), again=dice.choice((0.1, 5.0, 30.0)), jitter=1.0),
        lambda: Weather(corrupt=dice.random()),
        lambda: Weather(lie=dice.choice(LIES)),
        lambda: Weather(custody=dice.choice(("kept", "lost")), delay=dice.choice((0.0, 1.0, 20.0))),
        lambda: Weather(busy=dice.choice((0.5, 5.0, 3600.0))),
        lambda: Weather(bug=True),
        lambda: Weather(faulty=True),
    )
    return dice.choice(kinds)()


def _end_of_life(dice: random.Random, plan: Plan) -> Iterator[Act]:
    """A stop, a crash, or a crash at a commit to come; and a new start."""
    name, at = dice.choice(plan.names), dice.random() * STORM
    kind = dice.choice(("stop", "crash", "before", "after", "before", "after"))
    yield Act(at, "end", (name, kind, dice.randint(1, 12)))
    yield Act(at + dice.choice((0.5, 2.0, 10.0, 20.0)), "start", (name,))


def _gate(dice: random.Random, plan: Plan) -> Iterator[Act]:
    """An operator disables a peer for a while."""
    (one, other), at = _pair(dice, plan), dice.random() * STORM
    yield Act(at, "enable", (one, other, False))
    yield Act(at + dice.random() * 10, "enable", (one, other, True))
