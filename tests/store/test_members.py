"""fleet/store/members.py: serials only rise, invites are used once, words are the operator's."""

from fleet.core.sealing import Secret
from fleet.store import Store
from fleet.store.members import Frames
from tests.support.letters import HOUR, NOW


def test_frames_are_kept_per_node(store: Store) -> None:
    members = store.members
    assert members.put_certificate("mac2", 5, b"cert5")
    assert members.put_manifest("mac2", 9, b"mani9")
    assert members.put_manifest("ant", 1, b"mani1")
    assert members.frames("mac2") == Frames("mac2", b"cert5", 5, b"mani9", 9)
    assert members.frames("mac3") is None
    assert members.all() == [Frames("ant", b"", 0, b"mani1", 1), Frames("mac2", b"cert5", 5, b"mani9", 9)]


def test_a_lower_serial_is_refused_and_so_are_other_bytes_under_the_same(store: Store) -> None:
    for put, kind in ((store.members.put_certificate, "certificate"), (store.members.put_manifest, "manifest")):
        assert put("mac2", 5, b"five")
        assert put("mac2", 5, b"five")
        assert not put("mac2", 5, b"FIVE")
        assert not put("mac2", 4, b"four")
        frames = store.members.frames("mac2")
        assert frames is not None
        assert getattr(frames, kind) == b"five"
        assert put("mac2", 6, b"six")
        assert getattr(store.members.frames("mac2"), kind) == b"six"


def test_the_revocation_list_only_rises(store: Store) -> None:
    members = store.members
    assert members.revocation() == (0, b"")
    assert members.put_revocation(3, b"three")
    assert members.put_revocation(3, b"three")
    assert not members.put_revocation(3, b"THREE")
    assert not members.put_revocation(2, b"two")
    assert members.revocation() == (3, b"three")
    assert members.put_revocation(4, b"four")
    assert members.revocation() == (4, b"four")


def test_the_operators_words_replace_each_other(store: Store) -> None:
    members = store.members
    assert members.get_words("mac2") is None
    members.put_words("mac2", {"http": {"url": "http://a"}, "enabled": True})
    members.put_words("mac2", {"enabled": False})
    members.put_words("ant", {"role": "chief"})
    assert members.get_words("mac2") == {"enabled": False}
    assert members.peers() == {"ant": {"role": "chief"}, "mac2": {"enabled": False}}
    assert members.remove_words("mac2")
    assert not members.remove_words("mac2")
    assert members.peers() == {"ant": {"role": "chief"}}


def test_a_removed_node_leaves_nothing(store: Store) -> None:
    members = store.members
    members.put_certificate("mac2", 5, b"cert5")
    members.put_manifest("mac2", 5, b"mani5")
    members.put_words("mac2", {"enabled": False})
    members.put_words("mac3", {})
    assert [members.remove(node) for node in ("mac2", "mac2", "mac3", "mac4")] == [True, False, True, False]
    assert members.all() == []
    assert members.peers() == {}


def test_an_invite_is_used_once(store: Store) -> None:
    members = store.members
    members.put_invite("i1", Secret(b"s" * 16), NOW + HOUR, 2, "10.0.0.1:8856")
    seen = members.invite("i1", NOW)
    assert seen is not None
    assert (seen.secret.reveal(), seen.expires, seen.trust, seen.address) == (b"s" * 16, NOW + HOUR, 2, "10.0.0.1:8856")
    assert "ssss" not in repr(seen)
    taken = members.take_invite("i1", NOW)
    assert taken is not None
    assert taken.secret.reveal() == b"s" * 16
    assert members.take_invite("i1", NOW) is None
    assert members.invite("i1", NOW) is None


def test_an_invite_ends(store: Store) -> None:
    members = store.members
    members.put_invite("late", Secret(b"a" * 16), NOW + HOUR, 2, "")
    members.put_invite("soon", Secret(b"b" * 16), NOW + 5, 2, "")
    assert [invite.id for invite in members.invites(NOW)] == ["soon", "late"]
    assert members.invite("soon", NOW + 5) is None
    assert members.take_invite("soon", NOW + 5) is None
    assert [invite.id for invite in members.invites(NOW + 5)] == ["late"]
    assert members.expire_invites(NOW + 5) == 1
    assert members.expire_invites(NOW + 5) == 0


def test_single_values(store: Store) -> None:
    assert store.members.meta("boot") is None
    store.members.set_meta("boot", "1")
    store.members.set_meta("boot", "2")
    assert store.members.meta("boot") == "2"
