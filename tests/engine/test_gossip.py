"""How members learn of each other: compare, tell what is missing, not too often, believe the root alone."""

import asyncio
from collections.abc import Awaitable, Callable

from fleet.core import policy
from fleet.core.parcel import ParcelType
from fleet.core.peer import Revocation, write_frame
from fleet.engine.gossip import Gossip, Letter
from fleet.engine.introductions import Introductions
from fleet.engine.roster import Roster
from tests.engine.parts import FLEET, ROOT, identity, roster, world
from tests.support import virtual


def told(here: Roster, story: Callable[[Gossip], Awaitable[None]]) -> list[Letter]:
    """Run a story with the gossip of a roster's owner; gives the letters it sent."""
    letters: list[Letter] = []

    async def run() -> None:
        gossip = Gossip(here, world())
        gossip.post = letters.append
        await asyncio.sleep(100.0)
        await story(gossip)

    virtual.run(run())
    return letters


def compare(here: Roster, known: str, revocation: int = 0) -> list[Letter]:
    async def story(gossip: Gossip) -> None:
        peer = here.get("b")
        assert peer is not None
        gossip.compare(peer, known, revocation)

    return told(here, story)


def test_a_ping_carries_what_this_node_knows() -> None:
    async def story(gossip: Gossip) -> None:
        ping = gossip.ping("0" * 32)
        assert (ping.certificate, ping.manifest, ping.revocation, ping.known) == (1, 1, 0, here.known())
        assert gossip.pong("0" * 32) == ping

    here = roster("a", "b")
    told(here, story)


def test_members_that_know_the_same_have_nothing_to_say() -> None:
    assert compare(roster("a", "b", "c"), roster("b", "a", "c").known()) == []


def test_a_difference_sends_everything_but_what_the_peer_wrote_itself() -> None:
    (letter,) = compare(roster("a", "b", "c"), roster("b", "a").known())
    assert (letter.peer, letter.kind) == ("b", ParcelType.MANIFEST)
    assert letter.items == (identity("a").intro, identity("c").intro)


def test_a_peer_is_told_only_now_and_then() -> None:
    here = roster("a", "b", "c")

    async def story(gossip: Gossip) -> None:
        peer = here.get("b")
        assert peer is not None
        for _ in range(3):
            gossip.compare(peer, "0" * 16, 0)
        await asyncio.sleep(policy.GOSSIP_PAUSE)
        gossip.compare(peer, "0" * 16, 0)

    assert len(told(here, story)) == 2


def test_a_peer_behind_the_revocation_list_gets_it() -> None:
    here = roster("a", "b")
    frame = write_frame(Revocation(v=1, fleet=FLEET, version=3, nodes={"c": 9}), ROOT)
    here.revoke(frame)
    first, second = compare(here, here.known(), revocation=2)
    assert (first.kind, first.items) == (ParcelType.REVOCATION, (frame,))
    assert second.kind is ParcelType.MANIFEST
    assert compare(here, here.known(), revocation=3) == []


def test_a_large_fleet_is_told_in_letters_every_road_takes() -> None:
    here = roster("a", "b", *(f"n{number}" for number in range(130)))
    letters = compare(here, "0" * 16)
    assert [len(letter.items) for letter in letters] == [64, 64, 3]


def test_what_is_told_is_believed_only_when_the_root_signed_it() -> None:
    here = roster("a", "b")
    heard: list[str] = []

    async def story(gossip: Gossip) -> None:
        gossip.on_learned = heard.append
        news, false = gossip.learn([identity("c").intro, identity("d", root=identity("x").signing).intro, b"junk"])
        assert [one.node for one in news] == ["c"]
        assert len(false) == 2
        assert gossip.learn([identity("c").intro]) == ([], [])

    told(here, story)
    assert here.member("c") and not here.member("d")


def test_a_newer_revocation_list_is_taken_in_once() -> None:
    here = roster("a", "b", "c")
    frame = write_frame(Revocation(v=1, fleet=FLEET, version=3, nodes={"c": 9}), ROOT)
    came: list[bytes] = []

    async def story(gossip: Gossip) -> None:
        async def note(found: bytes) -> None:
            came.append(found)

        await gossip.revoke(frame)
        gossip.on_revoked = note
        await gossip.revoke(frame)
        newer = write_frame(Revocation(v=1, fleet=FLEET, version=4, nodes={"c": 9}), ROOT)
        await gossip.revoke(newer)
        assert came == [newer]

    told(here, story)
    assert not here.member("c")


def test_the_intro_goes_along_until_it_was_answered_and_after_a_walk_that_was_not() -> None:
    here = roster("a", "b")
    introductions = Introductions(here)
    assert introductions.due("b")
    introductions.walked("b", answered=True)
    assert not introductions.due("b") and introductions.due("c")
    introductions.walked("b", answered=False)
    assert introductions.due("b")
    introductions.walked("b", answered=True)
    here.me = identity("a", manifest_serial=2)
    assert introductions.due("b")
