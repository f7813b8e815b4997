"""Which roads, in which order: a dozen plans as a specification, then deadlines, hedges and back-off."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet.core import policy
from fleet.core.channel import Traits
from fleet.core.envelope import KINDS, Kind
from fleet.core.health import Health, Link
from fleet.core.plan import Road, Step, Wish, backoff, hedge_delay, longest, patience, plan

TRAITS = {
    "cloud": Traits(replies=False, pings=False, hedges=False, spare=True),
    "nats": Traits(framed=True),
    "box": Traits(framed=True, keeps=True),
    "http": Traits(framed=True),
    "relay": Traits(framed=True),
    "seed": Traits(replies=False, pings=False),
    "ssh": Traits(pings=False),
    "wol": Traits(carries=False, replies=False, pings=False, hedges=False),
    "git": Traits(replies=False, pings=False),
    "text": Traits(carries=False, replies=False, pings=False, hedges=False),
}
HEALTHS = {"+": Health.HEALTHY, "?": Health.HEALTHY, "-": Health.DEGRADED, "!": Health.BROKEN, "~": Health.HEALING}
MESSAGE = KINDS["message"]


def road(word: str) -> Road:
    """A road from `name`, its health (+ healthy, ? untried, - degraded, ! broken, ~ healing) and `@layer`."""
    head, _, layer = word.partition("@")
    mark = head[-1] if head[-1] in HEALTHS else "+"
    name = head.rstrip("+?-!~")
    proven = -1.0 if mark == "?" else 1.0
    return Road(name, TRAITS[name], Link(health=HEALTHS[mark], proven_at=proven), layer)


def planned(roads: str, wish: Wish | None = None, *, nudge: bool = True) -> str:
    """The names of a plan's steps."""
    steps = plan([road(word) for word in roads.split()], wish or Wish(MESSAGE), nudge=nudge)
    return " ".join(step.channel for step in steps)


@pytest.mark.parametrize(
    ("roads", "expected"),
    [
        # all well: the configured order, spare roads last
        ("cloud nats http relay seed ssh wol git text", "nats http relay seed ssh wol git text cloud"),
        ("http nats", "http nats"),
        ("cloud", "cloud"),
        ("", ""),
        # untried is planned as healthy
        ("nats? http", "nats http"),
        # degraded keeps its place, broken gets nothing
        ("nats- http relay", "nats http relay"),
        ("nats! http relay!", "http"),
        ("nats! http!", ""),
        # one that keeps a mailbox is then a last resort
        ("box! http relay", "http relay box"),
        ("box! cloud http!", "box cloud"),
        # healing that pings is a last resort; without pings it comes after all healthy and degraded ones
        ("nats~ http relay-", "http relay nats"),
        ("ssh~ git nats-", "git nats ssh"),
        ("nats~ ssh~ git", "git ssh nats"),
        ("nats~", "nats"),
        ("cloud nats~ ssh~", "ssh nats cloud"),
        # after a failure a road on another layer goes first
        ("nats-@tailnet http?@tailnet relay?@lan", "nats relay http"),
        ("nats!@tailnet http?@tailnet relay?@lan", "relay http"),
        ("nats~@tailnet http?@tailnet relay?@lan", "relay http nats"),
        ("nats!@tailnet http@tailnet relay?@lan", "http relay"),  # proven itself: it keeps its place
        ("nats@tailnet http?@tailnet relay?@lan", "nats http relay"),
        ("nats!@tailnet http? relay?@lan", "http relay"),
    ],
)
def test_a_message_takes_its_roads_in_this_order(roads: str, expected: str) -> None:
    assert planned(roads) == expected


def test_a_proof_older_than_its_layers_failure_is_no_proof() -> None:
    failed = Road("nats", TRAITS["nats"], Link(health=Health.BROKEN, proven_at=1.0, failed_at=9.0), "tailnet")
    before = Road("http", TRAITS["http"], Link(proven_at=8.0), "tailnet")
    since = Road("http", TRAITS["http"], Link(proven_at=10.0), "tailnet")
    other = Road("ssh", TRAITS["ssh"], Link(proven_at=1.0), "ssh key")
    assert [step.channel for step in plan([failed, before, other], Wish(MESSAGE))] == ["ssh", "http"]
    assert [step.channel for step in plan([failed, since, other], Wish(MESSAGE))] == ["http", "ssh"]


