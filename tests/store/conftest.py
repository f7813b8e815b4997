"""A store of its own for every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.store import Store
from tests.support.letters import open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store with an open transaction, as every method wants it."""
    opened = open_store(tmp_path / "node")
    with opened.db.transaction():
        yield opened
    opened.close()
