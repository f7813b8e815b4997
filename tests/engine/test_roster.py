"""Who belongs to the fleet: only what the root signed, never older over newer, never the revoked."""

from dataclasses import replace

import pytest

from fleet.core import sealing
from fleet.core.peer import Certificate, Manifest, Revocation, join_intro, write_frame
from fleet.engine.identity import Identity
from fleet.engine.roster import Learned, Roster
from fleet.errors import Forged, Malformed, WrongFleet
from tests.engine.parts import FLEET, ROOT, identity, roster

A = identity("a")


def fresh(**options: object) -> Roster:
    return Roster(A, options.pop("words", {}), options.pop("dynamic", {}))  # type: ignore[arg-type]


def revocation(version: int, **serials: int) -> bytes:
    return write_frame(Revocation(v=1, fleet=FLEET, version=version, nodes=serials), ROOT)


def test_a_member_is_learned_from_its_intro_and_told_back_to_be_stored() -> None:
    made, b = fresh(), identity("b", serial=7, manifest_serial=9)
    assert made.learn(b.intro) == ("b", Learned("b", 7, b.certificate, 9, b.manifest))
    peer = made.get("b")
    assert peer is not None
    assert (peer.key, peer.seal, peer.certificate_serial) == (b.signing.public, b.opening[0].public, 7)
    assert "b" in made and made.member("b") and [one.id for one in made.peers()] == ["b"]
    assert made.by_kid(b.signing.kid) == (peer, b.signing.public)


def test_the_same_intro_again_is_no_news() -> None:
    made = fresh()
    made.learn(identity("b").intro)
    assert made.learn(identity("b").intro) == ("b", None)


def test_oneself_is_no_peer() -> None:
    made = fresh()
    assert made.learn(A.intro) == ("a", None)
    assert made.peers() == [] and "a" in made


def test_newer_frames_replace_older_ones_each_by_its_own_serial() -> None:
    made = fresh()
    made.learn(identity("b", serial=5, manifest_serial=5).intro)
    newer = identity("b", serial=5, manifest_serial=6)
    assert made.learn(newer.intro)[1] == Learned("b", 5, b"", 6, newer.manifest)
    certified = identity("b", serial=6, manifest_serial=6)
    assert made.learn(certified.intro)[1] == Learned("b", 6, certified.certificate, 6, b"")


@pytest.mark.parametrize(("serial", "manifest_serial"), [(4, 5), (5, 4), (4, 9), (1, 1)])
def test_an_older_frame_never_replaces_a_newer_one(serial: int, manifest_serial: int) -> None:
    made = fresh()
    made.learn(identity("b", serial=5, manifest_serial=5).intro)
    assert made.learn(identity("b", serial=serial, manifest_serial=manifest_serial).intro)[1] is None
    peer = made.get("b")
    assert peer is not None and (peer.certificate_serial, peer.manifest_serial) == (5, 5)


STRANGER = sealing.signing_key(b"\x09" * 32)


def _stolen_manifest() -> bytes:
    return join_intro(identity("b").certificate, identity("c").manifest)


def _manifest_of_another_name() -> bytes:
    b = identity("b")
    frame = write_frame(Manifest(v=1, fleet=FLEET, node="c", serial=1, seal=b.opening[0].public), b.signing)
    return join_intro(b.certificate, frame)


@pytest.mark.parametrize(
    ("intro", "error"),
    [
        (identity("b", root=STRANGER).intro, Forged),
        (identity("b", fleet="other").intro, WrongFleet),
        (_stolen_manifest(), Forged),
        (_manifest_of_another_name(), Forged),
        (identity("b").intro[:-1], (Forged, Malformed)),
        (b"", Malformed),
        (identity("b").certificate, Malformed),
    ],
    ids=["a stranger's root", "another fleet", "another's manifest", "in another's name", "cut", "nothing", "half"],
)
def test_a_false_intro_is_not_believed(intro: bytes, error: type[Exception]) -> None:
    made = fresh()
    with pytest.raises(error):
        made.learn(intro)
    assert made.peers() == []


def test_the_revoked_are_forgotten_and_not_learned_again() -> None:
    made = fresh()
    made.learn(identity("b", serial=5).intro)
    assert made.revoke(revocation(1, b=6)) is True
    assert "b" not in made and made.revoked("b") and made.by_kid(identity("b").signing.kid) is None
    with pytest.raises(Forged, match="revoked"):
        made.learn(identity("b", serial=5).intro)


