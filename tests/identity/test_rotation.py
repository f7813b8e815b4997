"""Keys that change while mail is under way: nothing lost, nothing twice, also for who was away for a month."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fleet.core import policy, sealing
from fleet.core.parcel import ParcelType
from fleet.core.peer import Renewal, write_frame
from fleet.errors import NoIdentity, UsageError
from fleet.store.keys import KeyRing
from tests.identity.ground import (
    bodies,
    forge,
    ground,
    hand,
    honest_still_flows,
    in_virtual_time,
    mail,
    own,
    refused,
    settled,
)
from tests.support.enrolment import paths_at
from tests.support.fleet import Fleet
from tests.support.weather import Weather

DAY = 86_400.0
PAIRS = list(itertools.permutations("abc", 2))


async def rotate(fleet: Fleet, name: str, what: str) -> None:
    """Rotate and wait until the new key is in force; a node that starts anew with it is started anew."""
    node = fleet.node(name)
    await node.rotation.rotate(what)
    if what == "sign":
        await fleet.until(lambda: node.ring.pending_signing() is None)
    if what == "nats":
        await node.run_until_stopped()
        assert node.renewed
        await fleet.stop(name)
        await fleet.start(name)


async def sleep_all(fleet: Fleet, seconds: float) -> None:
    """Every machine is switched off for a while: only the roads go on."""
    running = list(fleet.lives)
    await fleet.stop()
    await asyncio.sleep(seconds)
    await fleet.start(*running)


async def _flood(fleet: Fleet, count: int, sent: list[tuple[str, str, str]]) -> None:
    """Send over each road by turns, in every direction."""
    for number in range(count):
        sender, to = PAIRS[number % 6]
        road = ("nats", "http", "git", "")[number // 6 % 4]
        while sender not in fleet.lives:
            await asyncio.sleep(0.05)
        id = await fleet.send(sender, to, f"m{number}", **({"channel": road} if road else {}))
        sent.append((sender, to, id))
        await asyncio.sleep(0.05)


@in_virtual_time
async def test_a_thousand_messages_survive_the_rotation_of_every_key_of_every_node(home: Path) -> None:
    async with ground(home, roads=("nats", "http", "git")) as fleet:
        fleet.net.sky.set("*", "*", "git", Weather(delay=DAY))
        sent: list[tuple[str, str, str]] = []
        flood = asyncio.ensure_future(_flood(fleet, 1_000, sent))
        old = {name: fleet.node(name).rotation.show() for name in "abc"}
        for what in ("seal", "sign", "fleet", "nats", "seal", "sign", "fleet"):
            for name in "cab":
                if what != "fleet" or name == "a":
                    await rotate(fleet, name, what)
                    await asyncio.sleep(1)
        await flood
        for name in "abc":
            new = fleet.node(name).rotation.show()
            assert {key for key in ("sign", "seal", "nats") if new[key] == old[name][key]} == set()
        assert sum(fleet.state(sender, id) != "received" for sender, _, id in sent) >= 200, "on the slow road"
        await sleep_all(fleet, DAY)
        await asyncio.sleep(300)
        await sleep_all(fleet, DAY)  # what was signed two keys ago counts no more: its road's patience sends it again
        await fleet.until(lambda: all(fleet.state(sender, id) == "received" for sender, _, id in sent), 600, 5)
        for name in "abc":
            assert sorted(one.id for one in fleet.inbox(name)) == sorted(id for _, to, id in sent if to == name)
        for name in "abc":
            assert [key for key in fleet.node(name).exchange.counters if key.startswith(("proof", "alarm"))] == []
        await honest_still_flows(fleet)


@in_virtual_time
async def test_everybody_ends_up_framing_with_the_newest_fleet_key(home: Path) -> None:
    async with ground(home, roads=("nats", "http")) as fleet:
        await settled(fleet)
        before = own(fleet.node("a")).fleet_keys[0].reveal()
        await rotate(fleet, "a", "fleet")
        newest = own(fleet.node("a")).fleet_keys[0].reveal()
        assert newest != before

        def framed_new() -> bool:
            return all(
                sealing.unframe(own(fleet.node(other)).fleet_keys[:1], fleet.node(name).hops.wrap(other, b"x")) == ((), b"x")
                for name, other in PAIRS
                if own(fleet.node(other)).fleet_keys[0].reveal() == newest == own(fleet.node(name)).fleet_keys[0].reveal()
            ) and all(own(fleet.node(name)).fleet_keys[0].reveal() == newest for name in "abc")

        def all_new() -> bool:
            try:
                return framed_new()
            except sealing.Forged:
                return False

        await fleet.until(all_new, 120)
        await honest_still_flows(fleet)


async def _delayed(fleet: Fleet, rotations: int) -> int:
    """A parcel that is a day on its way while its addressee takes new opening keys; gives how many parcels it took."""
    fleet.net.sky.set("a", "b", "git", Weather(delay=DAY))
    id = await fleet.send("a", "b", "slow", channel="git")
    await asyncio.sleep(60)
    fleet.net.sky.clear()
    for _ in range(rotations):
        await rotate(fleet, "b", "seal")
        await asyncio.sleep(30)
    await sleep_all(fleet, DAY)
    await fleet.until(lambda: fleet.state("a", id) == "received", 600, 5)
    assert bodies(fleet, "b").count("slow") == 1
    row = fleet.row("a", id).row
    parcels = fleet.node("a").store.db.conn.execute("SELECT count(*) FROM parcel WHERE rows = ?", (f"[{row}]",)).get
    return int(parcels)


@pytest.mark.parametrize("rotations", [1, 2])
def test_a_parcel_sealed_to_an_older_key_still_opens_after(rotations: int) -> None:
    @in_virtual_time
    async def told(home: Path) -> None:
        async with ground(home, "ab", roads=("nats", "http", "git"), config=_patient()) as fleet:
            await settled(fleet)
            assert await _delayed(fleet, rotations) == 1, "the first copy was opened"

    told()


@in_virtual_time
async def test_a_parcel_sealed_three_keys_ago_is_asked_for_anew_and_arrives_once(home: Path) -> None:
    async with ground(home, "ab", roads=("nats", "http", "git"), config=_patient()) as fleet:
        await settled(fleet)
        assert await _delayed(fleet, 3) == 2, "one that nobody can open any more, and one sealed anew"


def _patient() -> dict[str, str]:
    """The git road may keep a parcel for two days before it is sent again."""
    return {"a": "[channel.git]\npatience = 172800\n"}


@in_virtual_time
async def test_a_member_that_was_away_for_a_month_catches_up_by_itself(home: Path) -> None:
    """It missed two fleet keys, two certificates of the root's node, one of another member, a revocation, all manifests."""
    async with ground(home, "abcd", roads=("nats", "http")) as fleet:
        await settled(fleet)
        await fleet.stop("c")
        for what in ("sign", "seal", "fleet", "sign", "fleet"):
            await rotate(fleet, "a", what)
            await asyncio.sleep(10)
            await sleep_all(fleet, 2 * DAY)
        await rotate(fleet, "b", "sign")
        await fleet.node("a").revoking.revoke("d")
        await asyncio.sleep(10)
        await sleep_all(fleet, 20 * DAY)
        waiting = await fleet.send("b", "c", "written meanwhile")
        await fleet.start("c")
        took = await fleet.until(lambda: own(fleet.node("c")).fleet_keys[0].reveal() ==
                                 own(fleet.node("a")).fleet_keys[0].reveal(), 300)  # fmt: skip
        await fleet.until(lambda: fleet.node("c").roster.revoked("d"), 300)
        await fleet.until(lambda: fleet.node("c").roster.known() == fleet.node("a").roster.known(), 300)
        assert took < 120
        await honest_still_flows(fleet, ("a", "c"), ("c", "a"), ("b", "c"), ("c", "b"))
        assert fleet.state("b", waiting) == "received"
        assert "written meanwhile" in bodies(fleet, "c")


