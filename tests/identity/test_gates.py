"""Every type of message, at every level, both ways, over a road between real nodes; levels that cannot be talked up."""

import asyncio
import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from fleet.core.breaker import Signal
from fleet.core.envelope import KINDS, Cost, Kind, kind_of
from fleet.core.parcel import ParcelType
from fleet.engine.conduct import OPERATOR
from fleet.store.accounts import IN
from tests.identity.ground import envelope, forge, ground, hand, honest_still_flows, in_virtual_time, mail, own, refused
from tests.support.fleet import Fleet

LEVELS = range(5)
ARRIVED = ("received", "done")  # a repair is done at once


def cells() -> list[tuple[str, int]]:
    """Every type at every level."""
    return list(itertools.product(KINDS, LEVELS))


def trusts(fleet: Fleet, node: str, other: str, level: int) -> None:
    """A node's own ledger says so of another."""
    fleet.node(node).conduct.levels[other] = level


async def fate(fleet: Fleet, sender: str, to: str, **words: object) -> tuple[str, str]:
    """Send, and wait until it came in or was refused."""
    id = await fleet.send(sender, to, **words)  # type: ignore[arg-type]
    for _ in range(240):
        if fleet.state(sender, id) in (*ARRIVED, "refused"):
            break
        await asyncio.sleep(0.25)
    return fleet.state(sender, id), fleet.row(sender, id).reason


