"""What comes next for a peer whose roads are down (mission M5), as a decision; it repairs nothing and asks no clock.

L1 this node looks at its own side and says so · L2 the peer is asked to look at its side, over a road that works ·
L3 its daemon is restarted over SSH · L4 a person is shown the commands. Each level comes after the one before it has had
its time and the roads were asked again. Times in seconds of the steady clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

SETTLE = 10.0  # seconds a road may be down before anything is done: a daemon restarts and a blip is over within it
OWN_TIME = 5.0  # seconds the own side has to prove itself before the peer is asked: connections are made within it
RESUMED = 86_400.0  # how long a level counts as tried: a restart of this node does not begin the ladder anew


class Level(IntEnum):
    """How far a repair went."""

    NONE = 0
    LOCAL = 1
    ASK = 2
    RESTART = 3
    SHOW = 4


ACTS_ABROAD = (Level.ASK, Level.RESTART)  # what counts as an escalation: it acts on another node


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings of [healing]."""

    level: int = 4  # how far it goes by itself
    wait_l2: float = 120.0
    wait_l3: float = 300.0
    after_l4: float = 900.0
    per_hour: int = 3  # escalations towards one peer


@dataclass(frozen=True, slots=True)
class Case:
    """A peer with roads that are down: since when, how far it was repaired, and when that was."""

    peer: str
    roads: tuple[str, ...]
    since: float
    level: Level = Level.NONE
    acted: float = 0.0


@dataclass(frozen=True, slots=True)
class Scene:
    """What is around a case now."""

    now: float
    works: bool = True  # another road to the peer works: it is there, and can be asked
    late: bool = False  # mail was delivered by a road that is no first choice
    ssh: bool = True  # its SSH address is known
    spent: int = 0  # escalations towards it within the hour


@dataclass(frozen=True, slots=True)
class Move:
    """The level that is due; `refused` = why it is passed over, or nothing."""

    level: Level
    refused: str = ""


def next_move(case: Case, limits: Limits, scene: Scene) -> Move | None:
    """Say what is due now; None = nothing yet, or nothing more. A level that is refused has had its turn."""
    level = Level(case.level + 1) if case.level < Level.SHOW else Level.NONE
    if level is Level.NONE or level > limits.level or scene.now < _due(case, level, limits, scene):
        return None
    if level is Level.RESTART and not scene.ssh:
        return Move(level, "no SSH address of it is known")
    if level in (Level.ASK, Level.SHOW) and not scene.works:
        return None  # it is away: there is nobody to ask, and nothing for a person to mend
    if level in ACTS_ABROAD and scene.spent >= limits.per_hour:
        return Move(level, f"{scene.spent} escalations within the hour; at most {limits.per_hour}")
    return Move(level)


def _due(case: Case, level: Level, limits: Limits, scene: Scene) -> float:
    """Say when a level is due."""
    if level is Level.LOCAL:
        return case.since if scene.late else case.since + SETTLE
    if level is Level.ASK:
        return case.acted + OWN_TIME
    if level is Level.RESTART:
        return case.acted + limits.wait_l2
    return max(case.acted + limits.wait_l3, case.since + limits.after_l4)
