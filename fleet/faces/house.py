"""A node whose daemon is not running, as its files show it: settings, keys, store, members; must never carry mail.

What it accepts is in the store; the daemon finds it there when it starts. The counter is the daemon's own (Mailroom),
over a writer that commits at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import msgspec

from fleet.core.content import ContentGate
from fleet.core.envelope import Kind
from fleet.core.peer import Peer
from fleet.core.submission import Submission, read_line
from fleet.daemon import registry
from fleet.daemon import settings as configuration
from fleet.daemon.mailroom import Mailroom
from fleet.daemon.oversight import Oversight, figures_of
from fleet.daemon.paths import Paths, paths_of
from fleet.daemon.settings import Settings
from fleet.daemon.sight import Sight
from fleet.engine.at_once import AtOnce
from fleet.engine.conduct import Conduct
from fleet.engine.identity import Identity
from fleet.engine.links import Links
from fleet.engine.roster import Roster
from fleet.engine.screening import Screening
from fleet.engine.waiting import Waiting
from fleet.engine.world import real_world
from fleet.errors import FleetError, NoIdentity
from fleet.faces.messages import EVERYBODY, everybody
from fleet.faces.verdicts import exit_of, exit_of_all
from fleet.store import Store
from fleet.store.keys import KeyRing
from fleet.store.notary import Notary
from fleet.store.vault import Vault, open_vault

if TYPE_CHECKING:
    from fleet.core.framing import Framed
    from fleet.daemon.service import Node
    from fleet.daemon.sessions import Event
    from fleet.engine.writer import Writer


class House:
    """The files of one node; each is opened when it is first needed."""

    def __init__(self, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> None:
        """Find the node that FLEET_HOME or the user's directories name."""
        self.environ = environ
        self.flags = dict(flags or {})
        self.paths: Paths = paths_of(environ)

    @cached_property
    def settings(self) -> Settings:
        """The configuration in force. Raises SettingsError with every mistake."""
        return configuration.load(self.paths, self.environ, self.flags)

    @cached_property
    def vault(self) -> Vault:
        """Where the secret keys lie. Raises StoreError for a keyring that is not there."""
        return open_vault(self.settings.keys.store, self.paths.keys)

    @cached_property
    def ring(self) -> KeyRing:
        """The keys of this node. Raises NoIdentity on a machine where neither init nor join ever ran."""
        return KeyRing.load(self.paths.keys, self.vault)

    @cached_property
    def store(self) -> Store:
        """The store. Raises NoIdentity as ring does."""
        if not self.initialised:
            raise NoIdentity(hint="fleet init, or fleet join LINK")
        store = Store.open(self.paths.database, self.paths.keys)
        with contextlib.suppress(FleetError):  # without keys there is nothing to write either
            store.audit.use(Notary.of(self.ring))
        return store

    @property
    def initialised(self) -> bool:
        """Whether this machine has keys."""
        return (self.paths.keys / "identity.json").exists()

    @cached_property
    def roster(self) -> Roster:
        """The members as the store remembers them."""
        ring, members = self.ring, self.store.members
        frames = {found.node: found for found in members.all()}
        own = frames.pop(ring.node, None)
        me = Identity(
            ring.node, ring.fleet, ring.signing, tuple(ring.opening), tuple(ring.fleet_keys), ring.root_public,
            own.certificate if own else b"", own.manifest if own else b"",
        )  # fmt: skip
        roster = Roster(me, self.settings.peers, members.peers())
        version, revocation = members.revocation()
        if version:
            roster.revoke(revocation)
        roster.load((found.certificate, found.manifest) for found in frames.values() if found.manifest)
        return roster

    @cached_property
    def kinds(self) -> Mapping[str, Kind]:
        """The types of message, as configured."""
        return self.settings.kinds()

    @cached_property
    def links(self) -> Links:
        """The roads as the daemon last knew them; each module is loaded to ask for its traits, none is opened."""
        built = registry.build(self.settings.roads, self.settings.channel)
        traits = {name: channel.traits for name, channel in built.channels.items()}
        links = Links(real_world(), traits, self.settings.channels)
        for (peer, channel), link in self.store.ledger.load_links().items():
            links.restore(peer, channel, link)
        return links

    @property
    def exchange(self) -> House:
        """Where the views ask for levels."""
        return self

    def level(self, peer: Peer) -> int:
        """Give a peer's trust level, as the daemon does."""
        return self.conduct.level(peer)

    @cached_property
    def writer(self) -> Writer:
        """What commits at once."""
        return cast("Writer", AtOnce(self.store))

    @cached_property
    def conduct(self) -> Conduct:
        """What is thought of the peers, as the store remembers it."""
        return Conduct(self.writer, self.store, real_world(), *figures_of(self.settings))

    @property
    def oversight(self) -> Oversight:
        """The operator's hand on trust, budgets and breakers."""
        return Oversight(self.conduct, self.roster, self.writer, self.store, real_world())

    @property
    def reader(self) -> Store:
        """Where the views read."""
        return self.store

    @cached_property
    def screening(self) -> Screening:
        """The content gate, as the daemon asks it."""
        return Screening(ContentGate(lambda: self.ring.fleet_keys[0], self.settings.content.actions), self.level)

    def explain(self, peer: str, word: str) -> dict[str, Any]:
        """Say what the gates and the plan would be, from what was known when the daemon stopped."""
        return Sight(cast("Node", self)).explain(peer, word)

    @cached_property
    def mail(self) -> Mailroom:
        """The counter of this node."""
        settings = self.settings
        return Mailroom(
            self.writer, self.store, self.roster, Waiting(), self.kinds, settings.content.limit, settings.order,
            real_world(), self.screening, self.conduct,
        )  # fmt: skip

    def session(self, event: Event) -> Framed:
        """Take an event of an agent session, as the daemon would; gives the text for it."""
        from fleet.daemon.handover import Handover
        from fleet.daemon.sessions import Sessions

        writer: Writer = AtOnce(self.store)  # type: ignore[assignment]
        world = real_world()
        sessions = Sessions(writer, world)
        sessions.load(self.store)
        handover = Handover(writer, self.store, sessions, world, None, self.mail.shown, lambda event, **fields: None)
        return asyncio.run(handover.came(event))

    def take_in_seeds(self) -> int:
        """Take in the seeds that others put here meanwhile; what fails is left to the daemon, which says so."""
        if next(self.paths.seeds.glob("*.seed"), None) is None:
            return 0
        from fleet.daemon import reception

        with contextlib.suppress(FleetError):
            return reception.take_in(self.environ)
        return 0

    def accept(self, message: Mapping[str, Any], wait: str) -> tuple[Any, int]:
        """Accept a message for the daemon to find; gives the answer and the exit code of not waiting any longer."""
        self.take_in_seeds()
        asked = read_line(msgspec.json.encode(message))
        if asked.to == EVERYBODY:
            answers = self._submit([msgspec.structs.replace(asked, to=peer) for peer in everybody(self.roster)])
            return answers, exit_of_all([exit_of(answer, wait) for answer in answers])
        (answer,) = self._submit([asked])
        return answer, exit_of(answer, wait)

    def _submit(self, asked: list[Submission]) -> list[dict[str, Any]]:
        return asyncio.run(self.mail.submit(asked))

    def run(self, work: Callable[[Mailroom], Any]) -> Any:
        """Do one thing at the counter."""
        return asyncio.run(work(self.mail))
