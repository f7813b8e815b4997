"""Which variables are settings, which are mistakes, and which are somebody else's."""

import pytest

from fleet.daemon.sections import ROADS
from fleet.daemon.sources import from_environment, from_flags


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("FLEET_NODE_BIND", ("node", "bind")),
        ("FLEET_NATS_URL", ("nats", "url")),
        ("FLEET_FEDERATION_DYNAMIC_PEERS", ("federation", "dynamic_peers")),
        ("FLEET_API", ("api", "listen")),
        ("FLEET_API_LISTEN", ("api", "listen")),
        ("FLEET_ORDER_CHANNELS", ("order", "channels")),
        ("FLEET_CHANNEL_GIT_REMOTE", ("channel", "git", "remote")),
        ("FLEET_CHANNEL_CLOUD_ALLOW_HTTP", ("channel", "cloud", "allow_http")),
    ],
)
def test_a_variable_is_a_section_and_a_key(name: str, path: tuple[str, ...]) -> None:
    given, mistakes = from_environment({name: "x"}, ROADS)
    assert (list(given), mistakes) == ([path], [])
    assert given[path].origin == f"environment {name}"


def test_the_short_name_of_the_api_wins_over_the_long_one() -> None:
    given, _ = from_environment({"FLEET_API": "off", "FLEET_API_LISTEN": "127.0.0.1:1"}, ROADS)
    assert given[("api", "listen")].value == "off"


@pytest.mark.parametrize(
    "name",
    ["FLEET_HOME", "FLEET_KEY", "FLEET_WHATEVER", "FLEET_SESSION_ID", "FLEET_NODE", "FLEETNODE_BIND", "PATH", "FLEET_"],
)
def test_other_variables_are_left_alone(name: str) -> None:
    assert from_environment({name: "x"}, ROADS) == ({}, [])


def test_an_empty_variable_is_no_variable() -> None:
    assert from_environment({"FLEET_NATS_URL": "", "FLEET_NODE_BNID": ""}, ROADS) == ({}, [])


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("FLEET_NODE_BNID", "FLEET_NODE_BIND"),
        ("FLEET_CHANNEL_GIT_REMOT", "FLEET_CHANNEL_GIT_REMOTE"),
    ],
)
def test_a_misspelt_variable_is_a_mistake_with_the_nearest_name(name: str, near: str) -> None:
    given, (mistake,) = from_environment({name: "secret"}, ROADS)
    assert given == {}
    assert (mistake.file, mistake.key, mistake.nearest) == ("environment", name, near)
    assert "secret" not in str(mistake)


def test_a_road_of_ones_own_has_variables_too() -> None:
    given, mistakes = from_environment({"FLEET_CHANNEL_MY_ROAD_TIMEOUT": "3s"}, [*ROADS, "my_road"])
    assert (list(given), mistakes) == ([("channel", "my_road", "timeout")], [])


def test_a_flag_that_was_not_given_is_none() -> None:
    given = from_flags({"node.bind": "127.0.0.1:1", "node.id": None})
    assert list(given) == [("node", "bind")]
    assert given[("node", "bind")].origin == "flag"
