"""Keys at rest: modes and owners at every start, the root's export, the session's keyring, FLEET_KEY, clones and backups."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from fleet.core.sealing import Secret, lock_secret, unlock_secret
from fleet.daemon.upkeep import Upkeep
from fleet.errors import Conflict, FleetError, Forged, LooseKey, Malformed, StoreError
from fleet.store.keys import KeyRing
from fleet.store.vault import Files, open_vault
from tests.identity.ground import ground, honest_still_flows, in_virtual_time, settled
from tests.support.fleet import Fleet

SECRET = ("sign.key", "open.key", "nats.key", "fleet.key", "root.key")
PASS = b"a long enough passphrase"


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing.make(tmp_path / "keys", "mac1", "home")


def test_every_file_and_the_directory_are_private_from_the_first_moment(ring: KeyRing) -> None:
    assert ring.directory.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in ring.directory.iterdir()} == dict.fromkeys(
        [*SECRET, "identity.json"], 0o600
    )


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o666])
@pytest.mark.parametrize("name", [*SECRET, "identity.json"])
def test_a_key_that_others_may_read_or_write_stops_the_start_with_its_remedy(ring: KeyRing, name: str, mode: int) -> None:
    (ring.directory / name).chmod(mode)
    with pytest.raises(LooseKey) as caught:
        KeyRing.load(ring.directory)
    assert caught.value.hint == f"chmod 600 {ring.directory / name}"
    (ring.directory / name).chmod(0o600)
    assert KeyRing.load(ring.directory).node == "mac1"


def test_a_directory_that_others_may_enter_stops_the_start(ring: KeyRing) -> None:
    ring.directory.chmod(0o750)
    with pytest.raises(LooseKey, match="can be read by others"):
        KeyRing.load(ring.directory)


def test_a_key_of_another_user_stops_the_start(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(LooseKey, match="belongs to user"):
        KeyRing.load(ring.directory)


# --- the root's export ----------------------------------------------------------------------------------------------------


def test_the_exported_root_key_opens_with_its_passphrase_only(ring: KeyRing) -> None:
    blob = lock_secret(PASS, ring.root_seed())
    assert unlock_secret(PASS, blob).reveal() == ring.root_seed().reveal()
    assert ring.root_seed().reveal().hex().encode() not in blob
    with pytest.raises(Forged):
        unlock_secret(PASS + b"x", blob)
    for damaged in (blob[:-4], blob[:-1], b"A" + blob[1:], blob[:60] + b"AAAA" + blob[64:], b"", b"FLR1", b"\xff" * 200):
        with pytest.raises((Forged, Malformed)):
            unlock_secret(PASS, damaged)


def test_another_fleet_s_root_key_is_not_taken(ring: KeyRing, tmp_path: Path) -> None:
    other = KeyRing.make(tmp_path / "other", "mac1", "home")
    with pytest.raises(Conflict, match="another fleet"):
        ring.put_root(other.root_seed())


def test_the_root_key_moves_to_another_member(ring: KeyRing, tmp_path: Path) -> None:
    member = KeyRing.make(tmp_path / "member", "mac2").adopt("home", ring.root_public, ring.fleet_keys[0])
    assert member.root is None
    moved = member.put_root(unlock_secret(PASS, lock_secret(PASS, ring.root_seed())))
    left = ring.drop_root()
    assert moved.root is not None
    assert moved.root.public == ring.root_public
    assert left.root is None
    assert KeyRing.load(ring.directory).root is None


@in_virtual_time
async def test_a_fleet_whose_root_moved_goes_on_with_invitations_revocations_and_renewals(home: Path) -> None:
    async with ground(home, "abc", roads=("nats", "http")) as fleet:
        await settled(fleet)
        await fleet.stop("a", "b")
        fleet.rings["b"].put_root(fleet.rings["a"].root_seed())
        fleet.rings["a"].drop_root()
        await fleet.start("a", "b")
        old = fleet.node("a").ring.signing.public
        await fleet.node("a").rotation.rotate("sign")
        await fleet.until(lambda: fleet.node("a").ring.pending_signing() is None, 120)
        assert fleet.node("a").ring.signing.public != old
        await honest_still_flows(fleet)
        await fleet.node("b").revoking.revoke("c")
        await fleet.until(lambda: fleet.node("a").roster.revoked("c"), 5)
        assert (await fleet.node("b").control.invite())["words"]


# --- clones and backups ---------------------------------------------------------------------------------------------------


def _notices(fleet: Fleet, name: str) -> list[str]:
    return [kind for (kind,) in fleet.node(name).store.db.conn.execute("SELECT kind FROM notice")]


@in_virtual_time
async def test_a_home_that_wakes_up_on_another_machine_is_told_once(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        node = fleet.node("a")

        async def wake(mark: str) -> None:
            upkeep = Upkeep(node.writer, node.store, node.settings, node.world, node.clock, node.log, mark)
            await upkeep._compare_mark()

        for mark in ("machine 1", "machine 1", "", "machine 1"):
            await wake(mark)
        assert _notices(fleet, "a").count("clone") == 0
        await wake("machine 2")
        await wake("machine 2")
        assert _notices(fleet, "a").count("clone") == 1


@in_virtual_time
async def test_a_restored_database_is_told_and_mail_goes_on(home: Path) -> None:
    async with ground(home, "ab", roads=("nats", "http")) as fleet:
        await settled(fleet)
        fleet.backup("a")
        await fleet.stop("a")
        await fleet.start("a")
        await settled(fleet)
        await fleet.stop("a")
        fleet.restore("a")
        await fleet.start("a")
        await honest_still_flows(fleet)
        await fleet.until(lambda: "restored" in _notices(fleet, "a"), 60)


# --- the keyring and FLEET_KEY --------------------------------------------------------------------------------------------


class FakeKeyring(ModuleType):
    """The part of the keyring package that is used."""

    def __init__(self) -> None:
        super().__init__("keyring")
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = False
        self.backend: object = object()

    def get_keyring(self) -> object:
        return self.backend

    def _open(self) -> None:
        if self.locked:
            raise sys.modules["keyring.errors"].KeyringError("the secret is: hunter2")

    def get_password(self, service: str, entry: str) -> str | None:
        self._open()
        return self.kept.get((service, entry))

    def set_password(self, service: str, entry: str, word: str) -> None:
        self._open()
        self.kept[(service, entry)] = word

    def delete_password(self, service: str, entry: str) -> None:
        del self.kept[(service, entry)]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKeyring]:
    fake = FakeKeyring()
    fail = type("Keyring", (), {})
    backends, errors = ModuleType("keyring.backends"), ModuleType("keyring.errors")
    backends.fail = SimpleNamespace(Keyring=fail)  # type: ignore[attr-defined]
    errors.KeyringError = type("KeyringError", (Exception,), {})  # type: ignore[attr-defined]
    for module in (fake, backends, errors):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    fake.fail = fail  # type: ignore[attr-defined]
    yield fake


def test_with_the_keyring_no_secret_lies_in_a_file_and_everything_works(tmp_path: Path, session: FakeKeyring) -> None:
    keys = tmp_path / "keys"
    ring = KeyRing.make(keys, "mac1", "home", vault=open_vault("keyring", keys))
    ring = ring.rotate_nats().rotate_opening()
    ring.next_signing()
    ring = ring.take_next_signing().take_fleet_key(Secret(b"f" * 32))
    assert sorted(path.name for path in keys.iterdir()) == ["identity.json"]
    again = KeyRing.load(keys, open_vault("keyring", keys))
    assert (again.signing.public, again.nats_public) == (ring.signing.public, ring.nats_public)
    assert again.fleet_keys[0].reveal() == b"f" * 32
    assert again.pending_signing() is None
    assert again.drop_root().root is None
    assert "hunter" not in repr(again)


def test_keys_move_from_files_into_the_keyring_when_it_is_chosen(ring: KeyRing, session: FakeKeyring) -> None:
    moved = KeyRing.load(ring.directory, open_vault("keyring", ring.directory))
    assert moved.signing.public == ring.signing.public
    assert [path.name for path in ring.directory.iterdir()] == ["identity.json"]
    with pytest.raises(StoreError, match="cannot be read") as caught:
        KeyRing.load(ring.directory)
    assert "keys.store" in caught.value.hint


def test_two_nodes_of_one_user_never_share_an_entry(tmp_path: Path, session: FakeKeyring) -> None:
    one, two = (KeyRing.make(tmp_path / n, n, "home", vault=open_vault("keyring", tmp_path / n)) for n in ("one", "two"))
    assert one.signing.public != two.signing.public
    assert KeyRing.load(tmp_path / "one", open_vault("keyring", tmp_path / "one")).signing.public == one.signing.public


def test_without_the_package_a_keyring_or_an_unlocked_one_the_error_names_the_way_back(
    ring: KeyRing, session: FakeKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.locked = True
    with pytest.raises(StoreError) as locked:
        KeyRing.load(ring.directory, open_vault("keyring", ring.directory))
    assert "hunter2" not in locked.value.message
    session.backend = session.fail()
    with pytest.raises(StoreError, match="no keyring") as none:
        open_vault("keyring", ring.directory)
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(StoreError, match="not installed") as missing:
        open_vault("keyring", ring.directory)
    for caught in (locked, none, missing):
        assert "fleet config set keys.store file" in caught.value.hint
    assert KeyRing.load(ring.directory, open_vault("file", ring.directory)).node == "mac1", "the files are still there"


def test_the_fleet_key_of_the_environment_stands_before_those_that_are_kept(
    ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ring.fleet_keys[0].reveal()
    monkeypatch.setenv("FLEET_KEY", "ab" * 32)
    loaded = KeyRing.load(ring.directory)
    assert [key.reveal() for key in loaded.fleet_keys] == [b"\xab" * 32, kept]
    assert "abab" not in (ring.directory / "fleet.key").read_text()
    monkeypatch.setenv("FLEET_KEY", kept.hex())
    assert [key.reveal() for key in KeyRing.load(ring.directory).fleet_keys] == [kept]
    monkeypatch.setenv("FLEET_KEY", "")
    assert [key.reveal() for key in KeyRing.load(ring.directory).fleet_keys] == [kept]


@pytest.mark.parametrize("word", ["secret-but-not-hex", "ab" * 31, "ab" * 33])
def test_a_wrong_fleet_key_in_the_environment_is_told_without_being_shown(
    ring: KeyRing, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setenv("FLEET_KEY", word)
    with pytest.raises(FleetError, match="64 hex digits") as caught:
        KeyRing.load(ring.directory)
    assert word not in str(caught.value)


def test_a_vault_of_files_says_where_a_key_lies(ring: KeyRing) -> None:
    assert Files(ring.directory).place("sign.key") == str(ring.directory / "sign.key")
