"""The health of every link of this node; the only writer of it. It counts and looks up, the tables decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fleet.core import policy
from fleet.core.channel import Traits
from fleet.core.health import UNTRIED, Evidence, Health, Link, Signal, advance, elapsed, observe
from fleet.core.peer import Peer
from fleet.core.plan import Road
from fleet.engine.world import World


@dataclass(frozen=True, slots=True)
class Change:
    """A link that went from one health to another, and why."""

    peer: str
    channel: str
    old: Health
    new: Health
    reason: str
    link: Link


class Links:
    """All links, by (peer, channel)."""

    def __init__(self, world: World, traits: Mapping[str, Traits], settings: Mapping[str, Mapping[str, object]]):
        """Take the roads in their order and the [channel.NAME] tables; both may grow while running."""
        self._world = world
        self._traits = traits
        self._settings = settings
        self._links: dict[tuple[str, str], Link] = {}
        self.on_change: Callable[[Change], None] = lambda change: None
        self.on_proven: Callable[[str], None] = lambda peer: None  # the peer answered: it is awake and hears us
        self.mail_waits: Callable[[str], bool] = lambda peer: True

    def get(self, peer: str, channel: str) -> Link:
        """Give a link as it stands now, time already counted in."""
        key = (peer, channel)
        link = self._links.get(key, UNTRIED)
        signal = elapsed(link, self._world.steady())
        return self._enter(key, link, signal, "time") if signal else link

    def usable(self, peer: str, channel: str) -> bool:
        """Say whether anything may be sent over it now."""
        return self.get(peer, channel).health is not Health.BROKEN

    def credit(
        self, peer: str, channel: str, evidence: Evidence, *, took: float = 0.0, reason: str = "", security: bool = False
    ) -> None:
        """Count evidence; `took` = the round trip in seconds."""
        key = (peer, channel)
        link, signal = observe(
            self._links.get(key, UNTRIED), evidence, self._world.steady(), took=took, reason=reason, security=security
        )
        self._links[key] = link
        if signal is not None:
            self._enter(key, link, signal, reason or evidence.value)
        if evidence is Evidence.GOOD:
            self.on_proven(peer)

    def _enter(self, key: tuple[str, str], link: Link, signal: Signal, reason: str) -> Link:
        entered = advance(link, signal, self._world.steady(), cap=self._cap(key), dice=self._world.chance())
        self._links[key] = entered
        if entered.health is not link.health:
            self.on_change(Change(*key, link.health, entered.health, reason, entered))
        return entered

    def _cap(self, key: tuple[str, str]) -> float:
        traits = self._traits.get(key[1])
        if traits is not None and traits.pings:
            return policy.HOLD_CAP_PINGS
        return policy.HOLD_CAP_MAIL if self.mail_waits(key[0]) else policy.HOLD_CAP_IDLE

    def restore(self, peer: str, channel: str, link: Link) -> None:
        """Take a stored link in at start: a fault of security stays, everything else must prove itself again."""
        self._links[(peer, channel)] = link

    def roads(self, peer: Peer) -> list[Road]:
        """List the roads in their order, with their links; one without the peer's address will say so itself."""
        return [self._road(peer, name, traits) for name, traits in self._traits.items()]

    def _road(self, peer: Peer, name: str, traits: Traits) -> Road:
        table = self._settings.get(name, {})
        timeout = peer.timeout or float(str(table.get("timeout") or 0.0))
        return Road(name, traits, self.get(peer.id, name), peer.layers.get(name, ""), timeout)

    def snapshot(self, peer: str) -> dict[str, Link]:
        """Give all links of a peer by channel, untried ones included."""
        return {name: self.get(peer, name) for name in self._traits}

    def next_change(self, peer: str) -> float | None:
        """Say when the clock alone will change a link of this peer (steady seconds); None = never."""
        held = [
            link.held_until
            for (node, _), link in self._links.items()
            if node == peer and link.health is Health.BROKEN and not link.security
        ]
        return min(held, default=None)
