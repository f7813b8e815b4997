"""The step that Codex leaves to its user: without it no hook runs, `doctor` says so, and afterwards all is well."""

import json

import pytest

from tests.ide.conftest import FLEET, Sit
from tests.ide.seats import Codex, finished
from tests.ide.terminal import Terminal
from tests.support.nodes import Node, until

pytestmark = [pytest.mark.tier("ide"), pytest.mark.timeout(300)]

BODY = "the purple heron has landed"


def finding(seat: Codex) -> tuple[str, str]:
    """What `fleet doctor` says of Codex."""
    done = finished([str(FLEET), "doctor", "--json"], seat.home, seat.environ)
    found = {one["id"]: one for one in json.loads(done.stdout)["checks"]}
    return found["agents-codex"]["status"], found["agents-codex"]["why"]


def choose(terminal: Terminal, number: int) -> None:
    """Answer the question after the hooks: 1 review, 2 trust all, 3 go on without; keys pressed too early are lost."""
    for at in range(1, number):
        terminal.shows(f"› {at}.")
        terminal.press_until(f"› {at + 1}.", "Down")
    terminal.press("Enter")


def test_codex_runs_our_hooks_once_its_user_trusts_them(pair: tuple[Node, Node], sit: Sit) -> None:
    a, b = pair
    seat = sit("codex")
    assert isinstance(seat, Codex)
    a.send("b", BODY)
    until(lambda: BODY in b.arrived().values(), "the message is in the inbox")
    with seat.open() as terminal:
        choose(terminal, 3)
        terminal.shows("Ask Codex")
        terminal.type("hello")
        until(lambda: seat.model.asked, "a turn without hooks")
    assert BODY not in seat.model.seen
    assert finding(seat) == ("warning", "Codex runs 4 of fleet's hooks only after you trust them")

    with seat.open() as terminal:
        choose(terminal, 2)
        terminal.shows("Ask Codex")
        terminal.type("hello")
        until(lambda: seat.model.seen.count(BODY) == 1, "the message stands in the request")
    assert finding(seat) == ("ok", "")
