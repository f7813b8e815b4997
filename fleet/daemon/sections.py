"""Every setting there is: its section, name, default and rule; never a value that somebody chose.

A setting is one line here and one in config/fleet.toml. The roads' own settings stand in ROADS and PEER_ROADS; a road
of another module (`[channel.NAME] module = "…"`) may have what it likes.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import field

from fleet.core import policy
from fleet.daemon import rules
from fleet.daemon.content import Content
from fleet.daemon.rules import Rule

DAY = 86_400.0
ORDER = ("cloud", "nats", "http", "relay", "seed", "ssh", "wol", "git", "text")  # P0…P8: positions, never code
ROLES = rules.choice("worker", "captain", "chief")
_NAMES = rules.listing("a list of channel names, none twice", rules.CHANNEL_NAME, most=32, words=ORDER)
_KIND_ROADS = rules.listing(
    'a list of channel names; "*" at the end = then every other',
    lambda word: word == "*" or rules.CHANNEL_NAME(word),
    32,
)


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """This node, and what its manifest tells of it."""

    id: Annotated[str, rules.NODE] = ""
    fleet: Annotated[str, rules.NODE] = ""
    bind: Annotated[str, rules.ADDRESS] = "127.0.0.1:8856"
    advertise: Annotated[str, rules.ROUTABLE] = ""
    role: Annotated[str, rules.choice("", "worker", "captain", "chief")] = ""
    name: Annotated[str, rules.text(most=256)] = ""
    description: Annotated[str, rules.text(most=256)] = ""
    agents: Annotated[tuple[str, ...], rules.LABELS] = ()
    capabilities: Annotated[tuple[str, ...], rules.LABELS] = ()
    work: Annotated[str, rules.text(most=1024)] = ""


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """The local API on TCP; the socket is always there."""

    listen: Annotated[str, rules.LOCAL] = "127.0.0.1:8855"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The roads, in the order in which they are tried."""

    channels: Annotated[tuple[str, ...], _NAMES] = ORDER


class Nats(msgspec.Struct, frozen=True, kw_only=True):
    """The broker: where it is, or that this node runs one."""

    url: Annotated[str, rules.SERVERS] = ""
    serve: Annotated[bool, rules.FLAG] = False
    port: Annotated[int, rules.PORT] = 4222
    routes: Annotated[tuple[str, ...], rules.ROUTES] = ()
    server: Annotated[str, rules.LINE] = ""
    store: Annotated[int, rules.size(0, 1 << 40)] = 256 << 20

    @property
    def urls(self) -> tuple[str, ...]:
        """The brokers, in the order in which they are tried."""
        return tuple(self.url.split(",")) if self.url else ()


class Federation(msgspec.Struct, frozen=True, kw_only=True):
    """Whether peers may be added while the daemon runs."""

    dynamic_peers: Annotated[bool, rules.FLAG] = True


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What one peer may cost within a window, unless `fleet budget` says otherwise (mission R4)."""

    tokens: Annotated[int, rules.number(0, 10**9)] = 10**9
    micro_usd: Annotated[int, rules.dollars(10**6)] = field(default=10**12, name="usd")
    hops: Annotated[int, rules.number(0, 64)] = 8
    window: Annotated[float, rules.duration(60, 366 * DAY)] = DAY


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """When a peer is suspended and evicted (mission R5)."""

    micro_usd: Annotated[int, rules.dollars(10**6)] = field(default=5_000_000, name="usd")
    usd_window: Annotated[float, rules.duration(60, 366 * DAY)] = DAY
    ratio: Annotated[float, rules.ratio()] = 0.5
    ratio_window: Annotated[float, rules.duration(60, 30 * DAY)] = 3600.0
    samples: Annotated[int, rules.number(1, 10**6)] = 50
    eligible_after: Annotated[float, rules.duration(0, 366 * DAY)] = 1800.0
    evict_after: Annotated[float, rules.duration(60, 366 * DAY)] = DAY


class Healing(msgspec.Struct, frozen=True, kw_only=True):
    """How far a broken link is repaired without being asked (mission M5)."""

    level: Annotated[int, rules.number(0, 4)] = 4
    wait_l2: Annotated[float, rules.duration(1, DAY)] = 120.0
    wait_l3: Annotated[float, rules.duration(1, DAY)] = 300.0
    after_l4: Annotated[float, rules.duration(1, 7 * DAY)] = 900.0
    per_hour: Annotated[int, rules.number(0, 60)] = 3


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long what is finished is kept."""

    finished: Annotated[float, rules.duration(3600, 3660 * DAY)] = policy.KEEP_FINAL
    custody: Annotated[float, rules.duration(3600, 366 * DAY)] = policy.CUSTODY_LIFE
    audit: Annotated[float, rules.duration(DAY, 3660 * DAY)] = policy.AUDIT_KEEP
    free: Annotated[int, rules.size(1 << 20, 1 << 50)] = policy.DISK_WATERMARK
    unread: Annotated[int, rules.size(1 << 20, 1 << 50)] = policy.UNREAD_BYTES


class Watchdog(msgspec.Struct, frozen=True, kw_only=True):
    """From where on the operator is told; 0 = never."""

    every: Annotated[float, rules.duration(1, DAY)] = 10.0
    queue_age: Annotated[float, rules.duration(0, 366 * DAY)] = 3600.0
    dead: Annotated[int, rules.number(0, 10**6)] = 20
    flaps: Annotated[int, rules.number(0, 1000)] = 6
    wal: Annotated[int, rules.size(0, 1 << 50)] = 64 << 20
    calm: Annotated[float, rules.duration(0, DAY)] = 60.0
    peer: Annotated[str, rules.NODE] = ""


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """Where the secret keys lie."""

    store: Annotated[str, rules.choice("file", "keyring")] = "file"


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon's log."""

    level: Annotated[str, rules.choice("debug", "info", "warning", "error")] = "info"
    format: Annotated[str, rules.choice("json", "text")] = "json"
    size: Annotated[int, rules.size(64 << 10, 1 << 40)] = 10 << 20
    files: Annotated[int, rules.number(1, 100)] = 5
    notify: Annotated[str, rules.choice("desktop", "off")] = "desktop"