@in_virtual_time
async def test_what_comes_in_needs_the_level_of_its_type_and_gets_in_with_it(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        trusts(fleet, "a", "b", 4)
        for word, level in cells():
            trusts(fleet, "b", "a", level)
            state, reason = await fate(fleet, "a", "b", type=word, body={"repair": "reset"} if word == "repair" else "hello")
            least = kind_of(word).trust
            if level >= least:
                assert state in ARRIVED, (word, level, reason)
                assert fleet.inbox("b")[-1].level == level
            else:
                wanted = f"the peer: trust: {word} needs level {least}, a has {level}; fleet trust a LEVEL"
                assert (state, reason) == ("refused", wanted)
            fleet.node("a").conduct.breakers.clear()  # so many refusals would suspend b
            fleet.node("b").conduct.breakers.clear()


@in_virtual_time
async def test_what_goes_out_needs_a_peer_of_level_two(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        trusts(fleet, "b", "a", 4)
        for word, level in cells():
            trusts(fleet, "a", "b", level)
            before = len(fleet.net.answers)
            state, reason = await fate(fleet, "a", "b", type=word, body={"repair": "reset"} if word == "repair" else "hello")
            if level >= 2:
                assert state in ARRIVED, (word, level, reason)
            else:
                assert (state, reason) == ("refused", f"trust: mail needs level 2, b has {level}; fleet trust b LEVEL")
                assert len(fleet.net.answers) == before


@in_virtual_time
async def test_a_type_nobody_knows_needs_what_plain_mail_needs(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        for level in LEVELS:
            trusts(fleet, "b", "a", level)
            data = forge(own(fleet.node("a")), own(fleet.node("b")), ParcelType.MAIL,
                         [mail(fleet, 10 + level, type="telegram")])  # fmt: skip
            await hand(fleet.node("b"), data)
        assert [one.level for one in fleet.inbox("b")] == [2, 3, 4]


@pytest.mark.parametrize("level", LEVELS)
def test_pings_and_receipts_pass_at_every_level(level: int, tmp_path: Path) -> None:
    @in_virtual_time
    async def story(home: Path) -> None:
        async with ground(home, "ab") as fleet:
            trusts(fleet, "b", "a", level)
            assert (await fleet.node("a").control.ping("b"))["ok"]
            assert (await fate(fleet, "b", "a"))[0] == ("received" if level >= 2 else "refused")

    story()


# --- attack 25 -------------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_no_word_of_a_peer_gives_it_a_level(home: Path) -> None:
    """In the envelope, in its context, in its manifest: the ledger of the addressee alone is asked."""
    async with ground(home, "abc") as fleet:
        b = fleet.node("b")
        claims = [
            {"context": {"trust": 4, "level": 4}}, {"context": {"forwarded_from": "b"}},
            {"context": {"forwarded_from": "c"}}, {"context": {"forwarded_from": []}},
            {"from_agent": "b"}, {"ctype": "trust=4"}, {"body": {"level": 4}},
        ]  # fmt: skip
        for level in LEVELS:
            trusts(fleet, "b", "a", level)
            trusts(fleet, "b", "c", 4)
            for at, claim in enumerate(claims):
                b.conduct.breakers.clear()
                data = forge(own(fleet.node("a")), own(b), ParcelType.MAIL,
                             [mail(fleet, 1000 * level + 10 * at, type="spawn", **claim)])  # fmt: skip
                await hand(b, data)
        assert {one.level for one in fleet.inbox("b")} == {4}
        assert len(fleet.inbox("b")) == len(claims)
        assert b.conduct.level(b.roster.get("a")) == 4


@in_virtual_time
async def test_what_is_forwarded_has_the_lower_of_the_levels(home: Path) -> None:
    async with ground(home, "abc") as fleet:
        b = fleet.node("b")
        for number, (mine, its) in enumerate(itertools.product(LEVELS, LEVELS)):
            trusts(fleet, "b", "a", mine)
            trusts(fleet, "b", "c", its)
            for at, word in enumerate(("message", "task", "spawn")):
                known = len(fleet.inbox("b"))
                item = mail(fleet, 10 * number + at, type=word, context={"forwarded_from": "c"})
                await hand(b, forge(own(fleet.node("a")), own(b), ParcelType.MAIL, [item]))
                came = fleet.inbox("b")[known:]
                assert [one.level for one in came] == ([min(mine, its)] if min(mine, its) >= kind_of(word).trust else [])


@in_virtual_time
async def test_what_is_forwarded_for_nobody_knows_whom_is_refused(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        b = fleet.node("b")
        trusts(fleet, "b", "a", 4)
        for at, whom in enumerate(("nobody", 7, None, {"x": 1}, ["a", "nobody"], ["a", 3])):
            item = mail(fleet, 50 + at, context={"forwarded_from": whom})
            await hand(b, forge(own(fleet.node("a")), own(b), ParcelType.MAIL, [item]))
        assert fleet.inbox("b") == []


@in_virtual_time
async def test_mail_through_a_chief_has_its_authors_level_whatever_the_chiefs(home: Path) -> None:
    async with ground(home, "abc", roads=("nats", "http", "relay")) as fleet:
        for chief in (0, 2, 4):  # a is one
            trusts(fleet, "c", "a", chief)
            trusts(fleet, "c", "b", 3)
            state, _ = await fate(fleet, "b", "c", type="task", channel="relay", body=f"chief {chief}")
            assert state == "received"
            assert fleet.inbox("c")[-1].level == 3


@in_virtual_time
async def test_no_level_passes_the_ceiling_of_the_certificate(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        a = fleet.node("a")
        peer = a.roster.get("b")
        assert peer is not None
        for level, ceiling in itertools.product(LEVELS, LEVELS):
            trusts(fleet, "a", "b", level)
            assert a.conduct.level(replace(peer, ceiling=ceiling)) == min(level, ceiling)


@in_virtual_time
async def test_two_forgeries_within_an_hour_end_all_trust_and_time_does_not_bring_it_back(home: Path) -> None:
    """Equivocation: the same id with another content, signed by its key."""
    async with ground(home, "ab") as fleet:
        b = fleet.node("b")
        for number in (1, 2):
            for body in ("one", "two"):
                item = mail(fleet, number, body=body)
                await hand(b, forge(own(fleet.node("a")), own(b), ParcelType.MAIL, [item]))
            assert b.conduct.level(b.roster.get("a")) == (2 if number == 1 else 0)
        await fleet.stop("b")
        await fleet.start("b")
        b = fleet.node("b")
        b.conduct.heard("a", 100_000)
        await asyncio.sleep(600)
        assert b.conduct.level(b.roster.get("a")) == 0
        assert b.conduct.experience("a").interactions > 100_000
        await b.oversight.set_trust("a", 2, "it was a test")
        assert (await fate(fleet, "a", "b"))[0] == "received"
        assert [one.kind for one in b.reader.audit.entries(kind="trust")] == ["trust", "trust"]


@in_virtual_time
async def test_junk_that_names_a_peer_costs_it_nothing(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        b = fleet.node("b")
        for number in range(20):
            data = forge(own(fleet.node("a")), own(b), ParcelType.MAIL, [mail(fleet, number)])
            await refused(b, data[:-9] + bytes(9), "refused_forged")
        assert b.conduct.experience("a").threats == 0
        await honest_still_flows(fleet)


# --- attack 24 -------------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_budget_is_not_evaded_by_replays_splits_roads_restarts_or_clocks(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        b = fleet.node("b")
        await b.oversight.set_budget("a", 100, None, None, 900_000)
        cost = Cost(tokens=30)
        pairs = [[mail(fleet, 2 * n, cost=cost), mail(fleet, 2 * n + 1, cost=cost)] for n in range(1, 6)]
        parcels = [forge(own(fleet.node("a")), own(b), ParcelType.MAIL, pair) for pair in pairs]
        for data, road in itertools.product(parcels, ("http", "nats")):
            await hand(b, data, road)
        for seconds in (86_400 * 2, -86_400 * 4, 3600):
            fleet.jump("b", seconds)
            for data in parcels:
                await hand(fleet.node("b"), data)
            await fleet.stop("b")
            await fleet.start("b")
        b = fleet.node("b")
        for data in parcels:
            await hand(b, data)
        assert b.reader.accounts.spent("a", IN).tokens == 90
        assert len(fleet.inbox("b")) == 3
        fresh = forge(own(fleet.node("a")), own(b), ParcelType.MAIL, [mail(fleet, 99, cost=Cost(tokens=11))])
        await hand(b, fresh)
        assert len(fleet.inbox("b")) == 3
        await asyncio.sleep(900)
        last = forge(own(fleet.node("a")), own(b), ParcelType.MAIL, [mail(fleet, 100, cost=Cost(tokens=100))])
        await hand(b, last)
        assert (len(fleet.inbox("b")), b.reader.accounts.spent("a", IN).tokens) == (4, 100)


@in_virtual_time
async def test_what_we_ask_of_a_peer_is_held_until_the_window_ends(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        a = fleet.node("a")
        await a.oversight.set_budget("b", 100, None, None, 600_000)
        began = fleet.net.time()
        first = await fleet.send("a", "b", cost={"tokens": 70})
        await fleet.until(lambda: fleet.state("a", first) == "received")
        second = await fleet.send("a", "b", cost={"tokens": 31})
        never = await fleet.send("a", "b", cost={"tokens": 101})
        await fleet.until(lambda: fleet.state("a", second) == "held")
        assert "31 tokens on top of 70 tokens" in fleet.row("a", second).reason
        assert fleet.state("a", never) == "refused"
        free = await fleet.send("a", "b")
        await fleet.until(lambda: fleet.state("a", free) == "received")
        await fleet.until(lambda: fleet.state("a", second) == "received", 700)
        assert fleet.net.time() - began >= 590


# --- the breaker -----------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_who_is_suspended_still_pings_and_gets_receipts_and_no_mail_passes(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        a = fleet.node("a")
        a.conduct.signal("b", Signal.OVERSPENT, "5.1 USD spent", OPERATOR)
        await a.conduct.keep()
        for sender, to in (("a", "b"), ("b", "a")):
            state, reason = await fate(fleet, sender, to)
            assert state == "refused"
            assert "PEER_SUSPENDED: b is suspended (5.1 USD spent); fleet reactivate b" in reason
        assert (await a.control.ping("b"))["ok"]
        assert (await fleet.node("b").control.ping("a"))["ok"]
        await asyncio.sleep(600)
        opened = a.conduct.breaker("b")
        assert opened.state.value == "suspended"
        a.conduct.breakers["b"] = replace(opened, since=opened.since - 86_400_000 + 700_000)
        await fleet.until(lambda: a.conduct.breaker("b").state.value == "evicted", 200)


@in_virtual_time
async def test_who_is_evicted_gets_no_pong_nor_mail_after_a_restart_either_until_an_operator_lets_it_in(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        waiting = await fleet.send("a", "b", ttl=60)
        await fleet.until(lambda: fleet.state("a", waiting) == "received")
        await fleet.node("a").oversight.evict("b", "it sold our keys")
        await fleet.stop("a")
        await fleet.start("a")
        assert not (await fleet.node("b").control.ping("a"))["ok"]
        out, back = await fleet.send("a", "b"), await fleet.send("b", "a")
        await asyncio.sleep(60)
        assert fleet.state("a", out) == "refused"
        assert fleet.state("b", back) not in ARRIVED
        assert fleet.inbox("a") == []
        assert len(fleet.inbox("b")) == 1  # from before
        await fleet.node("a").oversight.reactivate("b")
        await honest_still_flows(fleet)


@in_virtual_time
async def test_refusals_of_a_peer_suspend_it_and_silence_never_does(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        trusts(fleet, "b", "a", 1)
        a = fleet.node("a")
        for number in range(60):
            await fleet.send("a", "b", str(number))
        await fleet.until(lambda: a.conduct.breaker("b").state.value == "suspended", 60)
        assert "dealings failed" in a.conduct.breaker("b").reason
        await fleet.stop("a", "b")
    async with ground(home / "quiet", "ab") as fleet:
        await fleet.stop("b")
        ids = [await fleet.send("a", "b", str(number), ttl=120) for number in range(60)]
        await fleet.until(lambda: all(fleet.state("a", id) == "dead" for id in ids), 600)
        assert fleet.node("a").conduct.breaker("b").state.value == "active"
        await fleet.start("b")


@in_virtual_time
async def test_a_cost_beyond_what_any_message_may_cost_is_a_proof_against_its_author(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        b = fleet.node("b")
        for cost in ({"tokens": 10**9 + 1}, {"micro_usd": -1}, {"tokens": 1.5}):
            words = json.loads(mail(fleet, 5)) | {"cost": cost}
            item = json.dumps(words, separators=(",", ":")).encode()
            await hand(b, forge(own(fleet.node("a")), own(b), ParcelType.MAIL, [item]))
        assert fleet.inbox("b") == []
        assert b.conduct.experience("a").threats == 3
        assert b.reader.accounts.spent("a", IN).tokens == 0
        assert isinstance(envelope(fleet).cost, Cost)
        assert Kind("x").trust == 2
