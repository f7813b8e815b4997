"""The key files of one node: make, load, rotate; 0600 in a 0700 directory. Never a secret in a repr, a log or an error.

    identity.json   node, fleet, public root key
    sign.key        Ed25519 seed, hex
    sign.next       the one that will follow, while it waits for its certificate
    open.key        X25519 seeds, hex, one a line, the newest first
    nats.key        nkey seed (SU…)
    fleet.key       keys of the hop frame, shared by the fleet, hex, one a line, the newest first
    root.key        Ed25519 seed of the fleet's root, on the one machine where it lives
    reserve.json    not a key; see sequence.py

identity.json is written last: without it there is no identity, whatever else lies there. Where the secret ones lie is
vault.py's business; FLEET_KEY in the environment (64 hex digits, for CI) stands before the fleet keys that are kept.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from fleet.core.sealing import OpeningKey, Secret, SigningKey, opening_key, signing_key
from fleet.errors import Conflict, NoIdentity, StoreError
from fleet.store.files import atomic_write, check_private, make_private
from fleet.store.vault import Files, Vault

SEED = 32  # bytes of every key
KEPT = 3  # opening and fleet keys kept: mail sealed to an older one may still be on a slow road
_NKEY_SEED, _NKEY_USER = 18 << 3, 20 << 3  # version bytes of the nkey format: they become the letters S and U

Dice = Callable[[int], bytes]


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The public part: identity.json."""

    node: str
    fleet: str = ""  # "" = not in a fleet yet
    root: str = ""  # public root key, hex


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All keys of one node as they were loaded; what changes them gives a new ring."""

    directory: Path
    node: str
    fleet: str  # "" = not in a fleet yet
    root_public: bytes
    signing: SigningKey
    opening: list[OpeningKey]  # the one in force first
    nats_seed: Secret
    nats_older: Secret | None  # the one before, until a broker has let the new one in
    fleet_keys: list[Secret]  # the one in force first; empty = not in a fleet yet
    root: SigningKey | None  # only where the fleet's root key lives
    vault: Vault = field(repr=False, compare=False)

    @property
    def nats_public(self) -> str:
        """The public nkey, as the broker's users name it."""
        raw = _unbase32(self.nats_seed.reveal())[2 : 2 + SEED]
        return _nkey(bytes([_NKEY_USER]) + signing_key(raw).public)

    @classmethod
    def make(
        cls, directory: Path, node: str, fleet: str = "", dice: Dice = secrets.token_bytes, vault: Vault | None = None
    ) -> KeyRing:
        """Make the keys of a node; with a `fleet`, that fleet's root and hop key as well.

        Raises Conflict when there are keys, DiskFull or StoreError.
        """
        make_private(directory)
        if (directory / "identity.json").exists():
            raise Conflict(f"{directory} holds the keys of a node already")
        check_private(directory)
        vault = vault or Files(directory)
        _write(vault, "sign.key", dice(SEED))
        _write(vault, "open.key", dice(SEED))
        vault.write("nats.key", _nkey_seed(dice(SEED)).encode() + b"\n")
        root_public = b""
        if fleet:
            root_seed = dice(SEED)
            root_public = signing_key(root_seed).public
            _write(vault, "root.key", root_seed)
            _write(vault, "fleet.key", dice(SEED))
        _write_identity(directory, Identity(node, fleet, root_public.hex()))
        return cls.load(directory, vault)

    @classmethod
    def load(cls, directory: Path, vault: Vault | None = None) -> KeyRing:
        """Read the keys of a node.

        Raises NoIdentity when there are none, LooseKey when others could read one, StoreError when one is damaged.
        """
        if not (directory / "identity.json").exists():
            raise NoIdentity(hint="fleet init, or fleet join LINK")
        check_private(directory)
        vault = vault or Files(directory)
        identity = _read_identity(directory)
        root = _read_seeds(vault, "root.key", optional=True)
        return cls(
            directory=directory,
            node=identity.node,
            fleet=identity.fleet,
            root_public=bytes.fromhex(identity.root),
            signing=signing_key(_read_seeds(vault, "sign.key")[0]),
            opening=[opening_key(seed) for seed in _read_seeds(vault, "open.key")],
            nats_seed=Secret(_read(vault, "nats.key").strip()),
            nats_older=Secret(older.strip()) if (older := vault.read("nats.old")) else None,
            fleet_keys=[Secret(seed) for seed in _fleet_seeds(vault)] if identity.fleet else [],
            root=signing_key(root[0]) if root else None,
            vault=vault,
        )

    def _again(self) -> KeyRing:
        return KeyRing.load(self.directory, self.vault)

    def adopt(self, fleet: str, root_public: bytes, fleet_key: Secret) -> KeyRing:
        """Enter another fleet: take its hop key and its root's public key; a root key of an own fleet goes.

        Raises DiskFull or StoreError.
        """
        _write(self.vault, "fleet.key", fleet_key.reveal())
        _write_identity(self.directory, Identity(self.node, fleet, root_public.hex()))
        if self.root is not None and self.root.public != root_public:
            self.vault.remove("root.key")
        return self._again()

    def next_signing(self, dice: Dice = secrets.token_bytes) -> SigningKey:
        """Make the signing key that shall follow, or find the one made before; in force only after take_next_signing()."""
        pending = self.pending_signing()
        if pending is None:
            _write(self.vault, "sign.next", dice(SEED))
        return pending or signing_key(_read_seeds(self.vault, "sign.next")[0])

    def pending_signing(self) -> SigningKey | None:
        """Give the signing key that waits for its certificate, if there is one."""
        seeds = _read_seeds(self.vault, "sign.next", optional=True)
        return signing_key(seeds[0]) if seeds else None

    def take_next_signing(self) -> KeyRing:
        """Put the next signing key in force, once its certificate is stored. Raises StoreError when there is none."""
        _write(self.vault, "sign.key", _read_seeds(self.vault, "sign.next")[0])
        self.vault.remove("sign.next")
        return self._again()

    def rotate_nats(self, dice: Dice = secrets.token_bytes) -> KeyRing:
        """Take a new nkey; the old one is kept until drop_older_nats(), for a broker that has not learned the new one."""
        self.vault.write("nats.old", self.nats_seed.reveal() + b"\n")
        self.vault.write("nats.key", _nkey_seed(dice(SEED)).encode() + b"\n")
        return self._again()

    def drop_older_nats(self) -> None:
        """Give the nkey before the present one up: a broker let the new one in."""
        if self.nats_older is not None:
            self.vault.remove("nats.old")

    def rotate_opening(self, dice: Dice = secrets.token_bytes) -> KeyRing:
        """Take a new opening key; the older ones still open what is on slow roads."""
        _write(self.vault, "open.key", dice(SEED), *[key.secret.reveal() for key in self.opening])
        return self._again()

    def take_fleet_key(self, fleet_key: Secret) -> KeyRing:
        """Put a new hop key in force; the older ones are still accepted. One that is known changes nothing."""
        older = [key.reveal() for key in self.fleet_keys]
        if fleet_key.reveal() in older:
            return self
        _write(self.vault, "fleet.key", fleet_key.reveal(), *older)
        return self._again()

    def put_root(self, seed: Secret) -> KeyRing:
        """Take over the fleet's root key, exported elsewhere. Raises Conflict when it is another fleet's."""
        if signing_key(seed.reveal()).public != self.root_public:
            raise Conflict("this is the root key of another fleet")
        _write(self.vault, "root.key", seed.reveal())
        return self._again()

    def drop_root(self) -> KeyRing:
        """Give the fleet's root key up, once it lives elsewhere."""
        self.vault.remove("root.key")
        return self._again()

    def root_seed(self) -> Secret:
        """Give the root key's seed, to be exported. Raises NoIdentity where the root key does not live."""
        seeds = _read_seeds(self.vault, "root.key", optional=True)
        if not seeds:
            raise NoIdentity("the fleet's root key is on another machine")
        return Secret(seeds[0])


