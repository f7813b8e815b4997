"""Counts what peers lose together, so that core/fate.py can judge it; it changes no link and blames nobody."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fleet.core import policy
from fleet.core.fate import Failure, Fate, judge
from fleet.engine.world import World

KEPT = 1024  # failures; four a peer within the window, in a fleet of a hundred and more


@dataclass(frozen=True, slots=True)
class Down:
    """A layer at fault: the peers lost with it, and since when (steady seconds)."""

    peers: frozenset[str]
    since: float


class Shared:
    """The failures and proofs of one node, layer by layer."""

    def __init__(self, world: World) -> None:
        """Begin with nothing lost."""
        self._world = world
        self._failures: deque[Failure] = deque(maxlen=KEPT)
        self._proven: dict[tuple[str, str], float] = {}
        self.down: dict[str, Down] = {}
        self.ourselves: Down | None = None  # while this node suspects itself

    @property
    def stretch(self) -> float:
        """By how much this node's own deadlines grow: it may be the slow one."""
        return policy.STRETCH if self.ourselves else 1.0

    def failed(self, peer: str, layer: str, took: float) -> None:
        """Note that a link which had answered before failed, after `took` seconds."""
        now = self._world.steady()
        self._failures.append(Failure(peer, layer, now - took, now))

    def proven(self, peer: str, layer: str, *, asked: bool) -> bool:
        """Note a proof; `asked` = this road is asked all the time. Says whether we or the layer were at fault until now."""
        if asked:
            self._proven[(layer, peer)] = self._world.steady()
        self._forget(lambda one: (one.layer, one.peer) == (layer, peer))
        ourselves, self.ourselves = self.ourselves, None
        return self.down.pop(layer, None) is not None or ourselves is not None

    def _forget(self, past: Callable[[Failure], bool]) -> None:
        if any(map(past, self._failures)):
            self._failures = deque((one for one in self._failures if not past(one)), KEPT)

    def look(self) -> Fate:
        """Judge what came together of late; gives the layers that are newly at fault."""
        if not self._failures:
            return Fate()
        now = self._world.steady()
        self._forget(lambda one: now - one.at > policy.SHARED_WINDOW)
        fate = judge(tuple(self._failures), self._proven, self.down, now)
        if fate.ourselves and self.ourselves is None:
            self.ourselves = Down(fate.ourselves, now)
        self.down.update({layer: Down(peers, now) for layer, peers in fate.layers.items()})
        return fate

    def blameless(self, layer: str) -> bool:
        """Say whether what fails on a layer now is not its peer's fault."""
        return self.ourselves is not None or layer in self.down

    def lasting(self) -> Iterator[tuple[str, Down]]:
        """Give what is shared and lasted long enough to be told: a layer's name or "" for ourselves, and since when."""
        found = [("", self.ourselves)] if self.ourselves else list(self.down.items())
        now = self._world.steady()
        yield from ((layer, down) for layer, down in found if now - down.since >= policy.LAYER_DOWN_FOR)
