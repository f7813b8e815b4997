"""The fixed list of repairs: what each does, how much trust a peer needs to ask for it; never a free argument.

A peer asks with a message of type `repair` whose body is {"repairs": ["reconnect nats", "announce"]}. Every word is one
of the list; the second word of one that regards a road is a road of the receiver's. The daemon does them, never an agent.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fleet.errors import Malformed

TYPE = "repair"
MOST = 16  # repairs in one message; a peer has nine roads
HINT = 2  # the level for what is only a hint: done again it changes nothing
COMMAND = 4


@dataclass(frozen=True, slots=True)
class Repair:
    """One entry of the list."""

    word: str
    sentence: str
    level: int = HINT
    of_road: bool = False  # it names a road


REPAIRS = MappingProxyType(
    {
        one.word: one
        for one in (
            Repair("reconnect", "make a road's connections anew; and the broker, if it is dead", of_road=True),
            Repair("announce", "tell everybody again where this node is found"),
            Repair("broker", "restart the embedded broker", COMMAND),
            Repair("tunnel", "close the tunnel to whoever asks and open it again", COMMAND),
        )
    }
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One repair that was asked for."""

    repair: Repair
    road: str = ""

    @property
    def words(self) -> str:
        """As it stands in the message."""
        return f"{self.repair.word} {self.road}".strip()


def write(asked: Sequence[Asked]) -> dict[str, Any]:
    """Write the body of a message that asks for repairs."""
    return {"repairs": [one.words for one in asked]}


def read(body: object, roads: Collection[str]) -> list[Asked]:
    """Read the body of such a message. Raises Malformed for anything that is not in the list, or no road of ours."""
    words = body.get("repairs") if isinstance(body, dict) else None
    if not isinstance(words, list) or not 0 < len(words) <= MOST:
        raise Malformed(f"a repair names 1 to {MOST} repairs")
    return [_read(one, roads) for one in words]


def _read(text: object, roads: Collection[str]) -> Asked:
    word, _, road = str(text).partition(" ") if isinstance(text, str) else ("", "", "")
    repair = REPAIRS.get(word)
    if repair is None or (road not in roads if repair.of_road else bool(road)):
        raise Malformed("there is no such repair: " + ", ".join(REPAIRS))
    return Asked(repair, road)


def level_of(body: object) -> int:
    """Say which trust level a message needs: the highest of what it asks for, that of a command when it cannot be read."""
    words = body.get("repairs") if isinstance(body, dict) else None
    if not isinstance(words, list) or not words:
        return COMMAND
    known = [REPAIRS.get(text.partition(" ")[0]) if isinstance(text, str) else None for text in words]
    return max(COMMAND if one is None else one.level for one in known)


def hints_for(roads: Sequence[str]) -> list[Asked]:
    """Choose what to ask a peer for whose roads do not work: hints alone, which every member may give."""
    return [*(Asked(REPAIRS["reconnect"], road) for road in roads), Asked(REPAIRS["announce"])][:MOST]
