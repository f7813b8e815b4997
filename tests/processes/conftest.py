"""A world of its own for each test, and one that the tests of a module share; must never outlive them."""

from collections.abc import Iterator

import pytest

from tests.support.nodes import Node, World, worlds


@pytest.fixture
def world() -> Iterator[World]:
    yield from worlds()


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Node, Node]]:
    """Two members a and b with daemons; whoever uses it leaves them as they were."""
    with World() as world:
        yield world.pair()
