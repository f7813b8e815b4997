"""The hook inputs that other tests replay are still what the programs hand over."""

import json
from typing import Any

import pytest

from fleet.faces.programs import PROGRAMS
from tests.ide.capture import CAPTURED, captured
from tests.ide.seats import SEATS

pytestmark = [pytest.mark.tier("ide"), pytest.mark.timeout(300)]


def shape(value: Any) -> Any:
    """Keys and kinds, without what they hold."""
    return {key: shape(one) for key, one in value.items()} if isinstance(value, dict) else type(value).__name__


@pytest.mark.parametrize("name", SEATS)
def test_every_hook_is_handed_what_was_captured(name: str) -> None:
    kept = {path.stem.split("-")[0]: json.loads(path.read_text()) for path in (CAPTURED / name).glob("*.json")}
    now = captured(name)
    assert set(kept) == set(PROGRAMS[name].events) == set(now), "every event fires in one session"
    assert {event: shape(value) for event, value in now.items()} == {event: shape(value) for event, value in kept.items()}
