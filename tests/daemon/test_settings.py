"""The configuration: precedence, origins, every mistake at once, and config/fleet.toml held against the code."""

import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet.core import policy
from fleet.core.envelope import KINDS
from fleet.core.peer import merge
from fleet.daemon.paths import Paths, paths_of
from fleet.daemon.sections import KIND_KEYS, PEER_KEYS, PEER_ROADS, ROADS
from fleet.daemon.settings import Settings, check, load, parse
from fleet.errors import FleetError, SettingsError

CONFIG = Path(__file__).parents[2] / "config"
FIELDS = (
    "node", "api", "nats", "federation", "budget", "breaker", "content", "healing", "retention", "watchdog", "log",
    "order", "channels",
)  # fmt: skip


def read(text: str = "", environ: Mapping[str, str] | None = None, **flags: Any) -> Settings:
    """Settings of a text; a flag's dots are written as __."""
    return parse(text, "config.toml", environ or {}, {name.replace("__", "."): value for name, value in flags.items()})


def mistakes(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """What is wrong with a text, as it is printed."""
    return [str(mistake) for mistake in check(text, "config.toml", environ or {}, {})[1]]


def paths_in(directory: Path) -> Paths:
    """The paths of a node in a directory."""
    return paths_of({"FLEET_HOME": str(directory)})


# ── defaults ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_file_every_setting_has_its_default(tmp_path: Path) -> None:
    settings = load(paths_in(tmp_path), {})
    assert settings.node.bind == "127.0.0.1:8856"
    assert settings.api.listen == "127.0.0.1:8855"
    assert settings.order == ("cloud", "nats", "http", "relay", "seed", "ssh", "wol", "git", "text")
    assert settings.content.limit == policy.MESSAGE_LIMIT == 256 * 1024
    assert {origin for _, _, origin in settings.items()} == {"default"}


@pytest.mark.parametrize("field", FIELDS)
def test_the_printed_configuration_is_the_default_one(field: str) -> None:
    printed = read((CONFIG / "fleet.toml").read_text())
    assert getattr(printed, field) == getattr(read(), field)


def test_the_printed_table_of_types_is_the_codes() -> None:
    printed = read((CONFIG / "fleet.toml").read_text())
    assert dict(printed.kinds()) == dict(KINDS)
    assert set(printed.types) == set(KINDS)


def test_the_printed_configuration_holds_every_setting_and_nothing_else() -> None:
    printed = {key for key, _, origin in read((CONFIG / "fleet.toml").read_text()).items() if origin != "default"}
    kinds = {f"types.{word}.{key}" for word in KINDS for key in KIND_KEYS}
    assert printed == {key for key, _, _ in read().items()} | kinds


def test_the_printed_configuration_explains_every_section() -> None:
    lines = (CONFIG / "fleet.toml").read_text().splitlines()
    sections = [n for n, line in enumerate(lines) if line.startswith("[") and not line.startswith("[types.")]
    silent = [lines[n] for n in sections if not any("#" in line for line in lines[n : n + 8])]
    assert silent == []


def test_the_example_of_peers_shows_every_setting_of_a_peer() -> None:
    shown = tomllib.loads((CONFIG / "peers.example.toml").read_text())["peer"]["mac2"]
    assert {key for key in shown if key in PEER_KEYS} == set(PEER_KEYS)
    login = {"host", "port", "user", "identity", "host_key"}  # of seed: as ssh unless given
    assert {name: set(shown.get(name, {})) for name in PEER_ROADS} == {
        name: set(keys) - (login if name == "seed" else set()) for name, keys in PEER_ROADS.items()
    }
    assert "mac2" in read((CONFIG / "peers.example.toml").read_text()).peers


def test_text_is_off_until_somebody_switches_it_on() -> None:
    assert "text" not in read().roads
    assert read("[channel.text]\nenabled = true").roads[-1] == "text"


def test_a_load_is_quick(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    paths.config.write_bytes((CONFIG / "fleet.toml").read_bytes())
    best = 1.0
    for _ in range(5):
        start = time.perf_counter()
        load(paths, {"FLEET_API": "off"})
        best = min(best, time.perf_counter() - start)
    assert best < 0.015


# ── precedence and origin ────────────────────────────────────────────────────────────────────────────────────────────


FILE = '# first line\n[node]\nbind = "127.0.0.1:1"\n[channel.git]\nremote = "h:x"\n'


def test_a_flag_goes_before_a_variable_before_the_file_before_the_default() -> None:
    variable = {"FLEET_NODE_BIND": "127.0.0.1:2"}
    assert read().node.bind == "127.0.0.1:8856"
    assert read(FILE).node.bind == "127.0.0.1:1"
    assert read(FILE, variable).node.bind == "127.0.0.1:2"
    assert read(FILE, variable, node__bind="127.0.0.1:3").node.bind == "127.0.0.1:3"


def test_every_value_says_where_it_comes_from() -> None:
    settings = read(FILE, {"FLEET_API": "off", "FLEET_CHANNEL_GIT_POLL": "5s"}, node__name="x")
    assert settings.origin("node.bind") == "config.toml:3"
    assert settings.origin("channel.git.remote") == "config.toml:5"
    assert settings.origin("api.listen") == "environment FLEET_API"
    assert settings.origin("channel.git.poll") == "environment FLEET_CHANNEL_GIT_POLL"
    assert settings.origin("node.name") == "flag"
    assert settings.origin("node.id") == "default"


def test_a_flag_that_is_none_was_not_given() -> None:
    assert read(FILE, node__bind=None).origin("node.bind") == "config.toml:3"


@pytest.mark.parametrize(
    ("name", "text", "read_as"),
    [
        ("FLEET_NATS_SERVE", "true", True),
        ("FLEET_NATS_PORT", "4333", 4333),
        ("FLEET_NATS_ROUTES", "nats://a:1,nats://b:2", ("nats://a:1", "nats://b:2")),
        ("FLEET_NATS_URL", "nats://h", "nats://h"),
    ],
)
def test_a_variable_has_the_type_of_its_setting(name: str, text: str, read_as: Any) -> None:
    assert getattr(read("", {name: text}).nats, name.rsplit("_", 1)[1].lower()) == read_as


def test_a_variable_can_change_the_order() -> None:
    assert read("", {"FLEET_ORDER_CHANNELS": "http,nats"}).order == ("http", "nats")


def test_a_flag_may_be_typed_text_or_a_value() -> None:
    assert read(log__files="3").log.files == read(log__files=3).log.files == 3


def test_a_wrong_value_in_the_file_is_a_mistake_although_a_variable_covers_it() -> None:
    assert len(mistakes('[node]\nbind = "nowhere"', {"FLEET_NODE_BIND": "127.0.0.1:1"})) == 1


def test_what_is_shown_can_be_written_back() -> None:
    text = '[retention]\nfinished = "36h"\n[content]\nlimit = 300000\n[budget]\nusd = 0.5\n[types.alert]\nttl = 90'
    shown = {key: value for key, value, _ in read(text).items()}
    assert shown["retention.finished"] == "36h"
    assert shown["content.limit"] == "300000B"
    assert shown["budget.usd"] == 0.5
    assert shown["types.alert.ttl"] == "90s"


def test_what_is_shown_of_a_peer_has_its_dotted_path() -> None:
    text = '[peer.mac2]\ntimeout = "10s"\n[peer.mac2.ssh]\nhost = "h"\n[peer.mac2.layer]\nssh = "lan"'
    shown = {key: (value, origin) for key, value, origin in read(text).items() if key.startswith("peer.")}
    assert shown == {
        "peer.mac2.timeout": ("10s", "config.toml:2"),
        "peer.mac2.ssh.host": ("h", "config.toml:4"),
        "peer.mac2.layer.ssh": ("lan", "config.toml:6"),
    }


# ── every mistake at once ────────────────────────────────────────────────────────────────────────────────────────────


def test_every_mistake_is_reported_at_once_in_the_order_of_the_file() -> None:
    text = """\
[node]
id = "Mac 1"
bnid = "127.0.0.1:1"
[ordr]
channels = ["nats"]
[channel.git]
remot = "h:x"
poll = "soon"
[types.alrt]
ttl = "7d"
[peer.mac2]
rolle = "chief"
role = "chef"
[peer.mac2.ssh]
host = "-oProxyCommand=x"
"""
    assert mistakes(text, {"FLEET_LOG_LEVEL": "loud", "FLEET_NATS_PROT": "1"}) == [
        'config.toml:2: node.id = "Mac 1": must be a node id: a-z, 0-9, -, up to 63 characters, or ""',
        "config.toml:3: node.bnid: no such setting; did you mean node.bind?",
        "config.toml:4: ordr: no such section; did you mean order?",
        "config.toml:7: channel.git.remot: no such setting; did you mean channel.git.remote?",
        'config.toml:8: channel.git.poll = "soon": must be seconds, or "30s", "10m", "7d"; from 0.05s to 1d',
        "config.toml:9: types.alrt: no such type, and too near one to be a type of your own; did you mean types.alert?",
        "config.toml:12: peer.mac2.rolle: no such setting; did you mean peer.mac2.role?",
        'config.toml:13: peer.mac2.role = "chef": must be "worker" or "captain" or "chief"; did you mean "chief"?',
        'config.toml:15: peer.mac2.ssh.host = "-oProxyCommand=x": must be one word that does not begin with -, or ""',
        'environment: FLEET_LOG_LEVEL = "loud": must be "debug" or "info" or "warning" or "error"',
        "environment: FLEET_NATS_PROT: no such setting; did you mean FLEET_NATS_PORT?",
    ]


def test_a_load_with_mistakes_raises_them_all(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    paths.config.write_text("[node]\nid = 1\nbind = 2\n")
    with pytest.raises(SettingsError) as caught:
        load(paths, {})
    lines = caught.value.message.splitlines()
    assert lines[0] == "2 mistakes in the configuration"
    assert lines[1].startswith(f"{paths.config}:2: node.id = 1: must be")


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("[node\nid = 1", "config.toml:1: TOML: "),
        ('[node]\nid = "x', "config.toml:2: TOML: "),
        ("[node]\nid = 'a'\nid = 'b'", "config.toml:3: TOML: "),
        ("node = 3", "config.toml:1: node = 3: must be a table"),
        ("[channel]\ngit = 3", "config.toml:2: channel.git = 3: must be a table"),
        ("channel = 3", "config.toml:1: channel = 3: must be a table"),
        ("[peer]\nmac2 = 'x'", 'config.toml:2: peer.mac2 = "x": must be a table'),
        ("[peer.mac2]\nssh = 'x'", 'config.toml:2: peer.mac2.ssh = "x": must be a table'),
        ("[peer.mac2]\nlayer = 'x'", 'config.toml:2: peer.mac2.layer = "x": must be a table'),
        ("[types]\nalert = 1", "config.toml:2: types.alert = 1: must be a table"),
        ("[[node]]\nid = 'a'", "config.toml:1: node = [{'id': 'a'}]: must be a table"),
        ("x = 1", "config.toml:1: x: no such section"),
        ("[channel.gti]\npoll = 1", "config.toml:1: channel.gti: no such channel"),
        ("[order]\nchannels = ['nats', 'nats']", "config.toml:2: order.channels = ['nats', 'nats']: must be a list"),
        ("[order]\nchannels = ['ntas']", 'config.toml:2: order.channels = "ntas": no such channel: there is no '),
        ("[order]\nchannels = ['../x']", "config.toml:2: order.channels = ['../x']: must be a list"),
        ("[order]\nchannels = ['_ssh']", "config.toml:2: order.channels = ['_ssh']: must be a list"),
        ("[types.Alert]\nttl = 3", "config.toml:1: types.Alert: "),
        ("[types.receipt]\nttl = 3", "config.toml:1: types.receipt: must be a-z"),
        ('[types."bad type"]\nttl = 3', 'config.toml:1: types."bad type": must be a-z'),
        (
            "[types.alert]\nchannels = ['ntas']",
            'config.toml:2: types.alert.channels = "ntas": no such channel; did you',
        ),
        (
            "[types.alert]\nchannels = ['*', 'nats']",
            'config.toml:2: types.alert.channels = "*": no such channel ("*" goes',
        ),
        (
            "[types.alert]\ntires = 3",
            "config.toml:2: types.alert.tires: no such setting; did you mean types.alert.tries?",
        ),
        ('[peer."../x"]\nname = "x"', 'config.toml:1: peer."../x": must be a node id'),
        ('[peer."a\\nb"]\nname = "x"', 'config.toml:1: peer."a\\nb": must be a node id'),
        ("[node]\nid = 'a'\n[peer.a]\nname = 'x'", "config.toml:3: peer.a: is this node itself"),
        (
            "[peer.b.layer]\nnast = 'x'",
            "config.toml:2: peer.b.layer.nast: no such channel; did you mean peer.b.layer.nats?",
        ),
        ("[peer.b.http]\nurl = 'ftp://x'", 'config.toml:2: peer.b.http.url = "ftp://x": must be https://… or http://…'),
        ("[peer.b.nats]\nurl = 'nats://x'", "config.toml:2: peer.b.nats.url: no such setting"),
        ("[nats]\nserve = 'yes'", 'config.toml:2: nats.serve = "yes": must be true or false'),
        ("[nats]\nport = 4222.0", "config.toml:2: nats.port = 4222.0: must be a whole number from 1 to 65535"),
        ("[budget]\nusd = nan", "config.toml:2: budget.usd = nan: must be dollars"),
        ("[budget]\nusd = -1", "config.toml:2: budget.usd = -1: must be dollars"),
        ("[budget]\nhops = 65", "config.toml:2: budget.hops = 65: must be a whole number from 0 to 64"),
        ("[breaker]\nratio = 1.5", "config.toml:2: breaker.ratio = 1.5: must be a number from 0 to 1"),
        (
            "[content]\nlimit = '1MiB'",
            'config.toml:2: content.limit = "1MiB": must be bytes, or "64MB", "64MiB"; from 1KiB',
        ),
        (
            "[api]\nlisten = '0.0.0.0:8855'",
            'config.toml:2: api.listen = "0.0.0.0:8855": must be host:port of this machine',
        ),
        ("[api]\nlisten = 'of'", 'config.toml:2: api.listen = "of": must be host:port of this machine'),
        ("[log]\nlevel = 1979-05-27", "config.toml:2: log.level = datetime.date(1979, 5, 27): must be"),
        ("[channel.git]\nremote = 'ext::sh'", 'config.toml:2: channel.git.remote = "ext::sh": must be ssh://…'),
        ("[channel.git]\ntimeout = 0", "config.toml:2: channel.git.timeout = 0: must be seconds"),
        (
            "[node]\nname = 'a\\tb'\nfleet = ''\nagents = ['a', 'a']",
            "config.toml:4: node.agents = ['a', 'a']: must be a list",
        ),
    ],
)
def test_a_mistake_is_named_with_line_key_value_and_what_is_allowed(text: str, start: str) -> None:
    (mistake,) = mistakes(text)
    assert mistake.startswith(start)


def test_an_unknown_flag_is_a_mistake() -> None:
    with pytest.raises(SettingsError, match=r"^flag: node\.bnid = \"x\": no such setting$"):
        read(node__bnid="x")


def test_a_wrong_flag_is_a_mistake() -> None:
    with pytest.raises(SettingsError, match=r"^flag: node\.bind = 3: must be host:port$"):
        read(node__bind=3)


def test_no_password_of_a_url_is_shown() -> None:
    (mistake,) = mistakes('[nats]\nurl = "http://ana:hunter2@host"')
    assert "hunter2" not in mistake


def test_the_value_of_an_unknown_setting_is_not_shown() -> None:
    (mistake,) = mistakes('[nats]\npassword = "hunter2"')
    assert "hunter2" not in mistake


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[node]\nid = '\xff'", ":2: TOML: must be UTF-8"),
        (b"\xef\xbb\xbf[node]", ":1: TOML: "),
        (b"a = " + b"[" * 9000, "TOML"),
    ],
)
def test_a_file_that_is_no_toml_is_a_mistake(tmp_path: Path, content: bytes, words: str) -> None:
    paths = paths_in(tmp_path)
    paths.config.write_bytes(content)
    with pytest.raises(SettingsError, match=words):
        load(paths, {})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    paths.config.mkdir()
    with pytest.raises(SettingsError, match=r"cannot read .*/config.toml: Is a directory"):
        load(paths, {})


