"""What the receiver of a node works with and whom it tells; holds no state and decides nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fleet.core.channel import Answer
from fleet.core.envelope import Kind
from fleet.core.peer import Peer
from fleet.core.receipt import Heartbeat, Receipt
from fleet.engine.conduct import Conduct
from fleet.engine.gossip import Gossip
from fleet.engine.hops import Hops
from fleet.engine.introductions import Introductions
from fleet.engine.links import Links
from fleet.engine.opening import Opened, Opener
from fleet.engine.roster import Roster
from fleet.engine.screening import Screening
from fleet.engine.world import World
from fleet.engine.writer import Writer


@dataclass(frozen=True, slots=True)
class Ears:
    """The ears of the receiver; made once in daemon/service.py, and in daemon/reception.py while no daemon runs."""

    roster: Roster
    opener: Opener
    hops: Hops
    introductions: Introductions
    writer: Writer
    links: Links
    gossip: Gossip
    world: World
    kinds: Mapping[str, Kind]
    limit: int  # bytes of body
    conduct: Conduct
    screening: Screening
    clock_unsure: Callable[[], bool]  # then nothing is called expired
    on_mail: Callable[[str, int, bool], None]  # sender, how much of it is new, whether a query or reply is among it
    on_owed: Callable[[str], None]
    on_heard: Callable[[str], None]
    relay: Callable[[Opened], Awaitable[Answer]]  # what is for another node
    on_certificate: Callable[[Peer, list[bytes], bool], Awaitable[None]]  # …, signed with the peer's key in force
    on_receipt: Callable[[Peer, Receipt, str], Awaitable[None]]
    on_beat: Callable[[Peer, Heartbeat, int], Awaitable[None]]  # …, when it was signed
    count: Callable[[str], None]
    proof: Callable[[str, str, str], None]  # peer, word, reason: its key signed what is provably false
    log: Callable[..., None]
