"""Everything that comes in: nobody is answered who is not authenticated, nothing takes effect twice, no goes home too."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fleet.core import policy, sealing
from fleet.core.channel import Answer, AnswerKind
from fleet.core.parcel import ParcelType
from fleet.core.receipt import Fate, read_ping
from fleet.engine.gossip import Letter
from fleet.engine.identity import Order, system_item, write_parcel
from tests.engine.doors import Door, at_the_door, mail, parcel
from tests.engine.parts import identity
from tests.support import virtual

NOTHING = Answer(AnswerKind.NONE)


def test_mail_is_filed_and_answered_envelope_by_envelope(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        answer = door.receipt(await door.bare(parcel(door.a, "b", [mail(1), mail(2)])))
        assert [(entry.seq, entry.fate) for entry in answer.entries] == [(1, Fate.STORED), (2, Fate.STORED)]
        assert [one.id for one in door.tale.fleet.inbox("b")] == [f"{1:032x}", f"{2:032x}"]
        assert door.counted["received"] == 2

    at_the_door(tmp_path, story)


def test_the_same_parcel_again_has_no_effect_and_the_same_answer(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        data = parcel(door.a, "b", [mail(1)])
        await door.bare(data)
        for deliver in (door.bare, door.bare):
            answer = door.receipt(await deliver(data))
            assert [entry.fate for entry in answer.entries] == [Fate.DUPLICATE]
        assert len(door.tale.fleet.inbox("b")) == door.counted["received"] == 1

    at_the_door(tmp_path, story)


def test_a_framed_road_is_answered_in_a_frame(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        key = door.b.roster.me.fleet_keys[0]
        answer = await door.framed(sealing.frame(key, parcel(door.a, "b", [mail(1)])))
        via, inner = sealing.unframe((key,), answer.data)
        assert via == () and inner[:4] == b"FLT1"

    at_the_door(tmp_path, story)


def _of_a_stranger(door: Door) -> bytes:
    peer = door.a.roster.get("b")
    assert peer is not None
    stranger = identity("a", fleet=door.a.roster.me.fleet)
    return write_parcel(stranger, peer, [mail()], Order(ParcelType.MAIL, 2_000_000_000_000, intro=True), door.a.world).data


def _in_anothers_name(door: Door) -> bytes:
    peer = door.a.roster.get("b")
    assert peer is not None
    liar = replace(door.a.roster.me, node="c")
    return write_parcel(liar, peer, [mail()], Order(ParcelType.MAIL, 2_000_000_000_000), door.a.world).data


def _flipped(door: Door) -> bytes:
    data = parcel(door.a, "b", [mail()])
    return data[:200] + bytes([data[200] ^ 1]) + data[201:]


UNAUTHENTICATED: dict[str, Callable[[Door], bytes]] = {
    "nothing": lambda door: b"",
    "junk": lambda door: b"GET / HTTP/1.1\r\n\r\n",
    "a stranger": _of_a_stranger,
    "a member in another's name": _in_anothers_name,
    "a flipped bit": _flipped,
    "a cut parcel": lambda door: parcel(door.a, "b", [mail()])[:-1],
    "a parcel too much": lambda door: parcel(door.a, "b", [mail()]) * 2,
}


@pytest.mark.parametrize("name", UNAUTHENTICATED)
def test_nobody_is_answered_who_is_not_authenticated(tmp_path: Path, name: str) -> None:
    async def story(door: Door) -> None:
        for deliver in (door.bare, door.box, door.framed):
            assert await deliver(UNAUTHENTICATED[name](door)) == NOTHING
        assert sum(count for counter, count in door.counted.items() if counter.startswith("refused_")) == 3
        assert door.tale.fleet.inbox("b") == []

    at_the_door(tmp_path, story)


def test_a_bare_parcel_on_a_framed_road_is_not_answered(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        assert await door.framed(parcel(door.a, "b", [mail()])) == NOTHING

    at_the_door(tmp_path, story)


def test_a_parcel_signed_around_false_contents_counts_against_its_signer(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        answer = door.receipt(await door.bare(parcel(door.a, "b", [b"not an envelope", mail(2)])))
        assert (answer.fate, answer.entries) == (Fate.REFUSED, ())
        assert door.counted["proof_malformed"] == 1
        assert door.tale.fleet.inbox("b") == []

    at_the_door(tmp_path, story)


def test_what_is_sealed_to_a_key_that_is_gone_is_asked_for_anew(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        peer = door.a.roster.get("b")
        assert peer is not None
        old = replace(peer, seal=sealing.opening_key(b"\x05" * 32).public)
        data = write_parcel(
            door.a.roster.me, old, [mail()], Order(ParcelType.MAIL, door.a.world.now() + 1000, inc=5), door.a.world
        ).data
        answer = await door.bare(data)
        found = door.receipt(answer)
        assert (found.fate, found.reason) == (Fate.LATER, "re-seal")
        assert door.b.roster.me.intro in answer.data
        assert await door.box(data) == Answer(AnswerKind.CUSTODY)

    at_the_door(tmp_path, story)


def test_expired_mail_is_answered_so_and_not_filed(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        late = mail(1, exp=int(virtual.EPOCH * 1000) - 1)
        answer = door.receipt(await door.bare(parcel(door.a, "b", [late])))
        assert [entry.fate for entry in answer.entries] == [Fate.EXPIRED]
        assert door.tale.fleet.inbox("b") == []

    at_the_door(tmp_path, story)


@pytest.mark.parametrize(("type", "level", "fate"), [("message", 1, Fate.REFUSED), ("message", 2, Fate.STORED),
                                                     ("task", 2, Fate.REFUSED), ("task", 3, Fate.STORED)])  # fmt: skip
def test_the_receivers_own_level_decides(tmp_path: Path, type: str, level: int, fate: Fate) -> None:
    async def story(door: Door) -> None:
        door.b.exchange.levels["a"] = level
        answer = door.receipt(await door.bare(parcel(door.a, "b", [mail(1, type=type)])))
        assert [entry.fate for entry in answer.entries] == [fate]

    at_the_door(tmp_path, story)


TOO_LARGE = {"text": "x" * (policy.MESSAGE_LIMIT + 1), "object": {"text": "x" * policy.MESSAGE_LIMIT}}


@pytest.mark.parametrize("kind", TOO_LARGE)
def test_a_body_over_the_limit_is_refused_with_the_limit(tmp_path: Path, kind: str) -> None:
    async def story(door: Door) -> None:
        answer = door.receipt(await door.bare(parcel(door.a, "b", [mail(1, body=TOO_LARGE[kind])])))
        assert answer.entries[0].fate is Fate.REFUSED
        assert f"the limit is {policy.MESSAGE_LIMIT}" in answer.entries[0].reason

    at_the_door(tmp_path, story)


def test_mail_from_a_mailbox_is_taken_and_its_receipt_travels_by_itself(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        assert await door.box(parcel(door.a, "b", [mail(1)])) == Answer(AnswerKind.CUSTODY)
        await asyncio.sleep(0.1)
        assert [trip.to for trip in door.tale.sent("receipt")][:1] == ["a"]

    at_the_door(tmp_path, story)


def test_a_no_to_mail_from_a_mailbox_travels_by_itself_too(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        await door.bare(parcel(door.a, "b", [mail(1)]))
        disputed = parcel(door.a, "b", [mail(2, seq=1)])
        before = len(door.tale.sent("receipt"))
        assert await door.box(disputed) == Answer(AnswerKind.CUSTODY)
        await asyncio.sleep(0.1)
        assert len(door.tale.sent("receipt")) > before

    at_the_door(tmp_path, story)


def test_a_full_disk_answers_busy_and_proves_nothing(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        disk = door.tale.fleet.lives["b"].disk
        assert disk is not None
        disk.dead = True
        assert await door.bare(parcel(door.a, "b", [mail(1)])) == Answer(AnswerKind.BUSY, retry_after=policy.BUSY_RETRY)
        disk.dead = False
        answer = door.receipt(await door.bare(parcel(door.a, "b", [mail(1)])))
        assert [entry.fate for entry in answer.entries] == [Fate.STORED]

    at_the_door(tmp_path, story)


def test_too_many_at_the_door_are_busy(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        data = parcel(door.a, "b", [mail(1)])
        answers = await asyncio.gather(*(door.bare(data) for _ in range(policy.INGRESS_QUEUE + 10)))
        kinds = [answer.kind for answer in answers]
        assert kinds.count(AnswerKind.BUSY) == 10
        assert kinds.count(AnswerKind.SIGNED) == policy.INGRESS_QUEUE
        assert len(door.tale.fleet.inbox("b")) == 1

    at_the_door(tmp_path, story)


def test_a_member_is_learned_from_the_parcel_it_sends(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        c = door.tale.fleet.node("c")
        c.gossip.learn([door.b.roster.me.intro])
        assert "c" not in door.b.roster
        await door.bare(parcel(c, "b", [mail(1)], intro=True))
        assert "c" in door.b.roster
        assert door.b.reader.members.frames("c") is not None
        assert len(door.tale.fleet.inbox("b")) == 1

    at_the_door(tmp_path, story, strangers="c")




def test_a_ping_that_came_one_way_is_answered_by_a_pong_that_travels_by_itself(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        posted: list[Letter] = []
        door.b.gossip.post = posted.append
        ping = system_item(door.a.gossip.ping("5" * 32))
        assert await door.box(parcel(door.a, "b", [ping], ParcelType.PING)) == Answer(AnswerKind.CUSTODY)
        (letter,) = posted
        assert (letter.peer, letter.kind, read_ping(letter.items[0]).nonce) == ("a", ParcelType.PONG, "5" * 32)

    at_the_door(tmp_path, story)


def test_a_pong_that_comes_by_itself_is_told_to_whoever_asked(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        came: list[tuple[str, str]] = []
        door.b.gossip.on_pong = lambda peer, nonce: came.append((peer, nonce))
        pong = system_item(door.a.gossip.pong("5" * 32))
        for deliver in (door.bare, door.box):
            assert await deliver(parcel(door.a, "b", [pong], ParcelType.PONG)) == Answer(AnswerKind.CUSTODY)
        assert came == [("a", "5" * 32)] * 2

    at_the_door(tmp_path, story)
