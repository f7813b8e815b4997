"""Attacks 1 and 4: {3 nodes, 2 fleets} × {sign, seal, manifest, certificate, revocation} with one wrong part each."""

import dataclasses
import itertools
from pathlib import Path

from fleet.core import canonical, sealing
from fleet.core.channel import AnswerKind
from fleet.core.parcel import ParcelType
from fleet.core.peer import Certificate, FleetKey, Renewal, Revocation, join_intro, split_intro, write_frame
from fleet.core.receipt import Receipt
from fleet.engine.identity import system_item
from tests.identity.ground import (
    NOBODY,
    disguised,
    forge,
    ground,
    hand,
    honest_still_flows,
    in_virtual_time,
    mail,
    manifest_of,
    own,
    ping,
    refused,
    resigned,
    rewrapped,
    settled,
    truth,
)
from tests.support.fleet import Fleet

KINDS = (ParcelType.MAIL, ParcelType.PING, ParcelType.RECEIPT, ParcelType.MANIFEST, ParcelType.CERTIFICATE,
         ParcelType.REVOCATION)  # fmt: skip


def _item(fleet: Fleet, kind: ParcelType, number: int) -> bytes:
    """Something honest of each kind; what it says does not matter when the parcel around it is wrong."""
    if kind is ParcelType.MAIL:
        return mail(fleet, number)
    if kind is ParcelType.RECEIPT:
        return system_item(Receipt(pid="0" * 32, road="nats"))
    if kind is ParcelType.MANIFEST:
        return own(fleet.node("a")).intro
    return ping()


def _relays(fleet: Fleet, name: str) -> bool:
    return own(fleet.node(name)).read_certificate().role == "chief"


@in_virtual_time
async def test_only_the_right_signer_name_addressee_fleet_and_door_together_are_let_in(home: Path) -> None:
    async with ground(home) as fleet:
        await settled(fleet)
        wrong = 0
        for kind in KINDS:
            for signer, name, to, word, door in itertools.product("abc", "abc", "abc", ("simfleet", "away"), "abc"):
                if signer == name != door and word == "simfleet" and to != name and (to == door or _relays(fleet, door)):
                    continue  # the honest one, and what a chief keeps for others
                me, addressee = own(fleet.node(signer)), own(fleet.node(to))
                data = forge(me, addressee, kind, [_item(fleet, kind, wrong)], sender=name, fleet=word)
                forged = signer == door or signer != name
                expected = "refused_forged" if forged else "refused_wrong_fleet" if word == "away" else "refused_relay"
                await refused(fleet.node(door), data, expected)
                wrong += 1
        assert wrong >= 6 * (162 - 6 - 6)
        await honest_still_flows(fleet)


@in_virtual_time
async def test_another_fleet_of_the_same_name_with_the_same_node_names_is_nobody_here(home: Path) -> None:
    async with ground(home / "ours") as ours, ground(home / "theirs", seed="another") as theirs:
        await settled(ours)
        for sender, to in itertools.permutations("abc", 2):
            thief, victim = own(theirs.node(sender)), own(ours.node(to))
            for kind in KINDS:
                for intro in (b"", thief.intro):
                    for hop in (victim.fleet_keys[0], thief.fleet_keys[0]):
                        data = forge(thief, victim, kind, [_item(ours, kind, 1)], intro=intro, frame=hop)
                        await refused(ours.node(to), data, "refused_forged")
        await honest_still_flows(ours)
        await honest_still_flows(theirs)


@in_virtual_time
async def test_a_parcel_that_comes_back_to_its_sender_is_refused(home: Path) -> None:
    async with ground(home) as fleet:
        await settled(fleet)
        a, b = own(fleet.node("a")), own(fleet.node("b"))
        for kind in KINDS:
            for intro in (b"", a.intro):
                data = forge(a, b, kind, [_item(fleet, kind, 1)], intro=intro)
                await refused(fleet.node("a"), data, "refused_forged")
        await honest_still_flows(fleet)


@in_virtual_time
async def test_a_signature_of_any_other_key_is_refused_whatever_kid_it_names(home: Path) -> None:
    async with ground(home) as fleet:
        await settled(fleet)
        a, b, c = (own(fleet.node(name)) for name in "abc")
        root = a.root
        assert root is not None
        for kind in KINDS:
            honest = forge(b, a, kind, [_item(fleet, kind, 1)])
            for thief in (NOBODY, c.signing, a.signing, root):
                lie = dataclasses.replace(thief, public=b.signing.public)  # it names b's key
                await refused(fleet.node("a"), forge(b, a, kind, [_item(fleet, kind, 1)], signing=lie), "refused_forged")
                await refused(fleet.node("a"), resigned(honest, thief, a.fleet_keys[0]), "refused_forged")
        await honest_still_flows(fleet)