def _write(vault: Vault, name: str, *seeds: bytes) -> None:
    """Write seeds as lines of hex, the newest first, at most KEPT."""
    vault.write(name, b"".join(seed.hex().encode() + b"\n" for seed in seeds[:KEPT]))


def _write_identity(directory: Path, identity: Identity) -> None:
    atomic_write(directory / "identity.json", msgspec.json.format(msgspec.json.encode(identity)) + b"\n")


def _read(vault: Vault, name: str) -> bytes:
    data = vault.read(name)
    if data is None:
        raise StoreError(f"{vault.place(name)} cannot be read: No such file", hint="fleet config show keys.store")
    return data


def _read_seeds(vault: Vault, name: str, *, optional: bool = False) -> list[bytes]:
    if optional and vault.read(name) is None:
        return []
    try:
        seeds = [bytes.fromhex(line.decode("ascii")) for line in _read(vault, name).split()]
    except ValueError:
        seeds = []
    if not seeds or any(len(seed) != SEED for seed in seeds):
        raise StoreError(f"{vault.place(name)} is damaged: it must hold lines of {2 * SEED} hex digits")
    return seeds


def _fleet_seeds(vault: Vault) -> list[bytes]:
    """Read the fleet keys, the environment's first."""
    kept = _read_seeds(vault, "fleet.key", optional=True)
    word = os.environ.get("FLEET_KEY", "").strip()
    if not word:
        return kept
    try:
        given = bytes.fromhex(word)
    except ValueError:
        given = b""
    if len(given) != SEED:
        raise StoreError(f"FLEET_KEY in the environment is not {2 * SEED} hex digits")
    return [given, *(seed for seed in kept if seed != given)]


def _read_identity(directory: Path) -> Identity:
    path = directory / "identity.json"
    try:
        identity = msgspec.json.decode(_read(Files(directory), path.name), type=Identity)
        bytes.fromhex(identity.root)
    except (msgspec.MsgspecError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error}") from error
    return identity


def _nkey_seed(seed: bytes) -> str:
    """Write a user's nkey seed: two version bytes in 10 bits and 6 spare ones, the seed, a checksum."""
    return _nkey(bytes([_NKEY_SEED | _NKEY_USER >> 5, (_NKEY_USER & 31) << 3]) + seed)


def _nkey(data: bytes) -> str:
    checksum = binascii.crc_hqx(data, 0).to_bytes(2, "little")
    return base64.b32encode(data + checksum).rstrip(b"=").decode()


def _unbase32(text: bytes) -> bytes:
    return base64.b32decode(text + b"=" * (-len(text) % 8))
