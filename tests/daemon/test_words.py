"""The operator's words on a peer that is added while the daemon runs: the same rules as in the file."""

import json
from typing import Any

import pytest

from fleet.core.peer import merge
from fleet.daemon import words
from fleet.daemon.sections import ROADS
from fleet.errors import SettingsError, UsageError


def test_dotted_keys_become_tables_fit_for_json() -> None:
    table = words.changed(
        "mac2", {}, {"ssh.host": "10.0.0.7", "ssh.port": "2222", "enabled": "false", "agents": "a,b"}, ROADS
    )
    assert table == {"ssh": {"host": "10.0.0.7", "port": 2222}, "enabled": False, "agents": ["a", "b"]}
    assert json.loads(json.dumps(table)) == table


def test_a_change_keeps_the_rest_and_the_old_table() -> None:
    old = {"ssh": {"host": "h"}, "name": "x"}
    assert words.changed("mac2", old, {"ssh.user": "ana"}, ROADS) == {"ssh": {"host": "h", "user": "ana"}, "name": "x"}
    assert old == {"ssh": {"host": "h"}, "name": "x"}


def test_none_takes_a_key_out() -> None:
    assert words.changed("mac2", {"name": "x", "ssh": {"host": "h"}}, {"ssh.host": None}, ROADS) == {
        "name": "x",
        "ssh": {},
    }


def test_the_table_reads_as_merge_wants_it() -> None:
    table = words.changed("mac2", {}, {"timeout": "10s", "http.url": "https://h", "role": "chief"}, ROADS)
    peer = merge("mac2", None, None, words.read("mac2", table, ROADS), "dynamic")
    assert (peer.timeout, peer.role, peer.address("http")["url"], peer.source) == (
        10.0,
        "chief",
        "https://h",
        "dynamic",
    )


def test_every_mistake_is_reported_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        words.changed("mac2", {}, {"rolle": "chief", "ssh.host": "-oX", "ssh.prt": "22"}, ROADS)
    assert caught.value.message.splitlines() == [
        "3 mistakes in the configuration",
        "peer: peer.mac2.rolle: no such setting; did you mean peer.mac2.role?",
        "peer: peer.mac2.ssh.prt: no such setting; did you mean peer.mac2.ssh.port?",
        'peer: peer.mac2.ssh.host = "-oX": must be one word that does not begin with -, or ""',
    ]


@pytest.mark.parametrize(
    ("node", "values"),
    [("../x", {}), ("Mac2", {}), ("mac2", {"": "x"}), ("mac2", {"ssh.": "x"}), ("mac2", {"a\nb": "x"})],
)
def test_a_node_or_key_that_cannot_be_one_is_a_usage_error(node: str, values: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        words.changed(node, {}, values, ROADS)


def test_a_value_in_the_place_of_a_table_is_refused() -> None:
    with pytest.raises(SettingsError, match="ssh is a value"):
        words.changed("mac2", {"ssh": "x"}, {"ssh.host": "h"}, ROADS)