@in_virtual_time
async def test_a_member_that_never_heard_the_answer_to_its_wish_gets_it_after_six_days_off(home: Path) -> None:
    async with ground(home, "ab", roads=("http",)) as fleet:
        await settled(fleet)
        fleet.net.sky.set("a", "b", "http", Weather(hole=True))  # the root hears the wish, its answer is lost
        await fleet.node("b").rotation.rotate("sign")
        old = fleet.node("b").ring.signing.public
        await asyncio.sleep(5)
        fleet.net.sky.clear()
        await sleep_all(fleet, 6 * DAY)
        await fleet.until(lambda: fleet.node("b").ring.pending_signing() is None, 600)
        assert fleet.node("b").ring.signing.public != old
        await honest_still_flows(fleet)
        assert fleet.node("b").ring.signing.public == own_key(fleet, "a", "b")


def own_key(fleet: Fleet, at: str, of: str) -> bytes:
    peer = fleet.node(at).roster.get(of)
    assert peer is not None
    return peer.key


# --- a crash between two steps --------------------------------------------------------------------------------------------


async def _made(fleet: Fleet) -> None:
    """sign.next is written, nobody was asked."""
    fleet.node("b").ring.next_signing(fleet.node("b").world.dice)


async def _asked(fleet: Fleet) -> None:
    """The wish is on its way, or answered by nobody yet."""
    fleet.net.sky.set("a", "b", "*", Weather(hole=True))
    await fleet.node("b").rotation.rotate("sign")
    await asyncio.sleep(2)


async def _certified(fleet: Fleet) -> None:
    """The certificate is stored, the key is not in force."""
    node = fleet.node("b")
    node.ring.next_signing(node.world.dice)
    pending = node.ring.pending_signing()
    root = fleet.node("a").ring.root
    assert pending is not None
    assert root is not None
    frame = fleet.node("a").rotation._certify(root, "b", pending.public)
    serial = fleet.node("b").roster.me.read_certificate().serial + 1_000_000
    await node.writer.run(lambda store: store.members.put_certificate("b", serial, frame))


async def _half_taken(fleet: Fleet) -> None:
    """sign.key holds the new key, sign.next was not removed."""
    await _certified(fleet)
    directory = paths_at(fleet.directory / "b").keys
    (directory / "sign.key").write_bytes((directory / "sign.next").read_bytes())


