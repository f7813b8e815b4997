"""Shared fate: when several peers fail at once it is what they share, or ourselves; pure, it blames no peer.

A layer is what links lose together (a broker, a network, a key). A failure counts here when the link had answered before,
and as long as nothing was proven on the layer since the failed attempt began. Times in seconds of the steady clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from fleet.core import policy
from fleet.core.peer import Peer


@dataclass(frozen=True, slots=True)
class Failure:
    """A link that had answered before and failed now."""

    peer: str
    layer: str
    began: float  # when the attempt that failed was started
    at: float


@dataclass(frozen=True, slots=True)
class Fate:
    """What several failures together mean: the layers that are at fault, each with the peers it took along."""

    layers: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    ourselves: frozenset[str] = frozenset()  # peers lost on every layer at once: suspect this node


def layer_of(peer: Peer, road: str, places: Collection[str] = policy.PLACES) -> str:
    """Name the layer of a peer's road: the operator's word, else the house's; a mailbox of the peer's own stands alone."""
    said = peer.layers.get(road)
    if said:
        return said
    return f"{road} of {peer.id}" if road in places and peer.addresses.get(road) else policy.LAYERS.get(road, road)


def judge(
    failures: Sequence[Failure], proven: Mapping[tuple[str, str], float], down: Collection[str], now: float
) -> Fate:
    """Say what the failures of the last seconds mean.

    `proven` = (layer, peer) → the last proof, of the layers that are asked all the time; `down` = the layers at fault
    already. A layer is at fault when two peers, and half of those that lived on it, failed on it and nothing proved it
    since. When that holds for every layer in use, of which there are two or more, the fault is nearer: ourselves.
    """
    lost = {layer: peers for layer, peers in _lost(failures, proven, now).items() if _enough(layer, peers, proven, now)}
    used = {layer for (layer, _), at in proven.items() if now - at <= policy.LAYER_USED} | {*lost, *down}
    if len(used) > 1 and lost and used == {*lost, *down}:
        return Fate(ourselves=frozenset().union(*lost.values()))
    return Fate(MappingProxyType({layer: peers for layer, peers in lost.items() if layer not in down}))


def _lost(
    failures: Sequence[Failure], proven: Mapping[tuple[str, str], float], now: float
) -> dict[str, frozenset[str]]:
    """Gather the peers lost on each layer within the window, unless the layer proved itself meanwhile."""
    latest: dict[str, float] = {}
    for (layer, _), at in proven.items():
        latest[layer] = max(at, latest.get(layer, at))
    lost: dict[str, frozenset[str]] = {}
    for one in failures:
        if now - one.at <= policy.SHARED_WINDOW and latest.get(one.layer, one.began) <= one.began:
            lost[one.layer] = lost.get(one.layer, frozenset()) | {one.peer}
    return lost


def _enough(layer: str, lost: Collection[str], proven: Mapping[tuple[str, str], float], now: float) -> bool:
    alive = {peer for (on, peer), at in proven.items() if on == layer and now - at <= policy.LAYER_USED}
    return len(lost) >= policy.SHARED_PEERS and 2 * len(lost) >= len(alive.union(lost))