_VALUES = some.recursive(
    some.one_of(some.booleans(), some.integers(), some.floats(), some.text(max_size=9)),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(min_size=1, max_size=9), inner, max_size=3),
    max_leaves=6,
)
_NAMES = some.sampled_from(
    ["node", "order", "channel", "peer", "types", "nats", "channels", "git", "id", "mac2", "layer", "ssh"]
)


@given(some.dictionaries(_NAMES, some.dictionaries(_NAMES, _VALUES, max_size=3) | _VALUES, max_size=4))
def test_no_file_of_any_shape_makes_loading_fail_otherwise(data: dict[str, Any]) -> None:
    tomlkit = pytest.importorskip("tomlkit")
    try:
        text = tomlkit.dumps(data)
        tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeEncodeError, ValueError):
        return
    try:
        parse(text, "config.toml", {}, {})
    except FleetError as error:
        assert all(line.isprintable() for line in error.message.splitlines())


# ── roads ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_roads_table_has_its_defaults_filled_in() -> None:
    table = read("[channel.git]\nremote = 'h:x'").channel("git")
    assert (table["remote"], table["poll"], table["timeout"], table["patience"]) == ("h:x", 30.0, 30.0, 120.0)


@pytest.mark.parametrize("name", ROADS)
def test_a_road_has_the_upper_bound_of_the_house(name: str) -> None:
    assert read().channel(name)["timeout"] == policy.DEADLINES[name]


