"""How members learn of each other without a directory: they compare what they know and exchange what is missing.

Every ping, pong and heartbeat carries a hash over all (node, serials) known and the version of the revocation list. On a
difference each side sends the other what it has; the roster keeps only what is newer. Never more than once per peer and
few seconds, so that two members that cannot agree do not talk for ever.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fleet.core import policy
from fleet.core.parcel import ParcelType
from fleet.core.peer import Peer
from fleet.core.receipt import Ping
from fleet.engine.roster import Learned, Revoked, Roster
from fleet.engine.world import World
from fleet.errors import WireError


@dataclass(frozen=True, slots=True)
class Letter:
    """A system parcel to be sent to a peer."""

    peer: str
    kind: ParcelType
    items: tuple[bytes, ...]


class Gossip:
    """Compares and exchanges membership."""

    def __init__(self, roster: Roster, world: World) -> None:
        """Take the roster; post() and on_revoked are set by the service."""
        self._roster = roster
        self._world = world
        self._told: dict[str, float] = {}
        self.post: Callable[[Letter], None] = lambda letter: None
        self.on_learned: Callable[[str], None] = lambda node: None
        self.on_pong: Callable[[str, str], None] = lambda peer, nonce: None  # one that came by itself
        self.on_revoked: Callable[[bytes], Awaitable[None]] = _nobody

    def ping(self, nonce: str) -> Ping:
        """Make a ping that carries what this node knows."""
        certificate, manifest = self._roster.me.serials
        return Ping(
            nonce=nonce, certificate=certificate, manifest=manifest,
            revocation=self._roster.revocation.version, known=self._roster.known(),
        )  # fmt: skip

    pong = ping

    def compare(self, peer: Peer, known: str, revocation: int) -> None:
        """Send a peer what it seems to miss, at most once in policy.GOSSIP_PAUSE seconds."""
        behind = revocation < self._roster.revocation.version
        if known == self._roster.known() and not behind:
            return
        now = self._world.steady()
        if now - self._told.get(peer.id, -policy.GOSSIP_PAUSE) < policy.GOSSIP_PAUSE:
            return
        self._told[peer.id] = now
        if behind and self._roster.revocation_frame:
            self.post(Letter(peer.id, ParcelType.REVOCATION, (self._roster.revocation_frame,)))
        self.tell(peer.id)

    def tell(self, peer: str) -> None:
        """Send a peer the intros of everybody, in letters of a size every road takes."""
        intros = [intro for intro in self._roster.intros() if intro != self._roster.intro_of(peer)]
        for at in range(0, len(intros), policy.GOSSIP_INTROS):
            self.post(Letter(peer, ParcelType.MANIFEST, tuple(intros[at : at + policy.GOSSIP_INTROS])))

    def learn(self, intros: list[bytes]) -> tuple[list[Learned], list[str]]:
        """Take in the intros a member sent; gives the news, and why others are false: the root's signature decides.

        One that was revoked is passed over: its sender may not have heard of it yet.
        """
        news, false = [], []
        for intro in intros:
            try:
                node, learned = self._roster.learn(intro)
            except Revoked:
                continue
            except WireError as error:
                false.append(error.message)
                continue
            if learned is not None:
                news.append(learned)
                self.on_learned(node)
        return news, false

    async def revoke(self, frame: bytes) -> None:
        """Take in a revocation list, if it is newer. Raises WireError for a false one."""
        if self._roster.revoke(frame):
            await self.on_revoked(frame)


async def _nobody(frame: bytes) -> None:
    return None
