"""fleet/store/keys.py: made whole, loaded only when private, never printed."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import nkeys
import pytest

from fleet.core.sealing import Secret, opening_key, sign, signing_key, verify
from fleet.errors import Conflict, DiskFull, LooseKey, NoIdentity, StoreError
from fleet.store import keys
from fleet.store.keys import KeyRing


def seeded(word: str) -> keys.Dice:
    """Dice that always fall the same."""

    def throw() -> Iterator[bytes]:
        n = 0
        while True:
            yield hashlib.sha256(f"{word}{n}".encode()).digest()
            n += 1

    stream = throw()
    return lambda size: next(stream)[:size]


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing.make(tmp_path / "keys", "mac1", "home", seeded("a"))


def test_a_founder_has_every_key_and_finds_them_again(ring: KeyRing) -> None:
    assert (ring.node, ring.fleet) == ("mac1", "home")
    assert ring.root is not None
    assert ring.root.public == ring.root_public
    again = KeyRing.load(ring.directory)
    assert again.signing.public == ring.signing.public
    assert [key.public for key in again.opening] == [key.public for key in ring.opening]
    assert [key.reveal() for key in again.fleet_keys] == [key.reveal() for key in ring.fleet_keys]
    assert again.nats_public == ring.nats_public
    verify(ring.signing.public, b"x", b"y", sign(again.signing, b"x", b"y"))


def test_all_keys_differ_and_real_dice_give_other_keys(ring: KeyRing, tmp_path: Path) -> None:
    other = KeyRing.make(tmp_path / "other", "mac1", "home")
    publics = [one.public for made in (ring, other) for one in (made.signing, *made.opening, made.root) if one]
    secrets = [made.fleet_keys[0].reveal() for made in (ring, other)]
    assert len(set(publics + secrets)) == 8


def test_the_nkey_is_one_the_broker_knows(ring: KeyRing) -> None:
    seed = ring.nats_seed.reveal()
    assert seed.startswith(b"SU")
    assert nkeys.from_seed(seed).public_key.decode() == ring.nats_public
    assert ring.nats_public.startswith("U")


def test_files_are_private(ring: KeyRing) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in ring.directory.iterdir()}
    assert modes == dict.fromkeys(
        ("sign.key", "open.key", "nats.key", "fleet.key", "root.key", "identity.json"), 0o600
    )  # fmt: skip
    assert ring.directory.stat().st_mode & 0o777 == 0o700


def test_a_node_without_a_fleet_has_no_root_and_no_hop_key(tmp_path: Path) -> None:
    ring = KeyRing.make(tmp_path / "keys", "mac2")
    assert (ring.fleet, ring.root, ring.root_public, ring.fleet_keys) == ("", None, b"", [])
    with pytest.raises(NoIdentity):
        ring.root_seed()


def test_nothing_secret_is_printed(ring: KeyRing) -> None:
    secrets = [ring.nats_seed, *ring.fleet_keys, ring.signing.secret, ring.opening[0].secret, ring.root_seed()]
    shown = f"{ring!r} {ring} {ring.root_seed()} {ring.nats_seed!s}"
    for secret in secrets:
        assert secret.reveal().hex() not in shown
        assert repr(secret.reveal())[2:-1] not in shown


def test_keys_are_never_overwritten_by_new_ones(ring: KeyRing) -> None:
    with pytest.raises(Conflict, match="holds the keys of a node already"):
        KeyRing.make(ring.directory, "mac2", "away")
    assert KeyRing.load(ring.directory).node == "mac1"


def test_a_machine_without_keys_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(NoIdentity) as caught:
        KeyRing.load(tmp_path / "keys")
    assert "fleet init" in caught.value.hint


def test_a_making_that_was_cut_off_is_no_identity_and_can_be_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DiskFull

    with monkeypatch.context() as patch:
        patch.setattr(keys, "_write_identity", fail)
        with pytest.raises(DiskFull):
            KeyRing.make(tmp_path / "keys", "mac1", "home")
    with pytest.raises(NoIdentity):
        KeyRing.load(tmp_path / "keys")
    assert KeyRing.make(tmp_path / "keys", "mac1", "home").node == "mac1"


@pytest.mark.parametrize("name", ["sign.key", "open.key", "nats.key", "fleet.key", "root.key", "identity.json"])
def test_a_loose_key_stops_the_start(ring: KeyRing, name: str) -> None:
    (ring.directory / name).chmod(0o644)
    with pytest.raises(LooseKey) as caught:
        KeyRing.load(ring.directory)
    assert caught.value.hint == f"chmod 600 {ring.directory / name}"


def test_a_loose_directory_stops_the_start_and_the_making(ring: KeyRing, tmp_path: Path) -> None:
    ring.directory.chmod(0o755)
    with pytest.raises(LooseKey, match="mode 755"):
        KeyRing.load(ring.directory)
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(LooseKey):
        KeyRing.make(tmp_path / "open", "mac1")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("sign.key", b""),
        ("sign.key", b"zz"),
        ("open.key", b"ab" * 31),
        ("root.key", "ü".encode()),
        ("identity.json", b"{}"),
        ("identity.json", b'{"node":"a","root":"xyz"}'),
        ("identity.json", b'{"node":"a","more":1}'),
    ],
)
def test_a_damaged_file_is_named_and_not_shown(ring: KeyRing, name: str, data: bytes) -> None:
    (ring.directory / name).write_bytes(data)
    with pytest.raises(StoreError, match="damaged") as caught:
        KeyRing.load(ring.directory)
    assert name in caught.value.message


def test_a_missing_key_is_named(ring: KeyRing) -> None:
    (ring.directory / "sign.key").unlink()
    with pytest.raises(StoreError, match=r"sign\.key cannot be read: No such file"):
        KeyRing.load(ring.directory)


def test_a_joiner_takes_the_fleet_over_and_gives_an_own_one_up(ring: KeyRing) -> None:
    root = signing_key(bytes(range(32)))
    joined = ring.adopt("office", root.public, Secret(b"k" * 32))
    assert (joined.fleet, joined.root_public, joined.root) == ("office", root.public, None)
    assert [key.reveal() for key in joined.fleet_keys] == [b"k" * 32]
    assert joined.signing.public == ring.signing.public
    assert joined.node == "mac1"
    assert not (ring.directory / "root.key").exists()


def test_who_adopts_the_own_fleet_keeps_its_root(ring: KeyRing) -> None:
    same = ring.adopt(ring.fleet, ring.root_public, ring.fleet_keys[0])
    assert same.root is not None


def test_a_new_signing_key_waits_for_its_certificate(ring: KeyRing) -> None:
    assert ring.pending_signing() is None
    with pytest.raises(StoreError):
        ring.take_next_signing()
    following = ring.next_signing(seeded("b"))
    assert following.public == signing_key(hashlib.sha256(b"b0").digest()).public
    assert ring.next_signing(seeded("c")).public == following.public  # asked again it is the same
    pending = KeyRing.load(ring.directory).pending_signing()
    assert pending is not None
    assert pending.public == following.public
    assert KeyRing.load(ring.directory).signing.public == ring.signing.public
    taken = ring.take_next_signing()
    assert taken.signing.public == following.public
    assert taken.pending_signing() is None


def test_a_new_nkey_replaces_the_old_one(ring: KeyRing) -> None:
    assert ring.rotate_nats(seeded("b")).nats_public not in ("", ring.nats_public)


def test_new_opening_keys_keep_the_older_ones_for_slow_roads(ring: KeyRing) -> None:
    first = ring.opening[0]
    for word in "bcd":
        ring = ring.rotate_opening(seeded(word))
    newest = opening_key(hashlib.sha256(b"d0").digest())
    assert ring.opening[0].public == newest.public
    assert len(ring.opening) == keys.KEPT
    assert first.public not in [key.public for key in ring.opening]


def test_a_new_hop_key_comes_first_and_a_known_one_changes_nothing(ring: KeyRing) -> None:
    old = ring.fleet_keys[0].reveal()
    both = ring.take_fleet_key(Secret(b"n" * 32))
    assert [key.reveal() for key in both.fleet_keys] == [b"n" * 32, old]
    assert both.take_fleet_key(Secret(old)) is both


def test_the_root_key_moves_to_another_machine(ring: KeyRing, tmp_path: Path) -> None:
    other = KeyRing.make(tmp_path / "other", "mac2").adopt("home", ring.root_public, ring.fleet_keys[0])
    assert other.root is None
    holder = other.put_root(ring.root_seed())
    assert holder.root is not None
    assert holder.root.public == ring.root_public
    with pytest.raises(Conflict, match="another fleet"):
        other.put_root(Secret(b"z" * 32))
    left = ring.drop_root()
    assert left.root is None
    assert left.root_public == ring.root_public
    with pytest.raises(NoIdentity, match="another machine"):
        left.root_seed()
