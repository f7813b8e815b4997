"""Edits of config.toml: comments survive, nothing invalid is ever written, and all or nothing is written."""

import os
import threading
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as some

from fleet.daemon import edit
from fleet.daemon.edit import Change, get_key, set_key, set_keys, unset_key
from fleet.daemon.paths import Paths, paths_of
from fleet.daemon.settings import load
from fleet.errors import FleetError, NotFound, SettingsError, UsageError

FILE = """\
# Ana's laptop

[node]                  # this machine
id = "mac1"             # never changes
# where others call
bind = "127.0.0.1:8856"

# ── peers ──
[peer.mac2.ssh]
host = "10.0.0.7"       # the studio

[log]
level = "debug"
# the end
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A node with a configuration full of comments."""
    found = paths_of({"FLEET_HOME": str(tmp_path)})
    found.config.write_text(FILE)
    return found


def text(paths: Paths) -> str:
    """What stands in the file now."""
    return paths.config.read_text()


def test_a_value_is_replaced_where_it_stands(paths: Paths) -> None:
    assert set_key(paths, "log.level", "info") == Change("log.level", "debug", "info")
    assert text(paths) == FILE.replace('"debug"', '"info"')


def test_a_comment_behind_a_value_survives(paths: Paths) -> None:
    set_key(paths, "peer.mac2.ssh.host", "10.0.0.8")
    assert text(paths) == FILE.replace("10.0.0.7", "10.0.0.8")


def test_a_new_key_goes_to_the_end_of_its_table_before_the_next_ones_comments(paths: Paths) -> None:
    assert set_key(paths, "node.advertise", "10.0.0.1:8856").old is None
    line = 'bind = "127.0.0.1:8856"\n'
    assert text(paths) == FILE.replace(line, line + 'advertise = "10.0.0.1:8856"\n')


def test_a_new_table_goes_to_the_end_of_the_file(paths: Paths) -> None:
    set_key(paths, "channel.git.remote", "git@host:mail.git")
    assert text(paths) == FILE + '\n[channel.git]\nremote = "git@host:mail.git"\n'


def test_a_peer_that_has_addresses_only_can_get_settings(paths: Paths) -> None:
    set_key(paths, "peer.mac2.enabled", "false")
    head = "[peer.mac2.ssh]\n"
    assert text(paths) == FILE.replace(head, f"[peer.mac2]\nenabled = false\n\n{head}")


def test_a_peers_second_address_stands_by_its_first(paths: Paths) -> None:
    set_key(paths, "peer.mac2.http.url", "https://10.0.0.7:8856")
    assert 'studio\n\n[peer.mac2.http]\nurl = "https://10.0.0.7:8856"\n[log]' in text(paths).replace("\n\n[log]", "\n[log]")
    assert load(paths, {}).peers["mac2"]["http"] == {"url": "https://10.0.0.7:8856"}


def test_a_file_is_made_where_there_is_none(tmp_path: Path) -> None:
    paths = paths_of({"FLEET_HOME": str(tmp_path / "new")})
    set_keys(paths, {"node.id": "mac1", "node.fleet": "home", "nats.serve": True, "peer.mac2.ssh.host": "h"})
    assert text(paths) == ('[node]\nid = "mac1"\nfleet = "home"\n\n[nats]\nserve = true\n\n[peer.mac2.ssh]\nhost = "h"\n')
    assert paths.config.stat().st_mode & 0o777 == 0o600
    assert paths.config.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("key", "typed", "written"),
    [
        ("nats.serve", "true", True), ("nats.serve", "off", False), ("nats.port", "4333", 4333),
        ("breaker.ratio", "0.25", 0.25),
        ("node.name", "123", "123"), ("node.name", "true", "true"), ("node.agents", "a,b", ["a", "b"]),
        ("node.agents", '["a"]', ["a"]), ("node.agents", "", []), ("retention.finished", "36h", "36h"),
        ("budget.usd", "5", "5"),
        ("content.limit", "128KiB", "128KiB"), ("types.alert.tries", "5", 5), ("channel.text.enabled", "on", True),
        ("peer.mac2.ssh.port", "2222", 2222), ("peer.mac2.relay.via", "chief1,chief2", ["chief1", "chief2"]),
        ("peer.mac2.layer.ssh", "lan", "lan"), ("peer.mac2.timeout", "10s", "10s"),
    ],
)  # fmt: skip
def test_typed_text_gets_the_type_of_its_setting(paths: Paths, key: str, typed: str, written: Any) -> None:
    assert set_key(paths, key, typed).new == written
    found: Any = tomllib.loads(text(paths))
    for name in key.split("."):
        found = found[name]
    assert found == written