def test_who_suspects_himself_gives_a_road_that_failed_more_time() -> None:
    slow = Road("nats", TRAITS["nats"], Link(health=Health.DEGRADED, proven_at=1.0), stretch=policy.STRETCH)
    (step,) = plan([slow], Wish(MESSAGE))
    assert step.deadline == policy.DEADLINE_DEGRADED * policy.STRETCH


ALL = "cloud nats http relay seed ssh wol git text"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("message", "nats http relay seed ssh wol git text cloud"),
        ("query", "nats http relay seed ssh wol git text cloud"),
        ("alert", "nats"),
        ("broadcast", "nats"),
        ("task", "nats http relay"),
        ("sync", "nats http relay"),
        ("spawn", "nats http relay"),
        ("context", "nats http relay seed"),
        ("repair", "nats http relay seed ssh"),
        ("handoff", "nats http relay seed ssh"),
        ("reply", "nats http relay seed ssh wol git text cloud"),
    ],
)
def test_every_kind_takes_its_own_roads(word: str, expected: str) -> None:
    assert planned(ALL, Wish(KINDS[word])) == expected


def test_its_own_roads_come_first_then_all_others() -> None:
    kind = Kind("reply", ("git", "http"), then_all=True)
    assert planned(ALL, Wish(kind)) == "http git nats relay seed ssh wol text cloud"


@pytest.mark.parametrize(
    ("roads", "pinned", "held", "expected"),
    [
        ("nats http git", "git", set(), "git"),
        ("nats cloud", "cloud", set(), "cloud"),
        ("nats~ http", "nats", set(), "nats"),
        ("nats! http", "nats", set(), ""),
        ("nats http", "pigeon", set(), ""),
        ("nats http git", "git", {"git"}, ""),
        ("nats http git", "", {"git"}, "nats http"),
        ("nats http git", "", {"nats", "git"}, "http"),
    ],
)
def test_a_wish_narrows_the_plan(roads: str, pinned: str, held: set[str], expected: str) -> None:
    assert planned(roads, Wish(MESSAGE, pinned=pinned, held_by=frozenset(held))) == expected


def test_a_pinned_road_ignores_the_roads_of_the_kind() -> None:
    assert planned("nats git", Wish(KINDS["alert"], pinned="git")) == "git"


def test_a_walk_after_a_nudge_nudges_nobody() -> None:
    assert planned(ALL, nudge=False) == "nats http relay seed ssh git cloud"


def test_nothing_is_planned_over_a_broken_link() -> None:
    for name in (name for name, traits in TRAITS.items() if not traits.keeps):
        assert planned(f"{name}!") == planned(f"{name}!", Wish(MESSAGE, pinned=name)) == ""


# ── deadlines (mission M1) ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "deadline"),
    [("cloud", 5), ("nats", 3), ("http", 5), ("relay", 5), ("seed", 10), ("ssh", 10), ("wol", 60), ("git", 30), ("text", 2)],
)
def test_every_road_has_the_deadline_of_the_mission(name: str, deadline: float) -> None:
    (step,) = plan([road(name)], Wish(MESSAGE))
    assert step.deadline == deadline


def test_a_road_the_house_does_not_know_has_ten_seconds() -> None:
    (step,) = plan([Road("pigeon", Traits(), Link())], Wish(MESSAGE))
    assert step.deadline == 10.0


def test_a_setting_replaces_the_deadline() -> None:
    (step,) = plan([Road("nats", TRAITS["nats"], Link(), timeout=7.0)], Wish(MESSAGE))
    assert step.deadline == 7.0


@pytest.mark.parametrize(("word", "deadline"), [("nats-", 1.5), ("nats~", 1.5), ("ssh-", 10.0), ("git~", 30.0)])
def test_a_road_that_just_failed_gets_little_time_if_it_pings(word: str, deadline: float) -> None:
    (step,) = plan([road(word)], Wish(MESSAGE))
    assert step.deadline == deadline


def test_a_step_says_what_its_road_does() -> None:
    steps = {step.channel: step for step in plan([road(name) for name in TRAITS], Wish(MESSAGE))}
    assert steps["nats"] == Step("nats", 3.0, 0.25, replies=True, carries=True)
    assert steps["git"] == Step("git", 30.0, 0.25, replies=False, carries=True)
    assert steps["wol"] == Step("wol", 60.0, 0.0, replies=False, carries=False)


