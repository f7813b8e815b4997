"""The tree of errors: as drawn, with the exit codes of the contract, and every message said somewhere."""

import re

import pytest

from fleet import errors
from fleet.errors import Faulty, FleetError, Unreachable

CLASSES = {name: value for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, FleetError)}


def drawn() -> dict[str, str]:
    """Class → its parent, from the drawing in the docstring."""
    above: list[tuple[int, str]] = []
    parents: dict[str, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"( {4}[ │├└─]*)([A-Z]\w+)", line)
        if found:
            depth = len(found[1])
            above = [(at, name) for at, name in above if at < depth]
            if above:
                parents[found[2]] = above[-1][1]
            above.append((depth, found[2]))
    return parents


def test_the_tree_is_drawn_as_it_is() -> None:
    assert drawn() == {name: value.__base__.__name__ for name, value in CLASSES.items() if value is not FleetError}


@pytest.mark.parametrize("line", re.findall(r"(\w+) +exit (\d)", errors.__doc__ or ""), ids=lambda line: line[0])
def test_exit_codes_are_as_drawn(line: tuple[str, str]) -> None:
    assert CLASSES[line[0]].exit_code == int(line[1])


def test_the_exit_codes_are_those_of_the_contract() -> None:
    codes = {
        "UsageError": 2,
        "NoDaemon": 3,
        "GateRefused": 4,
        "UnknownPeer": 5,
        "UnknownType": 2,
        "TooLarge": 2,
        "NotFound": 1,
    }
    assert {name: CLASSES[name].exit_code for name in codes} == codes


@pytest.mark.parametrize("name", CLASSES)
def test_every_error_has_a_message_and_a_code_of_its_own(name: str) -> None:
    error = CLASSES[name]()
    assert error.message == str(error) == (CLASSES[name].__doc__ or "").splitlines()[0]
    assert re.fullmatch(r"[a-z_]+", error.code)
    assert error.hint == ""


def test_no_two_errors_share_a_code() -> None:
    codes = [value.__dict__.get("code") for value in CLASSES.values()]
    assert None not in codes
    assert len(set(codes)) == len(codes)


def test_an_error_says_what_it_was_told() -> None:
    error = FleetError("the disk is on fire", hint="fleet doctor")
    assert (error.message, error.hint) == ("the disk is on fire", "fleet doctor")


def test_a_road_that_does_not_lead_there_may_say_when_to_come_again() -> None:
    assert Unreachable("busy", retry_after=2.5).retry_after == 2.5
    assert Unreachable().retry_after == 0.0


def test_a_fault_may_be_one_of_security() -> None:
    assert Faulty("host key", security=True).security
    assert not Faulty().security