@in_virtual_time
async def test_a_parcel_sealed_to_another_is_put_off_and_one_sealed_around_another_header_counts_against_its_signer(
    home: Path,
) -> None:
    async with ground(home) as fleet:
        await settled(fleet)
        a, b, c = (own(fleet.node(name)) for name in "abc")
        for kind in KINDS:
            item = _item(fleet, kind, 7)
            before = truth(fleet.node("a"))
            for wrong in (
                forge(b, a, kind, [item], seal=c.opening[0].public),  # in our key's name
                forge(b, a, kind, [item], seal=c.opening[0].public, ekid=c.opening[0].ekid),
                forge(b, a, kind, [item], seal=NOBODY.public, ekid="0" * 16),
            ):
                answer = await hand(fleet.node("a"), wrong)
                assert answer.kind is AnswerKind.SIGNED, "its signer is proven and is told to seal anew"
                assert truth(fleet.node("a")) == before
            await refused(fleet.node("a"), rewrapped(forge(c, a, kind, [item]), b), "proof_forged")
            await refused(fleet.node("a"), forge(b, a, kind, [item], n=2), "proof_malformed")
            await fleet.node("a").oversight.set_trust("b", 2, "the next kind begins anew")
        await honest_still_flows(fleet)


@in_virtual_time
async def test_an_intro_with_one_wrong_part_introduces_nobody(home: Path) -> None:
    async with ground(home, strangers="c") as fleet:
        a, b, c = (own(fleet.node(name)) for name in "abc")
        root = a.root
        assert root is not None
        certificate, manifest = split_intro(c.intro)
        known = c.read_certificate()

        def certified(**changes: object) -> bytes:
            words = {name: getattr(known, name) for name in Certificate.__struct_fields__}
            return write_frame(Certificate(**(words | changes)), root)  # type: ignore[arg-type]

        for intro, counter in (
            (join_intro(write_frame(known, NOBODY), manifest), "refused_forged"),
            (join_intro(write_frame(known, c.signing), manifest), "refused_forged"),
            (join_intro(write_frame(known, b.signing), manifest), "refused_forged"),
            (join_intro(certified(fleet="away"), manifest), "refused_wrong_fleet"),
            (join_intro(certified(node="d"), manifest), "refused_forged"),
            (join_intro(certified(key=NOBODY.public), manifest), "refused_forged"),
            (join_intro(certificate, manifest_of(c, node="d")), "refused_forged"),
            (join_intro(certificate, manifest_of(c, fleet="away")), "refused_forged"),
            (join_intro(certificate, manifest_of(c, key=NOBODY)), "refused_forged"),
            (join_intro(certificate, manifest_of(c, key=b.signing)), "refused_forged"),
            (join_intro(certificate, b.manifest), "refused_forged"),
            (join_intro(b.certificate, manifest), "refused_forged"),
            (join_intro(manifest, certificate), "refused_malformed"),
            (c.intro[:-1], "refused_malformed"),
            (c.intro + b"\0", "refused_malformed"),
            (b.intro, "refused_forged"),  # true, but it does not speak for who signed
        ):
            await refused(fleet.node("a"), forge(c, a, ParcelType.PING, [ping()], intro=intro), counter)
            assert "c" not in fleet.node("a").roster
        honest = forge(c, a, ParcelType.PING, [ping()], intro=c.intro)
        broken = honest[:-1] + bytes([honest[-1] ^ 1])
        await refused(fleet.node("a"), sealing.frame(a.fleet_keys[0], broken[38:]), "refused_forged")
        assert "c" not in fleet.node("a").roster, "a true intro around a false signature: nothing is believed"
        answer = await hand(fleet.node("a"), honest)
        assert answer.kind is AnswerKind.SIGNED
        assert fleet.node("a").roster.member("c")


async def _false_word(fleet: Fleet, kind: ParcelType, item: bytes, counter: str) -> None:
    """A member sends it in an honest parcel of its own."""
    a, b = own(fleet.node("a")), own(fleet.node("b"))
    await refused(fleet.node("a"), forge(b, a, kind, [item]), counter)


@in_virtual_time
async def test_a_member_that_sends_false_manifests_is_counted_and_nothing_is_learned(home: Path) -> None:
    async with ground(home) as fleet:
        await settled(fleet)
        c = own(fleet.node("c"))
        newer = c.read_manifest().serial + 1
        certificate = c.certificate
        for manifest in (
            manifest_of(c, key=NOBODY, serial=newer),
            manifest_of(c, key=own(fleet.node("b")).signing, serial=newer),  # b writes it in c's name
            manifest_of(c, serial=newer, fleet="away"),
            manifest_of(c, serial=newer, node="b"),
            manifest_of(c, serial=newer, seal=bytes(32)),  # nothing can be sealed to it
            c.manifest[:-1],
        ):
            await _false_word(fleet, ParcelType.MANIFEST, join_intro(certificate, manifest), "proof_manifest")
        await _false_word(fleet, ParcelType.MANIFEST, join_intro(write_frame(c.read_certificate(), NOBODY), c.manifest),
                          "proof_manifest")  # fmt: skip
        await _false_word(fleet, ParcelType.MANIFEST, b"", "proof_manifest")
        await honest_still_flows(fleet)