@pytest.mark.parametrize(
    ("typed", "written"), [("3", 3), ("true", True), ("roof", "roof"), ("[1, 2]", [1, 2]), ("a\nb = 1", "a\nb = 1")]
)
def test_a_setting_of_a_road_of_ones_own_is_typed_by_its_look(paths: Paths, typed: str, written: Any) -> None:
    set_keys(paths, {"order.channels": "nats,pigeon", "channel.pigeon.module": "aviary", "channel.pigeon.loft": typed})
    assert load(paths, {}).channel("pigeon")["loft"] == written


def test_values_that_are_not_text_go_in_as_they_are(paths: Paths) -> None:
    assert set_key(paths, "node.agents", ["a"]).new == ["a"]


def test_what_would_not_load_is_not_written_and_every_mistake_is_said(paths: Paths) -> None:
    with pytest.raises(SettingsError) as caught:
        set_keys(paths, {"log.level": "loud", "node.bnid": "x", "node.name": "fine"})
    lines = caught.value.message.splitlines()
    assert lines[0] == "2 mistakes in the configuration"
    assert lines[1].endswith(":7: node.bnid: no such setting; did you mean node.bind?")
    assert 'log.level = "loud"' in lines[2]
    assert text(paths) == FILE


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("nats.port", "none"), ("channel.git.remote", "ext::sh -c x"), ("channel.gti.remote", "h:x"),
        ("peer.../x.name", "x"),
        ("peer.mac1.name", "self"), ("nothing.at.all", "1"), ("api.listen", "0.0.0.0:1"), ("node.id.deeper", "x"),
        ("peer.mac2.ssh", "x"), ("node", "x"), ("log.level", None), ("log.level", object()),
    ],
)  # fmt: skip
def test_a_wrong_edit_leaves_the_file_alone(paths: Paths, key: str, value: Any) -> None:
    with pytest.raises((FleetError, TypeError, ValueError)):
        set_key(paths, key, value)
    assert text(paths) == FILE


@pytest.mark.parametrize("key", ["", ".", "node.", ".id", "node..id", "node.i\nd", "a" * 600])
def test_a_key_that_is_no_path_is_a_usage_error(paths: Paths, key: str) -> None:
    for act in (lambda: set_key(paths, key, "x"), lambda: unset_key(paths, key)):
        with pytest.raises(UsageError, match="dotted path"):
            act()


