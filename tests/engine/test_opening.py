"""Opening what comes in: the order of the questions, hop frames of the keys in force, one turn after another."""

import asyncio
from dataclasses import replace

import pytest

from fleet.core import sealing
from fleet.core.sealing import Secret
from fleet.engine.hops import Hops
from fleet.engine.opening import Opener
from fleet.engine.roster import Roster
from fleet.engine.turns import Turns
from fleet.errors import Forged, Malformed, Unopened, WrongFleet
from tests.engine.parts import FLEET_KEY, identity, opener, parcel_of, roster
from tests.support import virtual

OLD, NEW = Secret(b"\x08" * 32), Secret(b"\x09" * 32)


def test_a_parcel_of_a_member_opens_into_its_items() -> None:
    opened = opener(roster("b", "a")).open(parcel_of(roster("a", "b"), "b").data, framed=False)
    assert (opened.peer.id, opened.header.to, opened.type.name, opened.via) == ("a", "b", "MAIL", ())
    assert opener(roster("b", "a")).items(opened) == [b"an item"]


def test_a_parcel_for_somebody_else_is_not_unsealed() -> None:
    relay = opener(roster("c", "a", "b"))
    opened = relay.open(parcel_of(roster("a", "b"), "b").data, framed=False)
    with pytest.raises(WrongFleet):
        relay.items(opened)


def test_what_was_sealed_to_a_key_that_is_gone_stays_closed() -> None:
    a, b = roster("a", "b"), roster("b", "a")
    opened = opener(b).open(parcel_of(a, "b").data, framed=False)
    b.me = replace(b.me, opening=(sealing.opening_key(b"\x05" * 32),))
    with pytest.raises(Unopened):
        opener(b).items(opened)


@pytest.mark.parametrize("sender", ["a", "b"])
def test_a_signer_nobody_knows_is_forged(sender: str) -> None:
    with pytest.raises(Forged):
        opener(roster("b")).open(parcel_of(roster("a", "b"), "b").data, framed=False)


def test_an_intro_makes_its_signer_known_only_with_a_good_signature() -> None:
    a, b = roster("a", "b"), roster("b")
    data = parcel_of(a, "b", intro=True).data
    with pytest.raises(Forged):
        opener(b).open(data[:-1] + bytes([data[-1] ^ 1]), framed=False)
    assert "a" not in b
    assert opener(b).open(data, framed=False).learned is not None
    assert "a" in b


def test_another_fleets_parcel_is_refused() -> None:
    other = Roster(identity("a"), {}, {})
    other.learn(identity("b").intro)
    other.me = replace(other.me, fleet="other")
    with pytest.raises(WrongFleet):
        opener(roster("b", "a")).open(parcel_of(other, "b").data, framed=False)


def test_a_frame_opens_with_every_key_in_force_and_no_other() -> None:
    b = roster("b", "a")
    b.me = replace(b.me, fleet_keys=(NEW, OLD))
    data = parcel_of(roster("a", "b"), "b").data
    for key in (NEW, OLD):
        assert opener(b).open(sealing.frame(key, data, ("c",)), framed=True).via == ("c",)
    with pytest.raises(Forged):
        opener(b).open(sealing.frame(FLEET_KEY, data), framed=True)
    with pytest.raises(Malformed):
        opener(b).open(data, framed=True)


def test_a_member_that_was_away_is_spoken_to_in_the_key_it_knows() -> None:
    b = roster("b", "a")
    b.me = replace(b.me, fleet_keys=(NEW, OLD))
    hops, behind = Hops(b), []
    hops.on_behind = behind.append
    data = parcel_of(roster("a", "b"), "b").data
    assert hops.wrap("a", data) == sealing.frame(NEW, data)
    Opener(b, hops).open(sealing.frame(OLD, data), framed=True)
    assert hops.wrap("a", data) == sealing.frame(OLD, data)
    assert behind == ["a"]
    Opener(b, hops).open(sealing.frame(NEW, data), framed=True)
    assert hops.wrap("a", data) == sealing.frame(NEW, data)


def test_what_a_relay_framed_says_nothing_of_the_senders_key() -> None:
    b = roster("b", "a")
    b.me = replace(b.me, fleet_keys=(NEW, OLD))
    hops = Hops(b)
    data = parcel_of(roster("a", "b"), "b").data
    Opener(b, hops).open(sealing.frame(OLD, data, ("c",)), framed=True)
    assert hops.wrap("a", data) == sealing.frame(NEW, data)


def test_peers_can_be_held_at_an_older_key() -> None:
    b = roster("b", "a")
    b.me = replace(b.me, fleet_keys=(NEW, OLD))
    hops = Hops(b)
    hops.hold(["a"], OLD)
    assert hops.wrap("a", b"x") == sealing.frame(OLD, b"x")
    b.me = replace(b.me, fleet_keys=(NEW,))
    assert hops.wrap("a", b"x") == sealing.frame(NEW, b"x")


def test_turns_are_given_in_order_and_end_once() -> None:
    async def story() -> list[int]:
        turns, order = Turns(), []

        async def one(number: int) -> None:
            turn = await turns.take()
            order.append(number)
            await asyncio.sleep(1.0)
            turn.end()
            turn.end()

        await asyncio.gather(*(one(number) for number in range(5)))
        assert asyncio.get_running_loop().time() == 5.0
        return order

    assert virtual.run(story()) == [0, 1, 2, 3, 4]
