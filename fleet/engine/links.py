"""The health of every link of this node; the only writer of it. It counts and looks up, the tables decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from fleet.core import policy
from fleet.core.channel import Traits
from fleet.core.fate import layer_of
from fleet.core.health import UNTRIED, Evidence, Health, Link, Signal, advance, elapsed, observe
from fleet.core.peer import Peer
from fleet.core.plan import Road, is_open
from fleet.engine.shared import Shared
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
        self._layers: dict[tuple[str, str], str] = {}
        self._homeless: dict[tuple[str, str], int] = {}  # roads without the peer's address → what was known then
        self.shared = Shared(world)
        self.on_change: Callable[[Change], None] = lambda change: None
        self.on_proven: Callable[[str], None] = lambda peer: None  # the peer answered: it is awake and hears us
        self.mail_waits: Callable[[str], bool] = lambda peer: True
        self.known: Callable[[], int] = lambda: 0  # grows whenever an address may have changed

    def get(self, peer: str, channel: str) -> Link:
        """Give a link as it stands now, time already counted in."""
        key = (peer, channel)
        link = self._links.get(key, UNTRIED)
        signal = elapsed(link, self._world.steady())
        return self._enter(key, link, signal, "time") if signal else link

    def usable(self, peer: str, channel: str) -> bool:
        """Say whether mail may go to it now."""
        return is_open(self._traits.get(channel, Traits()), self.get(peer, channel))

    def credit(
        self, peer: str, channel: str, evidence: Evidence, *, took: float = 0.0, reason: str = "", security: bool = False
    ) -> None:
        """Count evidence; `took` = the round trip in seconds."""
        key = (peer, channel)
        before = self._links.get(key, UNTRIED)
        link, signal = observe(before, evidence, self._world.steady(), took=took, reason=reason, security=security)
        self._links[key] = link
        if signal is not None:
            self._enter(key, link, signal, reason or evidence.value)
        if evidence is Evidence.GOOD:
            self._proven(key)
        elif evidence in (Evidence.BAD, Evidence.FATAL) and before.lively and not security:
            self.shared.failed(peer, self.layer(peer, channel), took)

    def _proven(self, key: tuple[str, str]) -> None:
        """A peer answered: what was lost together is asked at once."""
        layer, everywhere = self.layer(*key), self.shared.ourselves is not None
        if self.shared.proven(key[0], layer, asked=self._pings(key[1])):
            for other, link in self._links.items():
                if link.health is Health.BROKEN and (everywhere or self.layer(*other) == layer):
                    self._links[other] = replace(link, held_until=self._world.steady())
        self.on_proven(key[0])

    def look(self) -> None:
        """Judge what several peers lost at once: the links of a layer at fault go down together."""
        for layer, peers in self.shared.look().layers.items():
            reason = f"layer {layer}: {len(peers)} peers at once"
            for (peer, channel), link in list(self._links.items()):
                own = peer in peers and link.bad > 0
                if link.lively and self.layer(peer, channel) == layer and (own or self._pings(channel)):
                    self.credit(peer, channel, Evidence.SHARED, reason=reason)

    def layer(self, peer: str, channel: str) -> str:
        """Name the layer of a link, as it was when the roads to the peer were last looked at."""
        return self._layers.get((peer, channel)) or policy.LAYERS.get(channel, channel)

    def blameless(self, peer: str, channel: str) -> bool:
        """Say whether the peer is not to blame for what fails on this link now: its layer is down, or it is ourselves."""
        return self.shared.blameless(self.layer(peer, channel))

    def _enter(self, key: tuple[str, str], link: Link, signal: Signal, reason: str) -> Link:
        entered = advance(link, signal, self._world.steady(), cap=self._cap(key), dice=self._world.chance())
        self._links[key] = entered
        if entered.health is not link.health:
            self.on_change(Change(*key, link.health, entered.health, reason, entered))
        return entered

    def _pings(self, channel: str) -> bool:
        traits = self._traits.get(channel)
        return traits is not None and traits.pings

    def _cap(self, key: tuple[str, str]) -> float:
        if self._pings(key[1]):
            return policy.HOLD_CAP_PINGS
        return policy.HOLD_CAP_MAIL if self.mail_waits(key[0]) else policy.HOLD_CAP_IDLE

    def restore(self, peer: str, channel: str, link: Link) -> None:
        """Take a stored link in at start: a fault of security stays, everything else must prove itself again."""
        self._links[(peer, channel)] = link

    def roads(self, peer: Peer) -> list[Road]:
        """List the roads in their order, with their links, without those that said they have no address of the peer."""
        return [
            self._road(peer, name, traits) for name, traits in self._traits.items() if self.has_address(peer.id, name)
        ]

    def without_address(self, peer: str, channel: str) -> None:
        """Note that a road has no address of a peer: it is left out until one may have become known."""
        self._homeless[(peer, channel)] = self.known()

    def ask_again(self) -> None:
        """Forget which roads had no address: a setting changed."""
        self._homeless.clear()

    def has_address(self, peer: str, channel: str) -> bool:
        """Say whether a road may have an address of a peer; one that was never asked may."""
        return self._homeless.get((peer, channel)) != self.known()

    def _road(self, peer: Peer, name: str, traits: Traits) -> Road:
        table = self._settings.get(name, {})
        timeout = peer.timeout or float(str(table.get("timeout") or 0.0))
        layer = self._layers[(peer.id, name)] = layer_of(peer, name)
        return Road(name, traits, self.get(peer.id, name), layer, timeout, self.shared.stretch)

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
