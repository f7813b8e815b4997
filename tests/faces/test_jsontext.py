"""JSON as people keep it: what is added and taken out again leaves every other byte as it was."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import UsageError
from fleet.faces.jsontext import END, add, parse, remove

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('ab/*"\\{},é ', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('abc/{"', max_size=3), inner, max_size=3),
    max_leaves=12,
)
GAPS = st.sampled_from(["", " ", "\n", "\r\n\t", " // a } remark\n", "/* ,] */", "\n\n    "])


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, object]:
    """A JSON object written with any blanks, comments and trailing commas, and what it means."""

    def written(value: object) -> str:
        if isinstance(value, dict | list) and value:
            keyed = value.items() if isinstance(value, dict) else (("", one) for one in value)
            keys = [
                (f"{json.dumps(key)}{draw(GAPS)}:{draw(GAPS)}" if isinstance(value, dict) else "", one) for key, one in keyed
            ]
            parts = [f"{draw(GAPS)}{key}{written(one)}{draw(GAPS)}" for key, one in keys]
            tail = draw(st.sampled_from(["", ","]))
            opens, closes = "{}" if isinstance(value, dict) else "[]"
            return f"{opens}{','.join(parts)}{tail}{draw(GAPS)}{closes}"
        return json.dumps(value)

    plain = draw(st.dictionaries(st.text("abc", max_size=2), PLAIN, min_size=1, max_size=4))
    return f"{draw(GAPS)}{written(plain)}{draw(GAPS)}", plain


@given(texts())
def test_any_text_is_read_as_what_it_means(case: tuple[str, object]) -> None:
    text, plain = case
    assert parse(text).plain == plain


@given(texts(), PLAIN)
def test_what_was_added_comes_out_again_without_a_trace(case: tuple[str, object], new: object) -> None:
    text, plain = case
    more = add(text, ("zz", "y", END), new)
    assert parse(more).plain == {**plain, "zz": {"y": [new]}}  # type: ignore[dict-item]
    assert remove(more, ("zz",)) == text


@given(texts(), st.data())
def test_any_member_can_be_taken_out_and_the_rest_keeps_its_meaning(case: tuple[str, object], data: st.DataObject) -> None:
    text, plain = case
    assert isinstance(plain, dict)
    gone = data.draw(st.sampled_from(sorted(plain)))
    left = remove(text, (gone,))
    assert parse(left).plain == {key: value for key, value in plain.items() if key != gone}
    assert re.findall("remark", left) == re.findall("remark", text) or "remark" in text[slice(*_span(text, gone))]


def _span(text: str, key: str) -> tuple[int, int]:
    value = parse(text).inner[key]
    return value.start, value.end


def test_an_added_member_takes_the_texts_own_indentation_and_line_ends() -> None:
    assert add('{\r\n\t"a": 1\r\n}\r\n', ("b",), [2]) == '{\r\n\t"a": 1,\r\n\t"b": [\r\n\t\t2\r\n\t]\r\n}\r\n'
    assert add('{"a": 1}', ("b",), {"c": 2}) == '{"a": 1, "b": {"c": 2}}'
    assert add("{}\n", ("b",), 2) == '{\n  "b": 2\n}\n'


def test_a_remark_stays_with_its_line() -> None:
    text = '{\n  "a": 1, // one\n  "b": [2] // two\n}\n'
    more = add(text, ("c",), 3)
    assert more == '{\n  "a": 1, // one\n  "b": [2], // two\n  "c": 3\n}\n'
    assert remove(more, ("c",)) == text
    assert remove(more, ("b",)) == '{\n  "a": 1, // one\n // two\n  "c": 3\n}\n'


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"a" 1}', '{"a": }', "{a: 1}", "[1 2]", '{"a": 1} x', "nul", '"a\nb"', "-", "01", "[" * 200, '{"a": 1,,}'],
)
def test_what_is_no_json_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"^line \d+: "):
        parse(text)


def test_nothing_is_added_to_what_cannot_hold_it() -> None:
    with pytest.raises(UsageError, match="hooks"):
        add('{"hooks": 7}', ("hooks", "Stop", END), {})
    with pytest.raises(UsageError):
        add("[]", ("hooks",), {})
