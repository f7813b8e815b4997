"""What our gates say of one sender's mail, envelope by envelope; it files nothing and answers nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from fleet.core import canonical, repairs, trust
from fleet.core.clock import UNSURE
from fleet.core.envelope import Envelope, Kind, content, digest, kind_of, read
from fleet.core.gates import Case, Direction, Verdict, judge
from fleet.core.peer import Peer
from fleet.core.screened import Found
from fleet.core.trust import Level
from fleet.engine.conduct import Regard
from fleet.engine.screening import Screening
from fleet.store.inbox import Arrival

FORWARDED = "forwarded_from"  # in `context`: the node, or nodes, whose words a message hands on


@dataclass(frozen=True, slots=True)
class House:
    """What this node has to say of any mail."""

    kinds: Mapping[str, Kind]
    limit: int  # bytes of body
    screening: Screening
    level_of: Callable[[str], int]  # of a node by its name
    clock_unsure: bool
    now: int  # ms since the epoch


class Inbound:
    """Our gates towards one sender, each type and side of the size limit asked once per parcel."""

    def __init__(self, house: House, peer: Peer, regard: Regard) -> None:
        """Take the house's rules, the sender and how it is regarded."""
        self._house = house
        self._peer = peer
        self._regard = regard
        self._said: dict[tuple[str, bool, int, int], str] = {}

    def arrival(self, item: bytes) -> Arrival:
        """Read one envelope and say what the gates say of it. Raises Malformed."""
        envelope = read(item)
        house = self._house
        cut = content(item, envelope.seq, envelope.exp)
        over = envelope.exp < house.now
        later = UNSURE if over and house.clock_unsure else ""
        level = self._regard.level
        if envelope.context is not None and FORWARDED in envelope.context:
            level = self._forwarded(envelope.context[FORWARDED])
        refuse, kept = self._refusal(envelope, level), cut
        found: tuple[Found, ...] = ()
        if not refuse and not over:
            kept, screened = house.screening.incoming(self._peer, envelope, cut, level)
            refuse, found = screened.refusal, screened.found
        return Arrival(envelope, kept, digest(cut), refuse, over and not later, later, level, found)

    def _forwarded(self, nodes: object) -> int:
        """Give the level of what is handed on: the lowest of its sender's and of all whose words it is."""
        names = nodes if isinstance(nodes, list) else [nodes]
        levels = [self._house.level_of(name) if isinstance(name, str) else Level.UNTRUSTED for name in names]
        return trust.forwarded(self._regard.level, *levels)

    def _refusal(self, envelope: Envelope, level: int) -> str:
        """Give the reason for which an envelope is refused; empty when it is not."""
        body, house, peer = envelope.body, self._house, self._peer
        size = len(body) if isinstance(body, str) else len(canonical.encode(body))
        least = repairs.level_of(body) if envelope.type == repairs.TYPE else -1
        key = (envelope.type, size > house.limit, level, least)
        said = self._said.get(key)
        if said is None:
            kind = kind_of(envelope.type, house.kinds)
            kind = kind if least < 0 else replace(kind, trust=least)
            case = Case(
                Direction.IN, kind, size, house.limit, peer.id, True, peer.enabled, level, self._regard.breaker,
                self._regard.why,
            )  # fmt: skip
            found = judge(case).decisive
            said = self._said[key] = f"{found.gate}: {found.reason}" if found.verdict is Verdict.REFUSE else ""
        return said
