"""What a check says, and whom it looks at; never how."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleet.core.channel import Channel
from fleet.core.peer import Peer
from fleet.daemon.paths import Paths
from fleet.daemon.settings import Settings

OK, WARNING, FAILED = "ok", "warning", "failed"
Cure = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: why it is not well, the command to try, and what --fix may do by itself."""

    id: str
    status: str = OK
    why: str = ""
    fix: str = ""
    cure: Cure | None = None  # does it and says what it did

    def view(self) -> dict[str, str]:
        """Show it as contract.md says."""
        return {"id": self.id, "status": self.status, "why": self.why, "fix": self.fix}


@dataclass(frozen=True)
class Patient:
    """One node as it can be seen: its files and settings, its members, and what its daemon says while it runs."""

    paths: Paths
    settings: Settings
    peers: Sequence[Peer] = ()
    roads: Mapping[str, Channel] = field(default_factory=dict)
    live: Mapping[str, Any] | None = None  # `fleet status`; None = no daemon runs
    trouble: Sequence[Finding] = ()  # what could not even be read
    believe_clock: Callable[[], object] = lambda: None  # tells the daemon that the clock is right


def merged(id: str, wrong: Sequence[Finding]) -> Finding:
    """Make one finding of several of the same check: the worst status, all reasons, all remedies, all cures."""
    if not wrong:
        return Finding(id)
    worst = FAILED if any(one.status == FAILED for one in wrong) else WARNING
    cures = [one.cure for one in wrong if one.cure is not None]
    return Finding(
        id, worst, "; ".join(one.why for one in wrong), " && ".join(dict.fromkeys(one.fix for one in wrong if one.fix)),
        (lambda: "; ".join(cure() for cure in cures)) if cures else None,
    )  # fmt: skip