def test_the_environment_does_not_spoil_an_edit(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_LOG_LEVEL", "loud")
    set_key(paths, "node.name", "x")


def test_a_broken_configuration_can_be_mended_one_mistake_at_a_time(paths: Paths) -> None:
    paths.config.write_text('[node]\nid = "Mac 1"\n[log]\nlevel = "loud"\nfiles = 0\n')
    set_key(paths, "log.level", "info")
    set_key(paths, "node.id", "mac1")
    with pytest.raises(SettingsError, match=r"log\.size"):
        set_key(paths, "log.size", "tiny")
    unset_key(paths, "log.files")
    assert load(paths, {}).node.id == "mac1"


def test_a_file_that_is_no_toml_is_left_alone(paths: Paths) -> None:
    paths.config.write_text("[node\n")
    with pytest.raises(SettingsError, match=":1: TOML"):
        set_key(paths, "node.name", "x")
    assert text(paths) == "[node\n"


def test_a_setting_can_be_taken_out(paths: Paths) -> None:
    assert unset_key(paths, "peer.mac2.ssh.host") == Change("peer.mac2.ssh.host", "10.0.0.7", None)
    assert text(paths) == FILE.replace('host = "10.0.0.7"       # the studio\n', "")


def test_a_whole_peer_can_be_taken_out(paths: Paths) -> None:
    assert unset_key(paths, "peer.mac2").old == {"ssh": {"host": "10.0.0.7"}}
    assert load(paths, {}).peers == {}
    assert "# the end" in text(paths)


@pytest.mark.parametrize("key", ["node.name", "peer.mac3", "nothing.here", "node.id.deeper"])
def test_what_is_not_in_the_file_cannot_be_taken_out(paths: Paths, key: str) -> None:
    with pytest.raises(NotFound, match=f"does not set {key}"):
        unset_key(paths, key)


def test_a_setting_is_read_with_its_origin(paths: Paths) -> None:
    current = load(paths, {"FLEET_API": "off"})
    assert get_key(current, "log.level") == ("debug", "config.toml:13")
    assert get_key(current, "api.listen") == ("off", "environment FLEET_API")
    assert get_key(current, "nats.port") == (4222, "default")
    assert get_key(current, "peer.mac2.ssh.host") == ("10.0.0.7", "config.toml:10")


def test_a_setting_that_does_not_exist_names_the_nearest(paths: Paths) -> None:
    with pytest.raises(NotFound) as caught:
        get_key(load(paths, {}), "log.levle")
    assert caught.value.hint == "did you mean log.level?"
    with pytest.raises(NotFound) as caught:
        get_key(load(paths, {}), "zzz")
    assert caught.value.hint == "fleet config show"


def test_a_link_of_a_dotfiles_manager_stays_a_link(paths: Paths, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "fleet.toml"
    real.parent.mkdir()
    paths.config.rename(real)
    paths.config.symlink_to(real)
    set_key(paths, "log.level", "info")
    assert paths.config.is_symlink()
    assert 'level = "info"' in real.read_text()


def test_a_file_becomes_private_when_it_is_written(paths: Paths) -> None:
    paths.config.chmod(0o644)
    set_key(paths, "log.level", "info")
    assert paths.config.stat().st_mode & 0o777 == 0o600


def test_nothing_but_the_file_is_left_behind(paths: Paths) -> None:
    set_key(paths, "log.level", "info")
    assert os.listdir(paths.home) == ["config.toml"]


def test_editors_at_the_same_time_lose_nothing(paths: Paths) -> None:
    threads = [threading.Thread(target=set_key, args=(paths, f"peer.n{number}.name", "x")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(load(paths, {}).peers) == {"mac2"} | {f"n{number}" for number in range(8)}


def test_a_place_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot open"):
        set_key(paths_of({"FLEET_HOME": str(tmp_path / "file" / "node")}), "node.id", "mac1")


def test_a_file_the_library_would_damage_is_left_alone(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edit, "_spaced", lambda before, after: after.replace("mac1", "mac9"))
    with pytest.raises(SettingsError, match="written in a way this edit would damage"):
        set_key(paths, "log.level", "info")
    assert text(paths) == FILE


def test_a_text_over_several_lines_is_not_torn_apart(paths: Paths) -> None:
    paths.config.write_text('[node]\ndescription = "x"\nagents = [\n"a",\n]\n[log]\nlevel = "info"\n[api]\nlisten = "off"\n')
    set_key(paths, "node.name", "y")
    assert text(paths) == (
        '[node]\ndescription = "x"\nagents = [\n"a",\n]\nname = "y"\n[log]\nlevel = "info"\n[api]\nlisten = "off"\n'
    )


def test_a_heading_within_a_text_gets_no_blank_line() -> None:
    before = 'a = """\n[x]\n"""\n'
    after = 'a = """\nb\n[y]\n"""\n'
    assert edit._spaced(before, after) == after


def test_a_text_that_is_no_toml_gets_its_blank_lines_and_is_refused_later() -> None:
    assert edit._spaced("", "a =\n[x]") == "a =\n\n[x]\n"


KEYS = {
    "node.name": some.text("abc '\"#\\=[].", max_size=8), "nats.port": some.integers(1, 65_535),
    "nats.serve": some.booleans(),
    "log.level": some.sampled_from(["debug", "info"]), "types.alert.ttl": some.sampled_from(["1h", "2d"]),
    "peer.mac2.name": some.text("ab", max_size=3), "peer.mac2.ssh.port": some.integers(1, 9),
    "peer.b.enabled": some.booleans(),
    "channel.git.poll": some.integers(1, 60), "peer.mac2.layer.nats": some.sampled_from(["lan", "tailnet"]),
}  # fmt: skip
EDITS = some.lists(
    some.sampled_from(sorted(KEYS)).flatmap(lambda key: some.tuples(some.just(key), KEYS[key] | some.none())),
    max_size=12,
)


@given(edits=EDITS)
@budget(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_any_row_of_edits_does_what_it_says_and_keeps_the_comments(paths: Paths, edits: list[tuple[str, Any]]) -> None:
    paths.config.write_text(FILE)
    expected: dict[str, Any] = {
        "node.id": "mac1",
        "node.bind": "127.0.0.1:8856",
        "peer.mac2.ssh.host": "10.0.0.7",
        "log.level": "debug",
    }
    for key, value in edits:
        if value is not None:
            set_key(paths, key, value)
            expected[key] = value
        elif key in expected:
            unset_key(paths, key)
            del expected[key]
    assert leaves(tomllib.loads(text(paths))) == expected
    for comment in ("# Ana's laptop", "# this machine", "# where others call", "# ── peers ──", "# the end"):
        assert comment in text(paths)


def leaves(table: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Every value by its dotted key."""
    found: dict[str, Any] = {}
    for name, value in table.items():
        found |= leaves(value, f"{above}{name}.") if isinstance(value, dict) else {above + name: value}
    return found
