"""Fixtures of the tier with real agent programs: the programs, two real nodes, a seat at the second one."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.ide import equipment
from tests.ide.seats import SEATS, Seat
from tests.ide.standin import Model
from tests.support.nodes import Node, World

FLEET = Path(__file__).parents[2] / "bin" / "fleet"
Sit = Callable[..., Seat]


@pytest.fixture(scope="session", autouse=True)
def programs() -> Path:
    """The programs; the test tier fetched them before, so this only looks."""
    return equipment.programs()


@pytest.fixture
def pair() -> Iterator[tuple[Node, Node]]:
    """Two members; the agent works on the second."""
    with World() as world:
        yield world.pair()


def install(seat: Seat, through: str = "", *words: str) -> None:
    """Run `fleet install` for a seat's program, as its user does; hooks run through another command if one is given."""
    command = [str(FLEET), "install", "--ide", seat.name, "--json", *words]
    done = subprocess.run(command, env=seat.environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done
    for file in json.loads(done.stdout)["files"]:
        path = Path(file["path"])
        if through and path.name == "hooks.json":
            path.write_text(path.read_text().replace('"command": "', f'"command": "{through} '))


@pytest.fixture
def sit(pair: tuple[Node, Node]) -> Iterator[Sit]:
    """Give a program a seat at the second node, with fleet installed and a model of our own."""
    _, b = pair
    with ExitStack() as stack:

        def seated(name: str, through: str = "", *, project: bool = False) -> Seat:
            kind = SEATS[name]
            model = stack.enter_context(Model(kind.dialect))
            seat = kind(b.home.parent / f"seat-{name}", model, {"FLEET_HOME": str(b.home)})
            seat.settle()
            install(seat, through, *(["--project", str(seat.home / "work")] if project else []))
            return seat

        yield seated