class Key(NamedTuple):
    """One setting: the rule it obeys and what holds when nobody says anything."""

    rule: Rule
    default: Any = ""
    attribute: str = ""


SECTIONS: Mapping[str, type[msgspec.Struct]] = MappingProxyType(
    {
        "node": Node, "api": Api, "order": Order, "nats": Nats, "federation": Federation, "budget": Budget,
        "breaker": Breaker, "content": Content, "healing": Healing, "retention": Retention, "watchdog": Watchdog,
        "keys": Keys, "log": Log,
    }
)  # fmt: skip

KIND_KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "channels": Key(_KIND_ROADS, ()),
        "tries": Key(rules.number(0, 1000), 0),
        "confirm": Key(rules.FLAG, True),
        "ttl": Key(rules.duration(1, 366 * DAY), policy.TTL),
        "session": Key(rules.FLAG, False),
    }
)

_POLL = Key(rules.duration(0.05, DAY), 10.0)
ROADS: Mapping[str, Mapping[str, Key]] = MappingProxyType(
    {
        "cloud": {
            "url": Key(rules.url("s3", "gs", "az", "file")),
            "endpoint": Key(rules.url("https", "http")),
            "region": Key(rules.OPERAND),
            "allow_http": Key(rules.FLAG, False),
            "poll": _POLL,
            "trigger": Key(rules.url("https", "http")),
            "credentials": Key(rules.LINE),
        },
        "nats": {"mailbox": Key(rules.size(2 << 20, 1 << 40), 8 << 20)},
        "http": {
            "tls": Key(rules.FLAG, True),
            "connections": Key(rules.number(1, 65_536), policy.CONNECTIONS),
            "per_address": Key(rules.number(1, 65_536), policy.CONNECTIONS_PER_ADDRESS),
            "deadline": Key(rules.duration(0.1, 600), policy.REQUEST_DEADLINE),
            "idle": Key(rules.duration(0.1, DAY), 60.0),
        },
        "relay": {},
        "seed": {"poll": Key(_POLL.rule, 1.0)},
        "ssh": {"config": Key(rules.LINE)},
        "wol": {},
        "git": {
            "remote": Key(rules.REMOTE),
            "poll": Key(_POLL.rule, 30.0),
            "identity": Key(rules.LINE),
            "host_key": Key(rules.LINE),
            "credentials": Key(rules.LINE),
        },
        "text": {"tmux": Key(rules.OPERAND), "desktop": Key(rules.FLAG, False), "every": Key(rules.duration(1, DAY), 30.0)},
    }
)

_LOGIN: Mapping[str, Key] = {
    "host": Key(rules.OPERAND),
    "port": Key(rules.PORT, 22),
    "user": Key(rules.OPERAND),
    "identity": Key(rules.LINE),
    "host_key": Key(rules.LINE),
}
PEER_ROADS: Mapping[str, Mapping[str, Key]] = MappingProxyType(
    {
        "cloud": {"url": ROADS["cloud"]["url"]},
        "nats": {},
        "http": {"url": Key(rules.url("https", "http")), "pin": Key(rules.LINE)},
        "relay": {"via": Key(rules.NODES, ())},
        "seed": {"directory": Key(rules.LINE), **_LOGIN},
        "ssh": {**_LOGIN, "command": Key(rules.LINE), "key": Key(rules.LINE)},
        "wol": {"mac": Key(rules.MAC), "broadcast": Key(rules.OPERAND), "interface": Key(rules.OPERAND)},
        "git": {"remote": Key(rules.REMOTE)},
        "text": {"tmux": Key(rules.OPERAND), "ssh": Key(rules.FLAG, False)},
    }
)
PEER_KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "name": Key(rules.text(most=256)),
        "role": Key(ROLES),
        "enabled": Key(rules.FLAG, True),
        "description": Key(rules.text(most=256)),
        "agents": Key(rules.LABELS, ()),
        "capabilities": Key(rules.LABELS, ()),
        "timeout": Key(rules.duration(0, 600), 0.0),
    }
)
LAYER = Key(rules.OPERAND)
ANYTHING = Key(Rule("anything", lambda found: found))


def section_keys(section: str) -> Mapping[str, Key]:
    """Give the settings of a fixed section by their names in the file."""
    return _SECTION_KEYS[section]


def _keys_of(struct: type[msgspec.Struct]) -> Mapping[str, Key]:
    return {
        item.encode_name: Key(item.type.__metadata__[0], item.default, item.name)
        for item in msgspec.structs.fields(struct)
    }


_SECTION_KEYS = {name: _keys_of(struct) for name, struct in SECTIONS.items()}


def road_keys(name: str) -> Mapping[str, Key]:
    """Give what `[channel.NAME]` may say; for a road of another module only what every road has."""
    return {
        "enabled": Key(rules.FLAG, name != "text"),
        "timeout": Key(rules.duration(0.05, 600), policy.DEADLINES.get(name, policy.DEADLINE)),
        "patience": Key(rules.duration(0.05, 30 * DAY), policy.PATIENCE.get(name, policy.PATIENCE_DEFAULT)),
        "module": Key(rules.OPERAND),
        **ROADS.get(name, {}),
    }
