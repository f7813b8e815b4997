"""How a machine gets its node: `fleet init` for the first of a fleet, `fleet join` for others; never two for one."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet.core.envelope import is_node_id
from fleet.daemon import edit
from fleet.daemon.enrolment import read_link
from fleet.daemon.joining import join_fleet
from fleet.daemon.membership import Place
from fleet.daemon.paths import Paths, prepare
from fleet.engine.world import real_world
from fleet.errors import FleetError, SettingsError, UsageError
from fleet.faces.lock import Lock
from fleet.store import Store
from fleet.store.files import atomic_write, remove
from fleet.store.keys import KeyRing

if TYPE_CHECKING:
    from fleet.faces.house import House

TEMPLATE = Path(__file__).parents[2] / "config" / "fleet.toml"
PORTS = 200  # how many ports from the usual one up are tried


def slug(name: str) -> str:
    """Make a node id of a host name: its first label, lower case, what is not allowed becomes a dash."""
    word = re.sub(r"[^a-z0-9]+", "-", name.split(".")[0].lower()).strip("-")[:63].strip("-")
    return word or "node"


def found(house: House, node: str | None, fleet: str | None) -> tuple[dict[str, Any], list[str]]:
    """Make keys, configuration and database; gives what was made and what there is to say about it.

    On a machine that has a node already it changes nothing. Raises UsageError when another id was asked for.
    """
    prepare(house.paths)
    news: list[str] = []
    if house.initialised:
        ring = house.ring
        if node not in (None, ring.node) or fleet not in (None, ring.fleet):
            raise UsageError(f"this machine is {ring.node} of {ring.fleet} already", hint="fleet paths")
        news.append("this machine has its node already: nothing was changed")
    else:
        ring = make_ring(house, node, fleet or f"fleet-{secrets.token_hex(4)}")
        news += _configure(house.paths, ring, house.settings.nats.port)
    Store.open(house.paths.database, house.paths.keys).close()
    shown = {"node": ring.node, "fleet": ring.fleet, "key": ring.signing.public.hex(), "home": str(house.paths.home)}
    return shown, news


def make_ring(house: House, node: str | None, fleet: str) -> KeyRing:
    """Make the keys of this machine's node; its id is the one given, the configured one, or the host's name."""
    id = node or house.settings.node.id or slug(socket.gethostname())
    for word in filter(None, (id, fleet)):
        if not is_node_id(word):
            raise UsageError(f"{word!a} cannot be an id: a-z, 0-9, -, up to 63 characters", hint="fleet init --node mac1")
    ring = KeyRing.make(house.paths.keys, id, fleet, vault=house.vault)
    write_template(house.paths)
    return ring


def write_template(paths: Paths) -> None:
    """Put the template where there is no configuration yet, its settings as comments: what is not said stays a default."""
    if not paths.config.exists() and TEMPLATE.exists():
        text = re.sub(r"(?m)^(?=[a-z0-9_]+ *=)", "# ", TEMPLATE.read_text("utf-8"))
        atomic_write(paths.config, text.encode())


def _configure(paths: Paths, ring: KeyRing, wanted: int) -> list[str]:
    """Let the first machine serve NATS, on the usual port or the next free one."""
    port = free_port(wanted)
    for key, value in (("node.id", ring.node), ("node.fleet", ring.fleet), ("nats.serve", True), ("nats.port", port)):
        edit.set_key(paths, key, value)
    return [f"this node will serve NATS on port {port}"]


def free_port(wanted: int) -> int:
    """Find the first free port from `wanted` up. Raises SettingsError."""
    for port in range(wanted, min(wanted + PORTS, 65_536)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise SettingsError(f"no port from {wanted} up is free for NATS", hint="fleet config set nats.port PORT")


def join(house: House, link: str, node: str | None) -> dict[str, Any]:
    """Join a fleet while no daemon runs: make keys if there are none, ask the inviter, keep what it gives."""
    inviter = read_link(link).name
    prepare(house.paths)
    with Lock(house.paths):
        made = not house.initialised
        if made:
            make_ring(house, node or _other_than(inviter), "")
        elif node not in (None, house.ring.node):
            raise UsageError(f"this machine is {house.ring.node} already", hint="fleet join LINK, without --node")
        try:
            return asyncio.run(join_fleet(house.paths, house.settings, house.ring, link, Place({}), real_world()))
        except FleetError:
            if made:
                _forget_keys(house)
            raise


def _other_than(inviter: str) -> str:
    """Make a default id that is not the inviter's: two nodes may share one machine."""
    id = slug(socket.gethostname())
    return id if id != inviter else f"{id[:58]}-{secrets.token_hex(2)}"


def _forget_keys(house: House) -> None:
    """Take back the keys of a node that was not let in; identity.json first, without it there is no identity."""
    remove(house.paths.keys / "identity.json")
    for name in ("sign.key", "open.key", "nats.key"):
        house.vault.remove(name)
