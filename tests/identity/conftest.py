"""Real nodes for the tests that need sockets; everything else of this folder runs in virtual time."""

from collections.abc import Iterator

import pytest

from tests.support.nodes import World, worlds


@pytest.fixture
def world() -> Iterator[World]:
    yield from worlds()
