"""Shared fate as a table: who failed on what within which seconds, and what that means."""

import pytest

from fleet.core import policy
from fleet.core.fate import Failure, Fate, judge, layer_of
from fleet.core.peer import Peer

NOW = 100.0


def judged(failures: str, proven: str = "", down: tuple[str, ...] = ()) -> Fate:
    """Judge `peer layer seconds-ago [lasting]` and `layer peer seconds-ago`, each separated by commas."""
    found = []
    for words in filter(None, (part.split() for part in failures.split(","))):
        at = NOW - float(words[2])
        found.append(Failure(words[0], words[1], at - float(words[3] if len(words) > 3 else 0), at))
    proofs = {(layer, peer): NOW - float(ago) for layer, peer, ago in (part.split() for part in proven.split(",") if part)}
    return judge(found, proofs, down, NOW)


@pytest.mark.parametrize(
    ("failures", "proven", "layers"),
    [
        ("b broker 1, c broker 0", "", {"broker": {"b", "c"}}),
        ("b broker 1", "", {}),  # one is no coincidence
        ("b broker 1, b broker 0", "", {}),  # the same one twice
        ("b broker 1, c lan 0", "", {}),  # not the same road
        ("b broker 5.1, c broker 0", "", {}),  # too long ago
        ("b broker 5, c broker 0", "", {"broker": {"b", "c"}}),
        ("b broker 1, c broker 0, d broker 0", "", {"broker": {"b", "c", "d"}}),
        # what was proven after an attempt began speaks for the layer
        ("b broker 2, c broker 0", "broker d 1", {}),
        ("b broker 0 2, c broker 0 2", "broker d 1", {}),
        ("b broker 0 2, c broker 0 2", "broker d 3", {"broker": {"b", "c"}}),
        # two of many that live there are two that went away
        ("b broker 0, c broker 0", "broker d 3, broker e 3, broker f 3", {}),
        ("b broker 0, c broker 0", "broker b 3, broker c 3, broker d 3, broker e 3", {"broker": {"b", "c"}}),
        ("b broker 0, c broker 0", "broker d 11, broker e 11, broker f 11", {"broker": {"b", "c"}}),
        # two layers at once, while a third is in use and well
        ("b broker 0, c broker 0, b lan 0, c lan 0", "key d 1", {"broker": {"b", "c"}, "lan": {"b", "c"}}),
    ],
)
def test_several_peers_at_once_are_their_layers_fault(failures: str, proven: str, layers: dict[str, set[str]]) -> None:
    found = judged(failures, proven)
    assert (dict(found.layers), found.ourselves) == (layers, frozenset())


EVERYWHERE = "b broker 0, c broker 0, b lan 0, c lan 0"


@pytest.mark.parametrize(
    ("failures", "proven", "down", "ourselves"),
    [
        (EVERYWHERE, "broker b 3, lan b 3", (), {"b", "c"}),
        (EVERYWHERE, "", (), {"b", "c"}),
        (EVERYWHERE, "broker b 3, lan b 3, key d 1", (), set()),  # one layer lives
        ("b broker 0 1, c broker 0 1, b lan 0 1, c lan 0 1", "lan d 0.5", (), set()),  # it was proven since
        ("b lan 0, c lan 0", "broker b 3, lan b 3", ("broker",), {"b", "c"}),  # the other went down before
        ("b lan 0, c lan 0", "lan b 3", (), set()),  # the only layer in use is a layer, not we
        ("b broker 0, b lan 0", "broker b 3, lan b 3", (), set()),  # one peer that is off
    ],
)
def test_every_layer_at_once_is_our_own_fault(
    failures: str, proven: str, down: tuple[str, ...], ourselves: set[str]
) -> None:
    assert judged(failures, proven, down).ourselves == ourselves


def test_who_suspects_himself_blames_no_layer() -> None:
    assert not judged(EVERYWHERE).layers


def test_a_layer_that_is_down_is_not_found_again() -> None:
    assert not judged("b broker 0, c broker 0", "lan b 1", ("broker",)).layers


@pytest.mark.parametrize(
    ("peer", "road", "layer"),
    [
        (Peer(id="b"), "nats", "broker"),
        (Peer(id="b"), "http", "lan"),
        (Peer(id="b"), "relay", "lan"),
        (Peer(id="b"), "ssh", "ssh key"),
        (Peer(id="b"), "seed", "ssh key"),
        (Peer(id="b"), "git", "git"),
        (Peer(id="b", addresses={"git": {"remote": "/x"}}), "git", "git of b"),
        (Peer(id="b", addresses={"http": {"url": "http://x"}}), "http", "lan"),
        (Peer(id="b"), "pigeon", "pigeon"),
        (Peer(id="b", layers={"http": "tailnet"}), "http", "tailnet"),
        (Peer(id="b", layers={"git": "forge"}, addresses={"git": {"remote": "/x"}}), "git", "forge"),
    ],
)
def test_every_road_has_a_layer(peer: Peer, road: str, layer: str) -> None:
    assert layer_of(peer, road) == layer


def test_the_numbers_are_those_of_the_design() -> None:
    assert (policy.SHARED_WINDOW, policy.SHARED_PEERS) == (5.0, 2)
    assert 1.0 < policy.STRETCH <= 2.0
