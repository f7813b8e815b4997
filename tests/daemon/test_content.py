"""`[content]`: one word for every level or five, every kind by its name, mistakes with the nearest that was meant."""

import pytest

from fleet.core.actions import DEFAULTS, Action
from fleet.daemon.settings import Settings, parse
from fleet.errors import SettingsError


def read(text: str, **environ: str) -> Settings:
    return parse(f"[content]\n{text}\n", "config.toml", environ, {})


def test_the_defaults_are_those_of_the_gate() -> None:
    assert read("").content.actions == DEFAULTS


def test_one_word_holds_for_every_level() -> None:
    settings = read('email = "block"')
    assert settings.content.actions["email"] == (Action.BLOCK,) * 5
    assert settings.content.actions["phone"] == DEFAULTS["phone"]
    assert {key: value for key, value, _ in settings.items()}["content.email"] == ["block"] * 5


def test_five_words_hold_for_a_level_each() -> None:
    row = ["block", "redact", "redact", "hash", "pass"]
    assert read(f"email = {row!r}").content.actions["email"] == tuple(map(Action, row))


@pytest.mark.parametrize(("given", "row"), [("pass", ["pass"] * 5), ("block,block,hash,hash,pass", None)])
def test_a_variable_says_it_in_the_same_words(given: str, row: list[str] | None) -> None:
    found = read('jwt = "block"', FLEET_CONTENT_JWT=given).content.actions["jwt"]
    assert list(found) == (row or given.split(","))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('emial = "pass"', "config.toml:2: content.emial: no such setting; did you mean content.email?"),
        ('email = "redacted"', 'did you mean "redact"?'),
        ('email = ["pass", "pass", "hsah", "pass", "pass"]', 'did you mean "hash"?'),
        ('email = ["pass", "pass"]', "or a list of 5 of them, level 0 first"),
        ("email = 3", 'must be "pass" or "hash" or "redact" or "block"'),
    ],
)
def test_a_mistake_names_what_was_meant(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as error:
        read(text)
    assert said in error.value.message
