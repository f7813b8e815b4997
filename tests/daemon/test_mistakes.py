"""How a mistake reads, and on which line a key stands."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet.daemon.mistakes import Mistake, dotted, error_of, line_at, lines_of, nearest, shown, syntax_mistake

FILE = '''# comment

[node]   # of this machine
id = "mac1"
agents = [
  "a",  # [not.a.header]
  "b",
]
description = """
[api]
id = "no"
"""
inner = {x = 1, y = {z = 2}}
a.b = 1

[peer.mac2.ssh]
host = 'h'
"quoted key" = 1

[[lists]]
x = 1
[[lists]]
y = 2
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("node",), 3), (("node", "id"), 4), (("node", "agents"), 5), (("node", "description"), 9),
        (("node", "inner"), 13), (("node", "inner", "y", "z"), 13), (("node", "a", "b"), 14),
        (("peer", "mac2", "ssh"), 16), (("peer", "mac2"), 16), (("peer", "mac2", "ssh", "host"), 17),
        (("peer", "mac2", "ssh", "quoted key"), 18), (("lists", "x"), 21), (("lists", "y"), 23),
    ],
)  # fmt: skip
def test_every_key_is_found_on_its_line(path: tuple[str, ...], line: int) -> None:
    assert lines_of(FILE)[path] == line


def test_a_key_that_is_not_there_is_placed_at_its_table() -> None:
    places = lines_of(FILE)
    assert line_at(places, ("node", "bind")) == 3
    assert line_at(places, ("nats", "url")) == 0


def test_a_file_with_windows_line_ends_has_the_same_lines() -> None:
    assert lines_of(FILE.replace("\n", "\r\n")) == lines_of(FILE)


@pytest.mark.parametrize("text", ["[node\nid = 1", "a = \n[t]\nb = 1", "[", ""])
def test_a_text_that_is_no_toml_does_no_harm(text: str) -> None:
    assert all(line > 0 for line in lines_of(text).values())


def test_a_separator_of_other_standards_is_no_line_end() -> None:
    assert lines_of("# a\u2028b\x85c\nid = 1\n")[("id",)] == 2


@given(some.lists(some.sampled_from(['id = "x"', "# c", "", "[t]", "[t.u]", 'k = """\n\n"""', "l = [\n1,\n2]"]), max_size=8))
def test_lines_are_found_in_any_file_that_parses(statements: list[str]) -> None:
    text = "\n".join(statements)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = text.split("\n")
    places = lines_of(text)
    for name in data:
        assert name in lines[places[(name,)] - 1]


def test_a_mistake_reads_like_a_compilers() -> None:
    mistake = Mistake("/f/config.toml", 12, "node.bnd", "", "no such setting", "node.bind")
    assert str(mistake) == "/f/config.toml:12: node.bnd: no such setting; did you mean node.bind?"


def test_a_mistake_without_a_line_names_its_source() -> None:
    assert str(Mistake("environment", 0, "FLEET_LOG_LEVEL", '"x"', "no")) == 'environment: FLEET_LOG_LEVEL = "x": no'


def test_one_mistake_is_the_whole_message() -> None:
    assert error_of([Mistake("f", 1, "k", "", "no")]).message == "f:1: k: no"


def test_several_mistakes_are_listed_under_their_number() -> None:
    lines = error_of([Mistake("f", 1, "k", "", "no"), Mistake("f", 2, "l", "", "no")]).message.splitlines()
    assert lines == ["2 mistakes in the configuration", "f:1: k: no", "f:2: l: no"]


@pytest.mark.parametrize(("word", "near"), [("bnid", "bind"), ("bind ", "bind"), ("zzz", ""), ("", "")])
def test_the_nearest_name_is_only_named_when_it_is_near(word: str, near: str) -> None:
    assert nearest(word, ["bind", "fleet"]) == near


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("a", '"a"'), (3, "3"), (True, "True"), (["a"], "['a']"), ("a\nb\x1b[2J", '"a\\nb\\x1b[2J"'), ("\udcff",
        '"\\udcff"'),
        ("nats://ana:hunter2@host", '"nats://…@host"'), (["nats://ana:hunter2@h"], "['nats://…@h']"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_shown_on_one_line_without_a_password(value: object, word: str) -> None:
    assert shown(value) == word


def test_a_long_value_is_cut() -> None:
    assert len(shown("x" * 1000)) == 80


@given(some.text())
def test_nothing_unprintable_is_ever_shown(value: str) -> None:
    assert shown(value).isprintable()
    assert dotted((value, "a")).isprintable()


def test_a_name_that_is_no_bare_key_is_quoted() -> None:
    assert dotted(("peer", "a.b", "ssh")) == 'peer."a.b".ssh'


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('a = 1\nb = "x', 2, "unterminated string"),
        ("[node\nid = 1", 1, 'in "[node"'),
        ("id = 1\nid = 2", 2, "overwrite"),
        ("a = ", 1, "invalid value"),
    ],
)
def test_a_syntax_error_is_placed(text: str, line: int, words: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)
    mistake = syntax_mistake("f", text, caught.value)
    assert mistake.line == line
    assert words in mistake.allowed


def test_a_syntax_error_shows_no_password() -> None:
    text = 'url = "nats://ana:hunter2@host'
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)
    assert "hunter2" not in str(syntax_mistake("f", text, caught.value))