def test_a_road_that_is_disabled_is_out_of_use_but_keeps_its_position() -> None:
    settings = read("[channel.cloud]\nenabled = false")
    assert settings.order[0] == "cloud"
    assert settings.roads[0] == "nats"


def test_a_road_that_is_not_in_the_order_may_still_have_a_table() -> None:
    settings = read("[order]\nchannels = ['http']\n[channel.git]\npoll = 3")
    assert (settings.roads, settings.channel("git")["poll"]) == (("http",), 3.0)


def test_a_tenth_road_is_a_module_and_a_word() -> None:
    text = (
        "[order]\nchannels = ['nats', 'pigeon']\n[channel.pigeon]\nmodule = 'aviary.pigeon'\nloft = 'roof'\ntimeout = '1h'"
    )
    assert mistakes(text) == [
        'config.toml:6: channel.pigeon.timeout = "1h": must be seconds, or "30s", "10m", "7d"; from 0.05s to 10m'
    ]
    table = read(text.replace("1h", "10m")).channel("pigeon")
    assert (table["loft"], table["timeout"], table["patience"]) == ("roof", 600.0, policy.PATIENCE_DEFAULT)


def test_a_peer_may_have_an_address_on_a_tenth_road() -> None:
    text = "[order]\nchannels = ['pigeon']\n[channel.pigeon]\nmodule = 'x'\n[peer.mac2.pigeon]\nloft = 'roof'"
    assert read(text).peers["mac2"]["pigeon"] == {"loft": "roof"}


