"""Names become channels; a road that cannot be had is reported and the others live."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from fleet.core.channel import Channel, Deliver, Traits
from fleet.core.outcome import Outcome
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.daemon import registry
from fleet.errors import SettingsError


class Road:
    """A road that leads nowhere."""

    traits = Traits()

    def __init__(self, name: str, settings: Mapping[str, Any], earlier: Mapping[str, Channel]) -> None:
        self.name = name
        self.settings = settings
        self.earlier = dict(earlier)

    async def open(self) -> None: ...

    async def send(self, peer: Peer, parcel: Parcel, timeout: float) -> Outcome:
        return Outcome.taken()

    async def listen(self, deliver: Deliver) -> None: ...

    async def forget(self, peer: Peer, pids: Sequence[str]) -> None: ...

    async def close(self) -> None: ...


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A directory whose modules can be named in `module = "…"`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(modules: Path, name: str, build: str) -> None:
    """Write a module with a build() of this body."""
    (modules / f"{name}.py").write_text(
        f"from {__name__} import Road\nfrom fleet.errors import *\n"
        f"def build(settings, earlier):\n    name = settings['called']\n    {build}\n"
    )


def built(*names: str, **tables: dict[str, Any]) -> registry.Roads:
    """Build roads from tables; each is told its own name."""
    return registry.build(names, lambda name: {"module": f"road_{name}", "called": name, **tables.get(name, {})})


def test_roads_are_built_in_their_order(modules: Path) -> None:
    for name in ("b", "a", "c"):
        write(modules, f"road_{name}", "return Road(name, settings, earlier)")
    roads = built("b", "a", "c")
    assert (list(roads.channels), dict(roads.failed)) == (["b", "a", "c"], {})


def test_a_road_is_handed_those_before_it(modules: Path) -> None:
    for name in ("a", "b"):
        write(modules, f"road_{name}", "return Road(name, settings, earlier)")
    roads = built("a", "b").channels
    first, second = roads["a"], roads["b"]
    assert isinstance(first, Road)
    assert isinstance(second, Road)
    assert (first.earlier, second.earlier) == ({}, {"a": first})


def test_a_road_gets_its_table_and_what_the_house_adds(modules: Path) -> None:
    write(modules, "road_a", "return Road('a', settings, earlier)")
    table = {"module": "road_a", "called": "a", "node": "forged", "poll": 3}
    road = registry.build(["a"], lambda name: table, lambda name: {"node": "mac1"}).channels["a"]
    assert isinstance(road, Road)
    assert (road.settings["node"], road.settings["poll"]) == ("mac1", 3)
    assert isinstance(road.settings, MappingProxyType)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise SettingsError('no url')", "SettingsError: no url"),
        ("raise ValueError('bad')", "ValueError: bad"),
        ("raise KeyError('node')", "KeyError: 'node'"),
        ("raise OSError('gone')", "OSError: gone"),
        ("raise RuntimeError", "RuntimeError"),
        ("raise NotImplementedError", "NotImplementedError"),
        ("assert False, 'no'", "AssertionError: no"),
        ("return 1 / 0", "ZeroDivisionError: division by zero"),
        ("return unknown_name", "NameError: name 'unknown_name' is not defined"),
        ("return None", "TypeError: road_a.build() gave something that cannot open, send, listen, forget, close"),
        ("road = Road(name, settings, earlier); road.traits = 3; return road", "gave a channel without traits"),
        ("return Road('other', settings, earlier)", "gave a channel named 'other', not 'a'"),
        ("raise ValueError('nats://ana:hunter2@host is wrong')", "ValueError: nats://…@host is wrong"),
        ("raise ValueError('two\\nlines \\x1b[2J')", "ValueError: two\\nlines \\x1b[2J"),
    ],
)
def test_a_road_that_cannot_be_built_is_reported_and_the_others_live(modules: Path, body: str, reason: str) -> None:
    write(modules, "road_a", body)
    write(modules, "road_b", "return Road(name, settings, earlier)")
    roads = built("a", "b")
    assert list(roads.channels) == ["b"]
    assert reason in roads.failed["a"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("def broken(:", "SyntaxError: "),
        ("x = 1", "AttributeError: module 'road_a' has no attribute 'build'"),
    ],
)
def test_a_module_that_cannot_be_imported_is_reported(modules: Path, source: str, reason: str) -> None:
    (modules / "road_a.py").write_text(source)
    assert reason in built("a").failed["a"]


def test_a_module_that_is_not_there_is_reported() -> None:
    assert "No module named 'road_nowhere'" in built("nowhere").failed["nowhere"]


def test_without_a_module_the_road_lies_under_channels() -> None:
    roads = registry.build(["zzz"], lambda name: {"module": ""})
    assert "No module named 'channels.zzz'" in roads.failed["zzz"]


def test_a_road_exists_when_its_file_does() -> None:
    assert registry.exists("nats")
    assert not registry.exists("zzz")
    assert "channels.zzz" not in sys.modules


def test_a_settings_error_of_a_road_keeps_its_words() -> None:
    assert registry._reason(SettingsError("git.remote is missing")) == "SettingsError: git.remote is missing"