# ── hedging (design § 7) ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "p95", "delay"),
    [
        ("nats", None, 0.25), ("nats", 0.001, 0.25), ("nats", 0.125, 0.25), ("nats", 0.3, 0.6), ("nats", 1.0, 2.0),
        ("nats", 9.0, 2.0), ("ssh", None, 4.0), ("ssh", 0.01, 4.0), ("seed", None, 4.0), ("wol", None, 0.0),
        ("text", None, 0.0), ("cloud", None, 0.0),
    ],
)  # fmt: skip
def test_the_next_road_starts_after_two_round_trips_within_bounds(name: str, p95: float | None, delay: float) -> None:
    link = Link(round_trips=() if p95 is None else (p95,))
    assert hedge_delay(Road(name, TRAITS[name], link)) == pytest.approx(delay)


@given(some.lists(some.floats(0.0001, 100), min_size=1, max_size=64))
def test_the_hedge_delay_is_always_within_its_bounds(trips: list[float]) -> None:
    delay = hedge_delay(Road("nats", TRAITS["nats"], Link(round_trips=tuple(trips))))
    assert policy.HEDGE_MIN <= delay <= policy.HEDGE_MAX


def test_a_pinned_road_has_nothing_beside_it() -> None:
    (step,) = plan([road("nats")], Wish(MESSAGE, pinned="nats"))
    assert step.hedge == 0.0


# ── back-off and patience ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("tries", "dice", "wait"),
    [(0, 0.5, 1.0), (1, 0.5, 2.0), (5, 0.5, 32.0), (6, 0.5, 60.0), (500, 0.5, 60.0), (0, 0.0, 0.5), (6, 0.0, 30.0)],
)
def test_the_wait_doubles_up_to_a_minute(tries: int, dice: float, wait: float) -> None:
    assert backoff(tries, dice) == wait


@given(some.integers(0, 10**6), some.floats(0, 1, exclude_max=True))
def test_the_wait_is_bounded_however_often_it_was_tried(tries: int, dice: float) -> None:
    assert 0.5 <= backoff(tries, dice) <= 90.0


@pytest.mark.parametrize(
    ("channel", "settings", "seconds"),
    [
        ("git", {}, 120.0),
        ("relay", {}, 30.0),
        ("pigeon", {}, 60.0),
        ("git", {"git": 5.0}, 5.0),
        ("git", {"git": 0.0}, 120.0),
    ],
)
def test_patience_is_the_settings_or_the_houses(channel: str, settings: dict[str, float], seconds: float) -> None:
    assert patience(channel, settings) == seconds


ROADS = some.lists(
    some.builds(
        lambda name, mark, layer: f"{name}{mark}@{layer}",
        some.sampled_from(sorted(TRAITS)), some.sampled_from(sorted(HEALTHS)), some.sampled_from(["", "lan", "tailnet"]),
    ),
    unique_by=lambda word: road(word).name, max_size=9,
)  # fmt: skip


@given(ROADS, some.sampled_from(sorted(KINDS)), some.booleans())
def test_whatever_the_weather_a_plan_keeps_the_laws(words: list[str], kind: str, nudge: bool) -> None:
    roads = [road(word) for word in words]
    steps = plan(roads, Wish(KINDS[kind]), nudge=nudge)
    by_name = {each.name: each for each in roads}
    names = [step.channel for step in steps]
    assert all(by_name[name].link.health is not Health.BROKEN or by_name[name].traits.keeps for name in names)
    assert all(step.deadline > 0 and step.hedge >= 0 for step in steps)
    assert nudge or all(step.carries for step in steps)
    own = KINDS[kind].roads
    assert not own or KINDS[kind].then_all or set(names) <= set(own)
    spare = [name for name in names if by_name[name].traits.spare]
    assert names[len(names) - len(spare) :] == spare


def test_a_walk_takes_at_most_one_more_round_for_each_road_that_wakes() -> None:
    nats, ssh = Step("nats", 3.0, 0.25), Step("ssh", 10.0, 4.0)
    wol, text = Step("wol", 60.0, 0.0, carries=False), Step("text", 2.0, 0.0, carries=False)
    assert longest([nats, ssh]) == 13.0
    assert longest([nats, wol, ssh]) == 2 * 13.0 + 60.0
    assert longest([nats, wol, ssh, text]) == 3 * 13.0 + 62.0
    assert longest([]) == 0.0


def test_a_broken_road_that_keeps_a_mailbox_only_takes_and_never_after_a_fault_of_security() -> None:
    box = road("box!")
    assert [step.replies for step in plan([box, road("http")], Wish(MESSAGE))] == [True, False]
    distrusted = Road(box.name, box.traits, Link(health=Health.BROKEN, security=True))
    assert plan([distrusted], Wish(MESSAGE)) == ()
