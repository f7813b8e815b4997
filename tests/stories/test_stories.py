"""Every story happens exactly as it is written."""

from pathlib import Path

import pytest

from tests.stories.replay import retold, stories


@pytest.mark.parametrize("path", stories(), ids=lambda path: path.stem)
def test_it_happens_exactly_as_written(path: Path) -> None:
    assert retold(path) == path.read_text(encoding="utf-8"), "python -m tests.stories --rewrite, and read the diff"


def test_every_story_begins_by_saying_what_it_proves() -> None:
    openings = {path.stem: path.read_text(encoding="utf-8").partition("\n>")[0] for path in stories()}
    assert openings
    assert [name for name, prose in openings.items() if len(prose.split()) < 12] == []
