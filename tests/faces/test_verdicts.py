import pytest

from fleet import errors
from fleet.faces.reader import error_of
from fleet.faces.verdicts import exit_of, exit_of_all, exit_of_error


@pytest.mark.parametrize(
    ("answer", "wait", "walked", "code"),
    [
        ({"state": "accepted"}, "none", False, 0),
        ({"state": "received"}, "none", False, 0),
        ({"state": "held"}, "none", False, 0),
        ({"state": "refused"}, "none", False, 4),
        ({"state": "received"}, "received", False, 0),
        ({"state": "shown"}, "received", False, 0),
        ({"state": "done"}, "shown", False, 0),
        ({"state": "received"}, "shown", False, 9),
        ({"state": "shown"}, "done", False, 9),
        ({"state": "accepted"}, "received", False, 7),
        ({"state": "sending"}, "done", False, 7),
        ({"state": "accepted"}, "received", True, 6),
        ({"state": "custody"}, "received", True, 7),
        ({"state": "held"}, "received", False, 7),
        ({"state": "dead", "what": "undelivered"}, "received", False, 1),
        ({"state": "dead", "what": "refused"}, "received", False, 4),
        ({"state": "refused"}, "done", True, 4),
    ],
)
def test_an_answer_means_the_exit_code_of_the_contract(answer: dict[str, str], wait: str, walked: bool, code: int) -> None:
    assert exit_of(answer, wait, walked) == code


@pytest.mark.parametrize("codes", [[], [0], [0, 0], [7, 7]])
def test_a_broadcast_that_went_alike_has_that_code(codes: list[int]) -> None:
    assert exit_of_all(codes) == (codes[0] if codes else 0)


@pytest.mark.parametrize("codes", [[0, 7], [7, 6], [0, 4, 0]])
def test_a_broadcast_that_went_differently_is_partly(codes: list[int]) -> None:
    assert exit_of_all(codes) == 8


def test_every_error_of_the_house_has_the_same_code_told_or_raised() -> None:
    def tree(kind: type[errors.FleetError]) -> list[type[errors.FleetError]]:
        return [kind, *(inner for below in kind.__subclasses__() for inner in tree(below))]

    for kind in tree(errors.FleetError):
        if kind.__module__ == "fleet.errors":
            assert exit_of_error(error_of(kind("x"))["error"]) == kind.exit_code, kind