def test_a_tenth_road_cannot_be_misspelt_silently() -> None:
    (mistake,) = mistakes("[order]\nchannels = ['pigeon']")
    assert mistake.endswith("no such channel: there is no channels/pigeon.py and no [channel.pigeon] module")


# ── types ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_types_change_only_what_is_said() -> None:
    alert = read("[types.alert]\nttl = '1h'").kinds()["alert"]
    assert (alert.ttl, alert.roads, alert.tries, alert.trust) == (3600.0, ("nats",), 3, 2)


@pytest.mark.parametrize(
    ("channels", "roads", "then_all"),
    [("['http']", ("http",), False), ("['http', '*']", ("http",), True), ("[]", (), False), ("['*']", (), False)],
)
def test_the_channels_of_a_type_may_end_in_all_others(channels: str, roads: tuple[str, ...], then_all: bool) -> None:
    reply = read(f"[types.reply]\nchannels = {channels}").kinds()["reply"]
    assert (reply.roads, reply.then_all) == (roads, then_all)


def test_a_fleet_may_have_types_of_its_own() -> None:
    kind = read("[types.build-result]\ntries = 2\nconfirm = false").kinds()["build-result"]
    assert (kind.word, kind.tries, kind.confirm, kind.trust) == ("build-result", 2, False, 2)


