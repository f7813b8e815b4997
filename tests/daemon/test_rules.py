"""What each kind of setting may be; words that could become an option, a path or a second line are refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet.daemon import rules
from fleet.daemon.rules import Rule

HOSTILE = [
    "-oProxyCommand=touch x", "--upload-pack=x", "a b", "a\nb", "a\x00b", "a\x1bb", "a\x7fb", "a\u2028b", "\udcff",
    "a\tb",
]  # fmt: skip


def refuses(rule: Rule, found: Any) -> bool:
    """Whether a rule refuses a value, and does so as rules must."""
    try:
        rule.read(found)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("rule", [rules.OPERAND, rules.REMOTE, rules.NODE, rules.ADDRESS, rules.MAC, rules.SERVERS])
@pytest.mark.parametrize("word", HOSTILE)
def test_no_hostile_word_passes(rule: Rule, word: str) -> None:
    assert refuses(rule, word)


@pytest.mark.parametrize("word", ["a\nb", "a\x00b", "a\x1bb", "\ud800", "x" * 5000, 3, None, [], True])
def test_a_line_is_one_line_of_text(word: Any) -> None:
    assert refuses(rules.LINE, word)


@given(some.one_of(some.none(), some.booleans(), some.integers(), some.floats(), some.text(), some.lists(some.text())))
def test_rules_only_ever_raise_value_errors(found: Any) -> None:
    for rule in (
        rules.FLAG, rules.LINE, rules.OPERAND, rules.REMOTE, rules.NODE, rules.ADDRESS, rules.ROUTABLE, rules.LOCAL,
        rules.PORT, rules.NODES, rules.LABELS, rules.MAC, rules.SERVERS, rules.ROUTES, rules.ratio(), rules.duration(),
        rules.size(0, 10), rules.dollars(5), rules.choice("a", "b"),
    ):  # fmt: skip
        refuses(rule, found)


@given(some.text())
def test_typed_text_never_raises_before_it_is_read(text: str) -> None:
    for rule in (rules.FLAG, rules.PORT, rules.NODES, rules.LINE, rules.ratio()):
        rule.parse(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("True", True), ("1", True), ("on", True), ("off", False), ("0", False), ("FALSE", False)],
)
def test_a_flag_is_typed_in_the_usual_words(text: str, value: bool) -> None:
    assert rules.FLAG.parse(text) is value


@pytest.mark.parametrize("found", ["true", 1, 0, None, "yep"])
def test_a_flag_is_only_true_or_false(found: Any) -> None:
    assert refuses(rules.FLAG, found)


def test_a_flag_typed_wrongly_is_shown_as_typed() -> None:
    assert rules.FLAG.parse("yep") == "yep"


@pytest.mark.parametrize(("text", "value"), [("5", 5), ("0.5", 0.5), ("five", "five"), ("1e2", 100.0)])
def test_a_number_is_typed_as_one(text: str, value: Any) -> None:
    assert rules.PORT.parse(text) == value


@pytest.mark.parametrize("found", [0, 65_536, 1.0, True, "22", None])
def test_a_port_is_a_whole_number_in_its_bounds(found: Any) -> None:
    assert refuses(rules.PORT, found)


@pytest.mark.parametrize(
    ("text", "value"),
    [("a,b", ["a", "b"]), ("a, b ,", ["a", "b"]), ('["a", "b"]', ["a", "b"]), ("[a", "[a"), ("", []), ("a", ["a"])],
)
def test_a_list_is_typed_with_commas_or_as_an_array(text: str, value: Any) -> None:
    assert rules.LABELS.parse(text) == value


@pytest.mark.parametrize("found", ["a", ["a", "a"], [1], [""], ["a"] * 65, [["a"]], {"a": 1}, ["x\ny"], ["x" * 300]])
def test_a_list_holds_different_texts(found: Any) -> None:
    assert refuses(rules.LABELS, found)


def test_a_list_becomes_a_tuple_and_is_shown_as_a_list() -> None:
    assert rules.LABELS.read(["a", "b"]) == ("a", "b")
    assert rules.LABELS.show(("a", "b")) == ["a", "b"]


@pytest.mark.parametrize("word", ["127.0.0.1:8855", "[::1]:1", "localhost:0", "127.9.9.9:1", "off"])
def test_the_api_listens_on_this_machine(word: str) -> None:
    assert rules.LOCAL.read(word) == word


@pytest.mark.parametrize("word", ["0.0.0.0:8855", "10.0.0.1:8855", "mac1:8855", "", "on", "[::]:1", "127.0.0.1"])
def test_the_api_listens_nowhere_else(word: str) -> None:
    assert refuses(rules.LOCAL, word)


@pytest.mark.parametrize("word", ["10.0.0.1:8856", "mac1.tail.net:443", ""])
def test_what_is_advertised_can_be_called(word: str) -> None:
    assert rules.ROUTABLE.read(word) == word


@pytest.mark.parametrize("word", ["0.0.0.0:8856", "[::]:8856", "10.0.0.1:0", "10.0.0.1"])
def test_a_wildcard_cannot_be_advertised(word: str) -> None:
    assert refuses(rules.ROUTABLE, word)


@pytest.mark.parametrize(
    "word",
    [
        "git@host:mail.git",
        "host:mail",
        "ssh://git@host:22/x",
        "https://host/x.git",
        "/srv/mail.git",
        "file:///srv/m",
        "",
    ],
)
def test_a_git_remote_is_a_place(word: str) -> None:
    assert rules.REMOTE.read(word) == word


@pytest.mark.parametrize(
    "word",
    ["ext::sh -c touch% x", "ext::sh", "http://host/x", "git://host/x", "mail.git", "../x", "-x:y",
     "--upload-pack=touch:x",
     "ssh://-oProxyCommand=x y", "host::x"],
)  # fmt: skip
def test_a_git_remote_is_never_a_command(word: str) -> None:
    assert refuses(rules.REMOTE, word)


@pytest.mark.parametrize("word", ["nats://h:4222", "tls://a,nats://b:1", "nats://user:pass@h", ""])
def test_a_broker_is_a_url(word: str) -> None:
    assert rules.SERVERS.read(word) == word


@pytest.mark.parametrize("word", ["h:4222", "http://h", "nats://", "nats://h,", "nats://a b"])
def test_a_broker_is_nothing_else(word: str) -> None:
    assert refuses(rules.SERVERS, word)


@pytest.mark.parametrize("word", ["00:11:22:33:44:55", "AA-bb-CC-dd-EE-ff", ""])
def test_a_hardware_address_is_six_pairs(word: str) -> None:
    assert rules.MAC.read(word) == word


@pytest.mark.parametrize("word", ["00:11:22:33:44", "00:11:22:33:44:55:66", "001122334455", "gg:11:22:33:44:55"])
def test_a_hardware_address_is_nothing_else(word: str) -> None:
    assert refuses(rules.MAC, word)


def test_bounds_are_in_the_words_of_the_rule() -> None:
    assert rules.number(1, 5).allowed == "a whole number from 1 to 5"
    assert rules.duration(60, 86_400).allowed.endswith("from 1m to 1d")
    assert rules.size(1024, 1 << 20).allowed.endswith("from 1KiB to 1MiB")
    assert rules.choice("a", "b").allowed == '"a" or "b"'


@pytest.mark.parametrize(
    ("rule", "least", "most"),
    [
        (rules.duration(60, 120), 60, 120),
        (rules.size(60, 120), 60, 120),
        (rules.number(60, 120), 60, 120),
        (rules.ratio(), 0, 1),
    ],
)
def test_bounds_are_inclusive(rule: Rule, least: int, most: int) -> None:
    assert (rule.read(least), rule.read(most)) == (least, most)
    assert refuses(rule, least - 1)
    assert refuses(rule, most + 1)


def test_dollars_have_a_bound() -> None:
    assert rules.dollars(5).read(5) == 5_000_000
    assert refuses(rules.dollars(5), 5.000001)


@pytest.mark.parametrize("found", [float("nan"), True, "0.5", -0.1, 1.1])
def test_a_ratio_is_a_share(found: Any) -> None:
    assert refuses(rules.ratio(), found)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_loopback_is_known_in_all_its_names(host: str) -> None:
    assert rules.is_loopback(f"{host}:1")
    assert not rules.is_loopback(host)