@in_virtual_time
async def test_a_member_that_sends_false_words_about_keys_is_counted_and_no_key_changes(home: Path) -> None:
    async with ground(home) as fleet:
        await settled(fleet)
        a, b, c = (own(fleet.node(name)) for name in "abc")
        serial = b.read_certificate().serial
        fresh = sealing.signing_key(b"a fresh signing key of 32 bytes.")

        def wish(key: object = fresh, **changes: object) -> bytes:
            words = {"v": 1, "fleet": "simfleet", "node": "b", "key": fresh.public, "serial": serial}
            return write_frame(Renewal(**(words | changes)), key)  # type: ignore[arg-type]

        hop = FleetKey(v=1, fleet="simfleet", serial=9_999_999_999_999, key=b"h" * 32)
        for item in (
            wish(NOBODY), wish(b.signing), wish(node="c"), wish(node="a"), wish(fleet="away"), wish(serial=serial - 1),
            wish(serial=serial + 1), wish(key=c.signing),
            write_frame(hop, b.signing), write_frame(hop, NOBODY), write_frame(hop, fresh),
            write_frame(a.read_certificate(), b.signing),
            wish()[:-1], wish()[:-64], b"FLQ1", b"FLK1" + bytes(80),
        ):  # fmt: skip
            await _false_word(fleet, ParcelType.CERTIFICATE, item, "proof_certificate")
        await honest_still_flows(fleet)


@in_virtual_time
async def test_a_fleet_key_or_certificate_of_another_fleet_is_refused(home: Path) -> None:
    async with ground(home / "ours") as fleet, ground(home / "theirs", seed="another") as theirs:
        root = own(fleet.node("a")).root
        thief = own(theirs.node("a")).root
        assert root is not None
        assert thief is not None
        hop = FleetKey(v=1, fleet="away", serial=9_999_999_999_999, key=b"h" * 32)
        await _false_word(fleet, ParcelType.CERTIFICATE, write_frame(hop, root), "proof_certificate")
        same_name = FleetKey(v=1, fleet="simfleet", serial=9_999_999_999_999, key=b"h" * 32)
        await _false_word(fleet, ParcelType.CERTIFICATE, write_frame(same_name, thief), "proof_certificate")
        everybody = Revocation(v=1, fleet="simfleet", version=9_999_999_999_999, nodes={"c": 9_999_999_999_999})
        await _false_word(fleet, ParcelType.REVOCATION, write_frame(everybody, thief), "proof_revocation")
        elsewhere = Revocation(v=1, fleet="away", version=9_999_999_999_999, nodes={"c": 9_999_999_999_999})
        await _false_word(fleet, ParcelType.REVOCATION, write_frame(elsewhere, root), "proof_revocation")
        await honest_still_flows(fleet)


@in_virtual_time
async def test_a_revocation_list_the_root_did_not_sign_revokes_nobody(home: Path) -> None:
    async with ground(home) as fleet:
        await settled(fleet)
        b = own(fleet.node("b"))
        everybody = Revocation(v=1, fleet="simfleet", version=9_999_999_999_999, nodes={"c": 9_999_999_999_999})
        for key in (b.signing, NOBODY, own(fleet.node("a")).signing):
            await _false_word(fleet, ParcelType.REVOCATION, write_frame(everybody, key), "proof_revocation")
        await _false_word(fleet, ParcelType.REVOCATION, canonical.encode(everybody), "proof_revocation")
        await honest_still_flows(fleet)


@in_virtual_time
async def test_an_outbound_answer_with_one_wrong_part_settles_nothing(home: Path) -> None:
    """The same lies where an answer is awaited: the road gives back a false receipt."""
    from tests.support.weather import Weather

    async with ground(home, roads=("http",)) as fleet:
        await settled(fleet)
        for lie in ("ok", "echo", "stranger", "member", "name", "other"):
            fleet.net.sky.set("a", "b", "http", Weather(lie=lie))
            counted = sum(n for name, n in fleet.node("a").exchange.counters.items() if name.startswith("unproven_"))
            id = await fleet.send("a", "b", f"under {lie}")
            await fleet.until(lambda counted=counted: counted < sum(
                n for name, n in fleet.node("a").exchange.counters.items() if name.startswith("unproven_")))  # fmt: skip
            assert fleet.state("a", id) == "accepted", lie
            fleet.net.sky.clear()
            await fleet.until(lambda id=id: fleet.state("a", id) == "received")
        await honest_still_flows(fleet)


@in_virtual_time
async def test_a_member_under_a_name_it_does_not_have_is_refused_with_and_without_its_intro(home: Path) -> None:
    async with ground(home) as fleet:
        await settled(fleet)
        a, b = own(fleet.node("a")), own(fleet.node("b"))
        for name in ("a", "c", "d"):
            for intro in (b"", b.intro):
                data = forge(disguised(b, node=name), a, ParcelType.MAIL, [mail(fleet, 3)], intro=intro)
                await refused(fleet.node("a"), data, "refused_forged")
        await honest_still_flows(fleet)
