"""Names in the order → channels; the only place that knows where a road's module lies, never what it does.

A road is `channels/NAME.py` with `build(settings, earlier)`, or any module that `[channel.NAME] module = "…"` names.
A road that cannot be had is reported with its reason; the others live.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import Any, cast

from fleet.core.channel import Channel, Traits
from fleet.daemon.mistakes import shown
from fleet.errors import FleetError

PACKAGE = "channels"
# What a module or its build() may raise and be left out for; F7 keeps the broad except elsewhere.
FAULTS = (
    FleetError, ImportError, SyntaxError, NameError, AttributeError, TypeError, ValueError, LookupError, OSError,
    RuntimeError, AssertionError, ArithmeticError,
)  # fmt: skip
_VERBS = ("open", "send", "listen", "forget", "close")


@dataclass(frozen=True, slots=True)
class Roads:
    """The channels that could be built, in order, and why the others could not."""

    channels: Mapping[str, Channel]
    failed: Mapping[str, str]


def exists(name: str) -> bool:
    """Say whether there is a file `channels/NAME.py`; imports nothing of it."""
    return importlib.util.find_spec(f"{PACKAGE}.{name}") is not None


def build(
    names: Iterable[str],
    table: Callable[[str], Mapping[str, Any]],
    house: Callable[[str], Mapping[str, Any]] = lambda name: {},
) -> Roads:
    """Build the channels in their order; each gets its own table with what the house adds, and the roads before it.

    `table` is Settings.channel; what `house` says of a road wins over its table.
    """
    channels: dict[str, Channel] = {}
    failed: dict[str, str] = {}
    for name in names:
        settings = {**table(name), **house(name)}
        try:
            channels[name] = _build(name, settings, MappingProxyType(dict(channels)))
        except FAULTS as error:
            failed[name] = _reason(error)
    return Roads(MappingProxyType(channels), MappingProxyType(failed))


def _build(name: str, settings: Mapping[str, Any], earlier: Mapping[str, Channel]) -> Channel:
    module: ModuleType = importlib.import_module(str(settings.get("module") or f"{PACKAGE}.{name}"))
    channel = module.build(MappingProxyType(dict(settings)), earlier)
    missing = [verb for verb in _VERBS if not callable(getattr(channel, verb, None))]
    if missing:
        raise TypeError(f"{module.__name__}.build() gave something that cannot {', '.join(missing)}")
    if not isinstance(getattr(channel, "traits", None), Traits):
        raise TypeError(f"{module.__name__}.build() gave a channel without traits")
    if channel.name != name:
        raise ValueError(f"{module.__name__}.build() gave a channel named {channel.name!r}, not {name!r}")
    return cast(Channel, channel)


def _reason(error: BaseException) -> str:
    """Say on one line why a road is out, without the user part of a URL."""
    words = shown(str(error))[1:-1] if str(error) else ""
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
