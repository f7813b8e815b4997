"""Our part in files of others: put in once, found again, taken out without touching theirs."""

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import UsageError
from fleet.faces.graft import MARK, JsonPart, TomlPart
from fleet.faces.jsontext import END

SERVER = {"command": "/opt/fleet/bin/fleet", "args": ["mcp"]}


def group(event: str, command: str = "/opt/fleet/bin/fleet") -> dict[str, object]:
    return {"hooks": [{"type": "command", "command": f"{command} hook {event} --ide codex", "timeout": 10}]}


HOOKS = JsonPart(((("hooks", "SessionStart", END), group("start")), (("hooks", "Stop", END), group("idle"))))
SERVERS = JsonPart(((("mcpServers", "fleet"), SERVER),))
TABLE = TomlPart("mcp_servers", {**SERVER, "env": {"FLEET_HOME": "/a b"}, "tool_timeout_sec": 600})

THEIRS = """{
  // kept by hand
  "hooks": {
    "Stop": [
      { "hooks": [{ "type": "command", "command": "say done" }] }, // loud
    ],
  },
}
"""
TOML = '# mine\nmodel = "x"  # the best\n\n[mcp_servers.docs]\ncommand = "docs"\n\n# the end\n'


def test_what_is_put_in_stands_beside_what_was_there_and_comes_out_again() -> None:
    text = HOOKS.put(THEIRS)
    assert text.count("// loud") == text.count("// kept by hand") == text.count("say done") == 1
    assert HOOKS.complete(text) and HOOKS.present(text)
    assert HOOKS.put(text) == text
    assert HOOKS.take(text) == THEIRS
    assert not HOOKS.present(THEIRS)


def test_a_new_file_holds_our_part_alone() -> None:
    part = JsonPart(HOOKS.values, '{\n  "version": 1\n}\n')
    text = part.put("")
    assert list(json.loads(text)) == ["version", "hooks"] and text.endswith("}\n")
    assert part.hollow(part.take(text)) and not part.hollow('{"version": 2}') and not part.hollow('{"version": 1, "a": 0}')


def test_an_older_part_of_ours_is_replaced_wherever_it_stands() -> None:
    older = JsonPart(((("hooks", "PreToolUse", END), group("prompt", "/old/fleet")),)).put(THEIRS)
    assert HOOKS.put(older) == HOOKS.put(THEIRS)


def test_a_hook_of_theirs_in_our_group_stays() -> None:
    whole = json.loads(HOOKS.put("{}"))
    whole["hooks"]["SessionStart"][0]["hooks"].append({"type": "command", "command": "say hello"})
    left = json.loads(HOOKS.take(json.dumps(whole)))
    assert left["hooks"]["SessionStart"] == [{"hooks": [{"type": "command", "command": "say hello"}]}]


def test_a_server_of_somebody_else_with_our_name_is_not_touched() -> None:
    text = '{"mcpServers": {"fleet": {"command": "other"}}}'
    assert SERVERS.take(text) == text
    with pytest.raises(UsageError, match="not ours"):
        SERVERS.put(text)
    table = '[mcp_servers.fleet]\ncommand = "other"\n'
    assert TABLE.take(table) == table
    with pytest.raises(UsageError, match="not ours"):
        TABLE.put(table)


@given(st.lists(st.sampled_from(['{"command": "x"}', '{"hooks": []}', "{}", "7"]), max_size=3), st.booleans())
def test_whatever_lists_there_are_the_second_time_changes_nothing(items: list[str], spread: bool) -> None:
    text = '{"hooks": {"Stop": [' + (",\n  " if spread else ",").join(items) + "]}}"
    once = HOOKS.put(text)
    assert HOOKS.put(once) == once
    assert not HOOKS.present(HOOKS.take(once))


def test_a_table_stands_marked_at_the_end_and_comes_out_again() -> None:
    text = TABLE.put(TOML)
    assert text.startswith(TOML) and text.count(MARK) == 1
    assert tomllib.loads(text)["mcp_servers"]["fleet"]["env"] == {"FLEET_HOME": "/a b"}
    assert TABLE.put(text) == text
    assert TABLE.take(text) == TOML
    assert TABLE.hollow(TABLE.take(TABLE.put("")))


def test_what_the_program_adds_after_our_table_stays_and_what_it_adds_to_it_goes() -> None:
    text = TABLE.put(TOML)
    later = text + 'enabled = true\n\n# trust\n[hooks.state."a:b"]\ntrusted_hash = "sha256:0"\n'
    assert TABLE.put(later) == later
    assert TABLE.take(later) == TOML + '\n# trust\n[hooks.state."a:b"]\ntrusted_hash = "sha256:0"\n'
    nested = text + "\n[mcp_servers.fleet.tools.fleet_send]\napproval_mode = 'approve'\n\n[other]\na = 1\n"
    assert TABLE.take(nested) == TOML + "\n[other]\na = 1\n"


def test_an_older_table_of_ours_is_replaced() -> None:
    older = TomlPart("mcp_servers", {"command": "/old/fleet", "args": ["mcp"]}).put(TOML)
    assert TABLE.put(older) == TABLE.put(TOML)


def test_line_ends_stay_as_they_were() -> None:
    text = TABLE.put(TOML.replace("\n", "\r\n"))
    assert text.replace("\r\n", "").count("\n") == 0
    assert TABLE.take(text) == TOML.replace("\n", "\r\n")


@pytest.mark.parametrize("text", ["[a\n", "mcp_servers = { docs = {} }\n"])
def test_a_file_that_cannot_take_a_table_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="TOML"):
        TABLE.put(text)
