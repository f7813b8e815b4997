"""A world of real nodes for each test; must never outlive it."""

from collections.abc import Iterator

import pytest

from tests.support.nodes import World, worlds


@pytest.fixture
def world() -> Iterator[World]:
    yield from worlds()
