"""Homes of members on disk, made from a seed: keys, certificates by one root, everybody known to everybody; runs nothing.

Only the keys and first frames are made here, by the code that makes them in earnest. A home can be copied: a campaign
makes its homes once and copies them for every schedule.
"""

import random
from collections.abc import Iterable, Mapping
from pathlib import Path

from fleet.core.sealing import SigningKey
from fleet.daemon.membership import Place, load_identity
from fleet.daemon.paths import Paths, prepare
from fleet.daemon.settings import Settings, parse
from fleet.engine.identity import own_certificate
from fleet.engine.world import World
from fleet.store import Store
from fleet.store.keys import KeyRing
from tests.support import virtual

FLEET = "simfleet"
BEFORE = int((virtual.EPOCH - 60) * 1000)  # members were enrolled a minute before the world begins


def paths_at(home: Path) -> Paths:
    """Lay out a node's home as daemon/paths.py does, without the limit of a Unix socket: there is none."""
    keys, run = home / "keys", home / "run"
    return Paths(
        home=home, config=home / "config.toml", keys=keys, reserve=keys / "reserve.json", database=home / "fleet.db",
        run=run, socket=run / "fleet.sock", token=run / "token", log=home / "log", seeds=home / "seeds",
    )  # fmt: skip


def settings_of(home: Path) -> Settings:
    """Read the configuration of a home."""
    config = home / "config.toml"
    return parse(config.read_text() if config.exists() else "", str(config), {}, {})


def enrol(
    directory: Path, names: Iterable[str], *, seed: object = 0, strangers: Iterable[str] = (),
    trust: Mapping[str, int] | None = None, config: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """Make the homes of a fleet; the first is chief and holds the root key, nobody knows `strangers` nor do they anybody."""
    names, dice = list(names), random.Random(f"keys {seed}")
    rings: dict[str, KeyRing] = {}
    for name in names:
        paths = paths_at(directory / name)
        prepare(paths)
        paths.config.write_text((config or {}).get(name, ""))
        rings[name] = _ring(paths, name, rings.get(names[0]), dice)
    root = rings[names[0]].root
    assert root is not None
    frames = {name: _introduce(directory / name, ring, root, (trust or {}).get(name, 2)) for name, ring in rings.items()}
    for name in names:
        _acquaint(directory / name, {other: frames[other] for other in names if other != name}, set(strangers))


def _ring(paths: Paths, name: str, first: KeyRing | None, dice: random.Random) -> KeyRing:
    if first is None:
        return KeyRing.make(paths.keys, name, FLEET, dice.randbytes)
    ring = KeyRing.make(paths.keys, name, dice=dice.randbytes)
    return ring.adopt(FLEET, first.root_public, first.fleet_keys[0])


def _introduce(home: Path, ring: KeyRing, root: SigningKey, trust: int) -> tuple[bytes, bytes]:
    """Give a node its certificate and let it write its manifest, which says where the simulated roads find it."""
    paths = paths_at(home)
    world = World(lambda: BEFORE, lambda: 0.0, lambda n: bytes(n), lambda: 0.5)
    certificate = own_certificate(
        root, FLEET, ring.node, ring.signing.public, serial=BEFORE, issued=BEFORE, trust=trust,
        role="chief" if ring.root is not None else "worker",
    )  # fmt: skip
    store = Store.open(paths.database, paths.keys)
    try:
        with store.db.transaction():
            store.members.put_certificate(ring.node, BEFORE, certificate)
            identity = load_identity(store, ring, settings_of(home), Place({}), world)
    finally:
        store.close()
    return identity.certificate, identity.manifest


def _acquaint(home: Path, others: Mapping[str, tuple[bytes, bytes]], strangers: set[str]) -> None:
    paths = paths_at(home)
    store = Store.open(paths.database, paths.keys)
    try:
        with store.db.transaction():
            for name, (certificate, manifest) in others.items():
                if name not in strangers and home.name not in strangers:
                    store.members.put_certificate(name, BEFORE, certificate)
                    store.members.put_manifest(name, BEFORE, manifest)
    finally:
        store.close()
