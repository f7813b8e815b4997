"""The QR code of an invitation: what is drawn at a terminal is the code itself, and nothing is drawn anywhere else."""

import io

import pytest
import segno

from fleet.faces.render import Screen
from tests.support.nodes import World

LINK = "fleet1:" + "Ab-_" * 120


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _drawn(columns: int, monkeypatch: pytest.MonkeyPatch, err: io.StringIO) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", "60")
    Screen(json=False, out=io.StringIO(), err=err).code(LINK)
    return err.getvalue()


def test_the_modules_drawn_are_those_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    text = _drawn(200, monkeypatch, Terminal())
    halves = {"█": (0, 0), "▀": (0, 1), "▄": (1, 0), " ": (1, 1)}
    rows = [[halves[sign][half] for sign in line] for line in text.splitlines() for half in (0, 1)]
    expected = [list(row) for row in segno.make_qr(LINK, error="l").matrix_iter(border=2)]
    assert rows[: len(expected)] == expected
    assert "\x1b" not in text, "no escapes: any terminal can show it"


def test_it_is_not_drawn_where_it_does_not_fit_or_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _drawn(60, monkeypatch, Terminal()) == ""
    assert _drawn(200, monkeypatch, io.StringIO()) == ""


def test_an_invitation_without_a_terminal_or_as_json_is_the_link_alone(world: World) -> None:
    a = world.found("a", nats=False)
    plain = a.fleet("invite")
    assert plain.out.startswith("fleet1:")
    assert len(plain.out.splitlines()) == 1
    for said in (plain.err, a.fleet("invite", "--json").err):
        assert not set("█▀▄") & set(said)
