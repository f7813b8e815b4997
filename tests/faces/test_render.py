import io
import json
import unicodedata

import pytest

from fleet.faces import render
from fleet.faces.render import Screen, dumps, visible, visible_text

CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]
BIDI = list("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
UNSEEN = list(
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200d\u2028\u2029\u2060\u2061\u2064\u206a\u3164\ufe0f\ufeff\uffa0"
)
TAGS = [chr(0xE0000 + number) for number in range(0, 128, 16)] + ["\U0001d173", "\U000e0100", "\ufff9"]
SEQUENCES = [
    "\x1b[2J", "\x1b[H", "\x1b[31m", "\x1b[?1049h", "\x1b[6n", "\x1b[c", "\x1b[5i", "\x1b]0;title\x07", "\x1b]2;t\x1b\\",
    "\x1b]52;c;ZXZpbA==\x07", "\x1b]8;;http://evil.test\x07click\x1b]8;;\x07", "\x1b]4;1;?\x07", "\x1b]11;?\x07",
    "\x1bPtmux;\x1b\x1b]52;c;x\x07\x1b\\", "\x1bP$q q\x1b\\", "\x1b_apc\x1b\\", "\x1b^pm\x1b\\", "\x1bX sos\x1b\\", "\x1bc",
    "\x1b(0", "\x1b#8", "\x1b=", "\x1b>", "\x1b7\x1b8", "\x1bM", "\x9b2J", "\x9b31m", "\x9d0;t\x9c", "\x90q\x9c", "\x9e\x9c",
    "\x84", "\x85", "\x8d", "over\rwritten", "ba\bck", "bell\x07", "\x0e\x0f", "\x05", "\x11\x13", "\x18\x1a", "\x7f\x7f",
    "a\u202egnp.exe", "\u2066\u202e\u2069", "zero\u200bwidth", "nul\x00l", "\x1b[200~rm -rf ~\n\x1b[201~", "\x1b[>4;2m",
    "\x1b[!p", "\x1b[0;0r", "\x1b]1337;File=:AAAA\x07", "\x1b]777;notify;a;b\x07", "\x1b]9;x\x07", "\x1b]133;A\x07",
]  # fmt: skip
CORPUS = [*CONTROLS, *BIDI, *UNSEEN, *TAGS, *SEQUENCES]


def harmless(text: str) -> bool:
    return all(character in " \n" or unicodedata.category(character)[0] not in "CZ" for character in text)


def test_the_corpus_is_large_enough() -> None:
    assert len(CORPUS) >= 150


@pytest.mark.parametrize("text", CORPUS, ids=ascii)
def test_nothing_a_peer_writes_reaches_the_terminal_as_a_command(text: str) -> None:
    assert harmless(visible(f"before {text} after"))
    assert "\n" not in visible(text)


@pytest.mark.parametrize("text", [text for text in CORPUS if text not in "\n\t"], ids=ascii)
def test_a_text_of_many_lines_keeps_its_lines_and_nothing_else(text: str) -> None:
    shown = visible_text(f"one\n{text}\ntwo")
    assert harmless(shown)
    assert shown.startswith("one\n") and shown.endswith("\ntwo")


@pytest.mark.parametrize("text", CORPUS, ids=ascii)
def test_json_says_the_same_text_without_a_single_control_character(text: str) -> None:
    line = dumps({"body": text, text: 1})
    assert harmless(line)
    assert json.loads(line) == {"body": text, text: 1}


@pytest.mark.parametrize("lone", ["\ud800", "\udcff", "\udfff"])
def test_half_a_character_is_shown_as_what_it_is(lone: str) -> None:
    assert visible(lone) == f"\\u{ord(lone):04x}"


def test_honest_text_is_left_alone() -> None:
    for text in ("Grüße, 你好, مرحبا, עברית", "naïve — “quotes” … ×", "emoji 🚀 and 한국어", "C:\\path \\x1b"):
        assert visible(text) == text
        assert json.loads(dumps(text)) == text


def test_the_end_of_a_line_from_windows_is_one_line_end() -> None:
    assert visible_text("a\r\nb") == "a\nb"
    assert visible_text("a\rb") == "a\\x0db"


@pytest.mark.parametrize("text", SEQUENCES, ids=ascii)
def test_a_table_shows_hostile_cells_as_text(text: str) -> None:
    out = io.StringIO()
    Screen(json=False, out=out).table(("name",), [(text,)])
    assert harmless(out.getvalue().replace("\t", " "))
    assert len(out.getvalue().splitlines()) == 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_drawn_table_obeys_no_color_and_shows_markup_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    out = Terminal()
    Screen(json=False, out=out).table(("state", "why"), [("healthy", "[bold]x[/bold] \x1b[31m")])
    assert "[bold]x[/bold] \\x1b[31m" in out.getvalue()
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize(
    ("ms", "said"), [(0, "0.0 s"), (9400, "9.4 s"), (65_000, "65 s"), (180_000, "3 min"), (7.2e6, "2 h"), (2e8, "2 d")]
)
def test_ages_are_said_as_people_say_them(ms: float, said: str) -> None:
    assert render.age(ms) == said


def test_what_never_happened_has_no_age() -> None:
    assert render.since(None) == render.since(0) == render.age(None) == ""
    assert render.since(1000, now=3.0) == "2.0 s"