STEPS: dict[str, Callable[[Fleet], Awaitable[None]]] = {
    "the next key was written": _made, "the root was asked": _asked, "the certificate was stored": _certified,
    "the key was half in force": _half_taken,
}  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_in_the_middle_of_a_rotation_is_made_good_when(step: str) -> None:
    @in_virtual_time
    async def told(home: Path) -> None:
        async with ground(home, "ab", roads=("nats", "http")) as fleet:
            await settled(fleet)
            old = fleet.node("b").ring.signing.public
            await STEPS[step](fleet)
            await fleet.crash("b")
            fleet.net.sky.clear()
            await fleet.start("b")
            await fleet.until(lambda: fleet.node("b").ring.pending_signing() is None, 600)
            new = fleet.node("b").ring.signing.public
            assert new != old
            await fleet.until(lambda: own_key(fleet, "a", "b") == new, 600)
            assert fleet.node("b").roster.me.read_certificate().key == new
            await honest_still_flows(fleet)
            reloaded = KeyRing.load(paths_at(fleet.directory / "b").keys)
            assert (reloaded.signing.public, reloaded.pending_signing()) == (new, None)

    told()


@pytest.mark.parametrize("ahead", [1, 2, 3])
@pytest.mark.parametrize("after", [False, True])
def test_the_root_node_crashes_at_any_commit_of_its_own_rotation(ahead: int, after: bool) -> None:
    @in_virtual_time
    async def told(home: Path) -> None:
        async with ground(home, "ab", roads=("nats", "http")) as fleet:
            await settled(fleet)
            fleet.crash_at_commit("a", ahead, after=after)
            rotation = asyncio.ensure_future(fleet.node("a").rotation.rotate("sign"))
            await fleet.until(lambda: "a" not in fleet.lives, 120)
            await asyncio.gather(rotation, return_exceptions=True)
            await fleet.start("a")
            await honest_still_flows(fleet)
            await rotate(fleet, "a", "sign")
            await honest_still_flows(fleet)

    told()


# --- what a retired key may still do --------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_retired_signing_key_is_believed_for_eight_days_and_may_not_wish_for_another(home: Path) -> None:
    async with ground(home, "ab", roads=("nats", "http")) as fleet:
        await settled(fleet)
        a, thief = own(fleet.node("a")), own(fleet.node("b"))  # the key as it was stolen
        await rotate(fleet, "b", "sign")
        await fleet.until(lambda: own_key(fleet, "a", "b") != thief.signing.public, 120)
        serial = own(fleet.node("b")).read_certificate().serial
        fresh = sealing.signing_key(b"the thief's own signing key, 32.")
        for number in (serial, thief.read_certificate().serial):
            wish = Renewal(v=1, fleet="simfleet", node="b", key=fresh.public, serial=number)
            data = forge(thief, a, ParcelType.CERTIFICATE, [write_frame(wish, fresh)])
            await refused(fleet.node("a"), data, "proof_certificate")
        slow = forge(thief, a, ParcelType.MAIL, [mail(fleet, 1)])
        assert (await hand(fleet.node("a"), slow)).data != b"", "mail that was on a slow road"
        fleet.jump("a", policy.PREVIOUS_KEY_LIFE / 1000 + 60)
        fleet.jump("b", policy.PREVIOUS_KEY_LIFE / 1000 + 60)
        await refused(fleet.node("a"), forge(thief, a, ParcelType.MAIL, [mail(fleet, 2)]), "refused_forged")
        with_intro = forge(thief, a, ParcelType.MAIL, [mail(fleet, 3)], intro=thief.intro)
        await refused(fleet.node("a"), with_intro, "refused_forged")
        await honest_still_flows(fleet)


@in_virtual_time
async def test_serials_rise_although_the_clock_was_set_back(home: Path) -> None:
    async with ground(home, "ab", roads=("nats", "http")) as fleet:
        await settled(fleet)
        await rotate(fleet, "a", "fleet")
        await rotate(fleet, "b", "sign")
        for name in "ab":
            fleet.jump(name, -30 * DAY)
        for what in ("sign", "seal"):
            await rotate(fleet, "b", what)
            await rotate(fleet, "a", what)
        await rotate(fleet, "a", "fleet")
        await fleet.until(lambda: fleet.node("a").roster.known() == fleet.node("b").roster.known(), 300)
        newest = own(fleet.node("a")).fleet_keys[0].reveal()
        await fleet.until(lambda: own(fleet.node("b")).fleet_keys[0].reveal() == newest, 300)
        await fleet.stop("a", "b")
        await fleet.start("a", "b")
        await honest_still_flows(fleet)


@in_virtual_time
async def test_only_the_root_s_node_gives_out_fleet_keys_and_an_unknown_kind_is_told(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        with pytest.raises(NoIdentity):
            await fleet.node("b").rotation.rotate("fleet")
        with pytest.raises(UsageError, match="sign, seal, nats, fleet"):
            await fleet.node("b").rotation.rotate("root")
