"""A world of nodes and a net of hosts for each test; must never outlive it."""

from collections.abc import Iterator

import pytest

from tests.support.netns import Net
from tests.support.nodes import World


@pytest.fixture
def net() -> Iterator[Net]:
    with Net("a", "b", "c") as net:
        yield net


@pytest.fixture
def world(net: Net) -> Iterator[World]:
    """Made after the net, so that its daemons end before their hosts do."""
    with World() as world:
        yield world