def test_a_member_comes_back_with_a_certificate_above_its_revocation() -> None:
    made = fresh()
    made.learn(identity("b", serial=5).intro)
    made.revoke(revocation(1, b=6))
    made.learn(identity("b", serial=6, manifest_serial=2).intro)
    assert made.member("b") and not made.revoked("b")


def test_a_revocation_list_only_gets_newer() -> None:
    made = fresh()
    assert made.revoke(revocation(2, b=6)) is True
    assert made.revoke(revocation(2, c=6)) is False
    assert made.revoke(revocation(1, c=6)) is False
    assert made.revocation.nodes == {"b": 6}
    with pytest.raises(Forged):
        made.revoke(write_frame(Revocation(v=1, fleet=FLEET, version=9), STRANGER))
    with pytest.raises(WrongFleet):
        made.revoke(write_frame(Revocation(v=1, fleet="other", version=9), ROOT))


def test_stored_frames_that_no_longer_hold_are_told_and_passed_over() -> None:
    made, b, c = fresh(), identity("b"), identity("c", root=STRANGER)
    wrong = made.load([(b.certificate, b.manifest), (c.certificate, c.manifest), (b"", b"")])
    assert [one.id for one in made.peers()] == ["b"]
    assert len(wrong) == 2


def test_the_operators_words_win_over_the_manifest() -> None:
    made = fresh(words={"b": {"http": {"url": "http://static"}, "timeout": 5.0}}, dynamic={"b": {"enabled": False}})
    made.learn(identity("b").intro)
    peer = made.get("b")
    assert peer is not None
    assert peer.addresses["http"]["url"] == "http://static"
    assert (peer.timeout, peer.enabled, peer.source) == (5.0, False, "static")
    made.set_words("b", {"enabled": True})
    changed = made.get("b")
    assert changed is not None and changed.enabled
    assert made.words("b")["timeout"] == 5.0


def test_a_peer_that_is_known_by_its_address_alone_has_no_key() -> None:
    made = fresh(dynamic={"c": {"http": {"url": "http://c"}}})
    peer = made.get("c")
    assert peer is not None and (peer.key, peer.source) == (b"", "dynamic")
    assert not made.member("c") and made.intro_of("c") == b""
    made.set_words("c", None)
    assert "c" not in made


def test_intros_are_given_to_others_ones_own_first() -> None:
    made = roster("a", "c", "b")
    assert made.intros() == [made.me.intro, identity("b").intro, identity("c").intro]
    assert made.certificate_of("b") == identity("b").certificate
    assert made.certificate_of("nobody") == b""


def test_two_members_that_know_the_same_name_it_alike() -> None:
    assert roster("a", "b", "c").known() == roster("c", "b", "a").known()
    assert roster("a", "b").known() != roster("a", "b", "c").known()
    newer: Identity = identity("a", manifest_serial=2)
    other = roster("b", "a", "c")
    assert Roster(newer, {}, {}).known() != Roster(A, {}, {}).known()
    assert other.known() == roster("a", "b", "c").known()


def test_the_key_before_the_present_one_is_accepted_for_a_while() -> None:
    now = [0]
    made = Roster(A, {}, {}, lambda: now[0])
    b, before = identity("b", serial=5), identity("b", key="b before")
    frame = write_frame(
        Certificate(v=1, fleet=FLEET, node="b", key=b.signing.public, previous=before.signing.public, serial=6, issued=1000),
        ROOT,
    )
    made.learn(join_intro(frame, b.manifest))
    found = made.by_kid(before.signing.kid)
    assert found is not None and found[1] == before.signing.public
    now[0] = 1000 + 9 * 86_400_000
    assert made.by_kid(before.signing.kid) is None
    assert made.by_kid(b.signing.kid) is not None


def test_an_identity_reads_its_own_frames() -> None:
    me = identity("a", serial=3, manifest_serial=4)
    assert me.serials == (3, 4)
    assert me.intro == me.certificate + me.manifest
    assert me.read_certificate().node == me.read_manifest().node == "a"
    assert replace(me, manifest=identity("a", manifest_serial=5).manifest).serials == (3, 5)
