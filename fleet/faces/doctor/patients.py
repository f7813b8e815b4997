"""Who is looked at: a node whose daemon runs, or its files alone; what cannot be read becomes a finding of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fleet.core.peer import Peer
from fleet.daemon import registry
from fleet.daemon.roads import MAILBOXES
from fleet.daemon.settings import parse
from fleet.errors import FleetError, LooseKey, NoIdentity, SettingsError
from fleet.faces.doctor.finding import FAILED, Finding, Patient

if TYPE_CHECKING:
    from fleet.daemon.service import Node
    from fleet.faces.house import House


def of_node(node: Node) -> Patient:
    """Look at a node that runs."""
    loop = asyncio.get_running_loop()
    return Patient(
        node.paths, node.settings, node.roster.peers(), node.roads.channels, node.sight.status(),
        believe_clock=lambda: loop.call_soon_threadsafe(node.clock.confirm),
    )  # fmt: skip


def of_house(house: House) -> Patient:
    """Look at a node by its files. Raises NoIdentity where none was ever made."""
    if not house.initialised:
        raise NoIdentity(hint="fleet init, or fleet join LINK")
    trouble = []
    try:
        settings = house.settings
    except SettingsError as error:
        trouble.append(Finding("config", FAILED, error.message, f"edit {house.paths.config}"))
        settings = parse("", str(house.paths.config), {}, {})
    peers: list[Peer] = []
    names: list[str] = []
    try:
        if not trouble:
            peers = house.roster.peers()
            names = [name for name in settings.roads if name in (*MAILBOXES, "wol")]
    except LooseKey:
        pass  # what others can read is a check of its own
    except FleetError as error:
        trouble.append(Finding("members", FAILED, error.message, error.hint))

    def own(name: str) -> dict[str, object]:
        word = MAILBOXES.get(name, "")
        others = [words.get(name, {}).get(word, "") for words in settings.peers.values()]
        return {"node": house.ring.node, "fleet": house.ring.fleet, "state": str(house.paths.home / name),
                "others": [other for other in others if other]}  # fmt: skip

    return Patient(house.paths, settings, peers, registry.build(names, settings.channel, own).channels, None, trouble)
