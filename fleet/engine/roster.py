"""Who belongs to the fleet, as this node knows it: frames verified, serials rising, revocations honoured; no I/O.

Whatever it learns it says back as Learned, so that the caller can have it stored; it never trusts a frame the root did
not sign and never lets an older one replace a newer one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fleet.core import policy
from fleet.core.peer import Certificate, Manifest, Peer, Revocation, join_intro, merge, read_frame, split_intro
from fleet.core.sealing import kid_of
from fleet.engine.identity import Identity
from fleet.errors import Forged, WireError, WrongFleet


class Revoked(Forged):
    """The root retired this certificate."""

    code = "revoked"


@dataclass(frozen=True, slots=True)
class Learned:
    """A member's newer frames, to be stored; an empty one did not change."""

    node: str
    certificate_serial: int = 0
    certificate: bytes = b""
    manifest_serial: int = 0
    manifest: bytes = b""


@dataclass(slots=True)
class _Member:
    certificate: Certificate | None = None
    certificate_frame: bytes = b""
    manifest: Manifest | None = None
    manifest_frame: bytes = b""


class Roster:
    """The members of the fleet and the operator's words about them."""

    def __init__(
        self, me: Identity, words: Mapping[str, Mapping[str, Any]], dynamic: Mapping[str, Mapping[str, Any]],
        now: Callable[[], int] = lambda: 0,
    ) -> None:  # fmt: skip
        """Start with the operator's words of config.toml (`words`) and of `fleet peer add` (`dynamic`); `now` in ms."""
        self.me = me
        self._now = now
        self._static = {node: dict(table) for node, table in words.items()}
        self._dynamic = {node: dict(table) for node, table in dynamic.items()}
        self._members: dict[str, _Member] = {}
        self._peers: dict[str, Peer] = {}
        self._kids: dict[bytes, tuple[str, bytes, int]] = {}  # kid → node, key, until when (ms; 0 = no end)
        self.changes = 0  # how often what is known of anybody changed
        self._known_frames: dict[bytes, str] = {}  # intros verified before need not be verified again
        self.revocation = Revocation(v=1, fleet=me.fleet, version=0)
        self.revocation_frame = b""
        for node in {**self._static, **self._dynamic}:
            self._rebuild(node)

    def __contains__(self, node: str) -> bool:
        """Say whether `node` may be written to."""
        return node in self._peers or node == self.me.node

    def peers(self) -> list[Peer]:
        """List everybody but this node, by id."""
        return [self._peers[node] for node in sorted(self._peers)]

    def get(self, node: str) -> Peer | None:
        """Give a peer by id."""
        return self._peers.get(node)

    def member(self, node: str) -> bool:
        """Say whether a valid certificate of `node` is known."""
        member = self._members.get(node)
        return member is not None and member.certificate is not None

    def by_kid(self, kid: bytes) -> tuple[Peer, bytes] | None:
        """Find the peer that signs with the key called `kid`, and that key."""
        node, key, until = self._kids.get(kid, ("", b"", 0))
        if not node or (until and self._now() > until):
            return None
        return self._peers[node], key

    def revoked(self, node: str) -> bool:
        """Say whether the root retired the only certificate known of `node`."""
        return node in self.revocation.nodes and not self.member(node)

    def intro_of(self, node: str) -> bytes:
        """Give a member's certificate and manifest for others; empty when one is missing."""
        member = self._members.get(node)
        if member is None or not member.certificate_frame or not member.manifest_frame:
            return b""
        return join_intro(member.certificate_frame, member.manifest_frame)

    def certificate_of(self, node: str) -> bytes:
        """Give a member's certificate frame; empty when none is known."""
        member = self._members.get(node)
        return member.certificate_frame if member is not None else b""

    def intros(self) -> list[bytes]:
        """List the intros of all members known, this node's own first."""
        return [self.me.intro, *filter(None, map(self.intro_of, sorted(self._members)))]

    def learn(self, intro: bytes) -> tuple[str, Learned | None]:
        """Take in a member's intro; gives its node and what was new.

        Raises Malformed, Forged or WrongFleet; a revoked certificate is Forged. Older frames are passed over.
        """
        known = self._known_frames.get(intro)
        if known is not None and known in self._peers:
            return known, None
        certificate, manifest = self._read(intro)
        learned = self._take(certificate, manifest, *split_intro(intro))
        self._known_frames = {join_intro(m.certificate_frame, m.manifest_frame): n for n, m in self._members.items()}
        return certificate.node, learned

    def vouched(self, intro: bytes, kid: bytes) -> tuple[str, bytes] | None:
        """Give the node and key that an intro vouches for under the name `kid`, nothing taken in; None = it says no more
        than is known. Raises as learn() does.
        """
        if self._known_frames.get(intro) in self._peers:
            return None
        certificate, _ = self._read(intro)
        member = self._members.get(certificate.node)
        newer = member is None or member.certificate is None or certificate.serial > member.certificate.serial
        if certificate.node == self.me.node or not newer or kid_of(certificate.key) != kid:
            return None
        return certificate.node, certificate.key

    def _read(self, intro: bytes) -> tuple[Certificate, Manifest]:
        certificate_frame, manifest_frame = split_intro(intro)
        certificate = read_frame(Certificate, certificate_frame, self.me.root_public)
        self._check(certificate)
        manifest = read_frame(Manifest, manifest_frame, certificate.key)
        if manifest.node != certificate.node or manifest.fleet != certificate.fleet:
            raise Forged("a manifest of somebody else")
        return certificate, manifest

    def _check(self, certificate: Certificate) -> None:
        if certificate.fleet != self.me.fleet:
            raise WrongFleet(f"a certificate of fleet {certificate.fleet}")
        if certificate.serial < self.revocation.nodes.get(certificate.node, 0):
            raise Revoked(f"the certificate of {certificate.node} was revoked")

    def _take(
        self, certificate: Certificate, manifest: Manifest, certificate_frame: bytes, manifest_frame: bytes
    ) -> Learned | None:
        if certificate.node == self.me.node:
            return None
        member = self._members.setdefault(certificate.node, _Member())
        newer_certificate = member.certificate is None or certificate.serial > member.certificate.serial
        older = member.certificate is not None and certificate.serial < member.certificate.serial
        newer_manifest = not older and (member.manifest is None or manifest.serial > member.manifest.serial)
        if newer_certificate:
            member.certificate, member.certificate_frame = certificate, certificate_frame
        if newer_manifest:
            member.manifest, member.manifest_frame = manifest, manifest_frame
        if not newer_certificate and not newer_manifest:
            return None
        self._rebuild(certificate.node)
        return Learned(
            certificate.node,
            certificate.serial,
            certificate_frame if newer_certificate else b"",
            manifest.serial,
            manifest_frame if newer_manifest else b"",
        )

    def load(self, frames: Iterable[tuple[bytes, bytes]]) -> list[str]:
        """Take in the stored frames at start; gives the reasons of those that no longer hold."""
        wrong = []
        for certificate, manifest in frames:
            try:
                self.learn(join_intro(certificate, manifest))
            except WireError as error:
                wrong.append(error.message)
        return wrong

    def revoke(self, frame: bytes) -> bool:
        """Take in a newer revocation list; members below their serial are forgotten. Raises WireError."""
        revocation = read_frame(Revocation, frame, self.me.root_public)
        if revocation.fleet != self.me.fleet:
            raise WrongFleet()
        if revocation.version <= self.revocation.version:
            return False
        self.revocation, self.revocation_frame = revocation, frame
        for node, serial in revocation.nodes.items():
            member = self._members.get(node)
            if member is not None and member.certificate is not None and member.certificate.serial < serial:
                del self._members[node]
                self._rebuild(node)
        return True

    def set_words(self, node: str, words: Mapping[str, Any] | None) -> None:
        """Replace the dynamic words about a peer; None forgets them."""
        if words is None:
            self._dynamic.pop(node, None)
        else:
            self._dynamic[node] = dict(words)
        self._rebuild(node)

    def words(self, node: str) -> dict[str, Any]:
        """Give the operator's words about a peer, dynamic over static."""
        return {**self._static.get(node, {}), **self._dynamic.get(node, {})}

    def source(self, node: str) -> str:
        """Say where a peer comes from: static, dynamic or member."""
        return "static" if node in self._static else "dynamic" if node in self._dynamic else "member"

    def _rebuild(self, node: str) -> None:
        self.changes += 1
        old = self._peers.pop(node, None)
        if old is not None:
            for key in filter(None, (old.key, old.previous)):
                self._kids.pop(kid_of(key), None)
        member = self._members.get(node, _Member())
        if node == self.me.node or (member.certificate is None and not self.words(node)):
            return
        peer = merge(node, member.certificate, member.manifest, self.words(node), self.source(node))
        self._peers[node] = peer
        if peer.previous and member.certificate is not None:
            until = member.certificate.issued + policy.PREVIOUS_KEY_LIFE
            self._kids[kid_of(peer.previous)] = (node, peer.previous, until)
        if peer.key:
            self._kids[kid_of(peer.key)] = (node, peer.key, 0)

    def known(self) -> str:
        """Name everything known of all members in 16 hex digits; two members that differ exchange what is missing."""
        own = (self.me.node, *self.me.serials)
        rows = sorted([own, *((p.id, p.certificate_serial, p.manifest_serial) for p in self.peers() if p.key)])
        return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]