# ── peers ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_words_on_a_peer_are_what_merge_wants() -> None:
    words = read((CONFIG / "peers.example.toml").read_text()).peers["mac2"]
    peer = merge("mac2", None, None, words, "static")
    assert (peer.name, peer.role, peer.timeout, peer.enabled) == ("Studio", "worker", 30.0, True)
    assert peer.agents == ("claude", "reviewer")
    assert peer.layers == {"nats": "tailnet", "http": "lan", "ssh": "lan"}
    assert peer.address("ssh")["host"] == "10.0.0.7"
    assert peer.address("relay")["via"] == ("chief1",)
    assert peer.address("text") == {"tmux": "main:0.1", "ssh": True}


def test_an_empty_word_on_an_address_says_nothing() -> None:
    assert read("[peer.b.http]\nurl = ''\npin = ''").peers["b"]["http"] == {}


def test_settings_cannot_be_changed() -> None:
    settings = read("[peer.b]\nname = 'x'")
    for target, name in ((settings, "order"), (settings.node, "id")):
        with pytest.raises(AttributeError):
            setattr(target, name, "x")
    with pytest.raises(TypeError):
        settings.peers["b"]["name"] = "y"  # type: ignore[index]
    with pytest.raises(TypeError):
        settings.channel("git")["poll"] = 1  # type: ignore[index]


def test_the_brokers_are_listed_in_their_order() -> None:
    assert read("[nats]\nurl = 'nats://a,tls://b'").nats.urls == ("nats://a", "tls://b")
    assert read().nats.urls == ()
