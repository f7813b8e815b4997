"""Attacks 1 and 2: flipped bits, random forgeries, signatures of every wrong length, at every door. More: campaign."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.core import policy, sealing
from fleet.core.parcel import ParcelType
from fleet.core.receipt import Receipt
from fleet.engine.identity import system_item
from fleet.errors import WireError
from tests.identity.ground import (
    bare,
    forge,
    ground,
    hand,
    honest_still_flows,
    in_virtual_time,
    mail,
    own,
    ping,
    settled,
    truth,
)
from tests.support.fleet import Fleet

DOORS = (("nats", True, True), ("http", True, True), ("ssh", False, True), ("git", False, False))
FLIPS = 400  # of every kind of parcel in each run, besides every bit of the head; all of them: tests.campaign identity


def parcels(fleet: Fleet) -> dict[str, bytes]:
    """Three honest parcels of b to a, never sent: mail, ping, receipt; with their intro, the largest surface."""
    a, b = own(fleet.node("a")), own(fleet.node("b"))
    receipt = system_item(Receipt(pid="0" * 32, road="nats"))
    return {
        "mail": forge(b, a, ParcelType.MAIL, [mail(fleet)], intro=b.intro),
        "ping": forge(b, a, ParcelType.PING, [ping()]),
        "receipt": forge(b, a, ParcelType.RECEIPT, [receipt], intro=b.intro),
    }


def flipped(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


def _sample(data: bytes) -> Iterator[int]:
    """Every bit of the head and of the signature, and as many again anywhere."""
    head, whole = 8 * 21, 8 * len(data)
    yield from range(head)
    yield from range(whole - 512, whole)
    yield from random.Random(1).sample(range(head, whole - 512), FLIPS)


@pytest.mark.parametrize("kind", ["mail", "ping", "receipt"])
def test_a_parcel_with_one_bit_flipped_is_accepted_by_no_door(kind: str) -> None:
    @in_virtual_time
    async def told(home: Path) -> None:
        async with ground(home, "ab") as fleet:
            await settled(fleet)
            node = fleet.node("a")
            honest = bare(parcels(fleet)[kind])
            before, refusals = truth(node), _refusals(fleet)
            bits = list(_sample(honest))
            for bit in bits:
                answer = await hand(node, flipped(honest, bit), "git", framed=False, replies=False)
                assert (answer.kind.value, answer.data) == ("none", b""), bit
            framed = parcels(fleet)[kind]
            for bit in range(8 * 38):  # the hop frame's own bits; beyond it the tag covers every one
                answer = await hand(node, flipped(framed, bit), "http")
                assert (answer.kind.value, answer.data) == ("none", b""), bit
            assert _refusals(fleet) - refusals == len(bits) + 8 * 38
            assert truth(node) == before
            await honest_still_flows(fleet)

    told()


def test_every_bit_of_a_small_parcel_is_covered_by_its_signature() -> None:
    @in_virtual_time
    async def told(home: Path) -> None:
        async with ground(home, "ab") as fleet:
            await settled(fleet)
            node = fleet.node("a")
            honest = bare(parcels(fleet)["ping"])
            opener = node.attempts._opener
            assert opener.open(honest, framed=False).peer.id == "b"
            accepted = 0
            for bit in range(8 * len(honest)):
                try:
                    opener.open(flipped(honest, bit), framed=False)
                except WireError:
                    continue
                accepted += 1
            assert accepted == 0

    told()


@in_virtual_time
async def test_random_forgeries_get_in_nowhere(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        await settled(fleet)
        node, dice = fleet.node("a"), random.Random(2)
        seeds = [bare(data) for data in parcels(fleet).values()]
        before = truth(node)
        for road, framed, replies in DOORS:
            for number in range(150):
                data = scribbled(seeds[number % 3], dice)
                if framed and number % 2:
                    data = sealing.frame(node.ring.fleet_keys[0], data)  # a member's doing: the tag is right
                answer = await hand(node, data, road, framed=framed, replies=replies)
                assert (answer.kind.value, answer.data) == ("none", b"")
        assert truth(node) == before
        await honest_still_flows(fleet)


def scribbled(data: bytes, dice: random.Random) -> bytes:
    """Something like a parcel: noise, several bits flipped, a piece cut out, doubled or from elsewhere."""
    way = dice.randrange(5)
    at, end = sorted((dice.randrange(len(data)), dice.randrange(len(data))))
    if way == 0:
        return dice.randbytes(dice.randrange(1, 2000))
    if way == 1:
        for _ in range(dice.randrange(2, 20)):
            data = flipped(data, dice.randrange(8 * len(data)))
        return data
    if way == 2:
        return data[:at] + data[end + 1 :]
    if way == 3:
        return data[:at] + data[at:end] * 2 + data[end:] + b"\0"
    return data[:at] + dice.randbytes(end - at + 1) + data[end + 1 :]


@in_virtual_time
async def test_a_signature_of_every_wrong_length_is_refused(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        await settled(fleet)
        node = fleet.node("a")
        before = truth(node)
        for data in parcels(fleet).values():
            signed, signature = bare(data)[:-64], bare(data)[-64:]
            for length in [*range(64), *range(65, 130), 1000]:
                wrong = signed + (signature * 20)[:length]
                for road, framed, replies in DOORS:
                    framed_data = sealing.frame(node.ring.fleet_keys[0], wrong) if framed else wrong
                    answer = await hand(node, framed_data, road, framed=framed, replies=replies)
                    assert (answer.kind.value, answer.data) == ("none", b""), (road, length)
        assert truth(node) == before
        await honest_still_flows(fleet)


@in_virtual_time
async def test_lengths_that_lie_and_parcels_cut_anywhere_are_refused(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        await settled(fleet)
        node = fleet.node("a")
        honest = bare(parcels(fleet)["mail"])
        before = truth(node)
        for at, width in ((13, 2), (15, 2), (17, 4)):
            for lie in (0, 1, (1 << 8 * width) - 1, 1 << (8 * width - 1)):
                data = honest[:at] + lie.to_bytes(width, "big") + honest[at + width :]
                if data != honest:
                    assert (await hand(node, data, "git", framed=False, replies=False)).kind.value == "none"
        for end in range(0, len(honest), 7):
            assert (await hand(node, honest[:end], "git", framed=False, replies=False)).kind.value == "none"
        assert (await hand(node, honest + b"\0", "git", framed=False, replies=False)).kind.value == "none"
        assert (await hand(node, bytes(policy.PARCEL_LIMIT + 1), "git", framed=False, replies=False)).kind.value == "none"
        assert truth(node) == before


def _refusals(fleet: Fleet) -> int:
    return sum(n for name, n in fleet.node("a").exchange.counters.items() if name.startswith("refused_"))
