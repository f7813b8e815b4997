"""P7, the git road: a mailbox on a shared remote, one ref per sender and addressee; never checks out, never proves.

Settings: the table [channel.git], and from the daemon
    remote       the remote this node polls and, unless a peer has its own, sends over; "" = none
    others       those of peers, which are polled too: a peer's receipts come home by the remote its mail went out
    poll         seconds between two looks
    identity     private key for ssh; "" = what ssh itself finds
    host_key     the git host's key, "TYPE BASE64"; "" = the user's known_hosts. Another key is never accepted
    credentials  a file of git-credential-store, 0600, for https; a URL never holds a password
    node, fleet  our own id and the fleet's
    state        a directory of our own
and on the finished channel
    own_word     (peer id, remote) -> True when the operator's own configuration gave this remote

refs/fleet/FLEET/TO/FROM is written by FROM alone: a commit without parents whose tree holds the parcels that TO has not
receipted, as files named PID.EXP.m (mail) or PID.EXP.r (a receipt). TO only reads. ~/.ssh/config and every
configuration of git but ours are left unread.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import shlex
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from channels._git.command import Command
from channels._git.incoming import Incoming
from channels._git.outgoing import Outgoing
from channels._git.repository import Repository
from fleet.core import policy
from fleet.core.channel import Channel, Deliver, Traits
from fleet.core.envelope import is_message_id, is_node_id
from fleet.core.outcome import Outcome
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.errors import Barred, RoadError, SettingsError, Unreachable

POLL = 30.0
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
_USER = r"(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,63}@)?"
_PATH = r"[A-Za-z0-9._~/+@%=,-]{1,1024}"
_REMOTES = (
    ("ssh", re.compile(rf"ssh://{_USER}{_HOST}(?::\d{{1,5}})?/{_PATH}", re.ASCII)),
    ("https", re.compile(rf"https://{_USER}{_HOST}(?::\d{{1,5}})?/{_PATH}", re.ASCII)),
    ("file", re.compile(rf"(?:file://)?/{_PATH}", re.ASCII)),
    ("ssh", re.compile(rf"{_USER}{_HOST}:(?!-|//){_PATH}", re.ASCII)),
)
_HOST_KEY = re.compile(r"(?:ssh|ecdsa|sk)-[A-Za-z0-9@.-]{1,64} [A-Za-z0-9+/]{16,4096}={0,2}", re.ASCII).fullmatch
_SSH = (
    "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=10 -o ServerAliveInterval=5"
    " -o ServerAliveCountMax=3 -o ForwardAgent=no -o ClearAllForwardings=yes -o PermitLocalCommand=no"
)


def protocol_of(remote: str) -> str:
    """Say which protocol a remote speaks: ssh, https or file. Raises Barred for anything that is no plain remote."""
    for protocol, pattern in _REMOTES:
        if pattern.fullmatch(remote):
            return protocol
    raise Barred("the git remote must look like ssh://HOST/PATH, https://HOST/PATH, USER@HOST:PATH or /PATH", address=True)


@dataclass(frozen=True, slots=True)
class Keys:
    """How we show ourselves to git hosts and know them."""

    identity: str = ""
    host_key: str = ""
    credentials: str = ""

    def ssh(self, state: Path) -> str:
        """Give the ssh command; git runs it by a shell, so what the operator named is quoted."""
        words = _SSH
        if self.identity:
            words += f" -o IdentitiesOnly=yes -i {shlex.quote(self.identity)}"
        if self.host_key:
            words += f" -o GlobalKnownHostsFile=/dev/null -o UserKnownHostsFile={shlex.quote(str(state / 'known_hosts'))}"
        return words

    def helper(self) -> str:
        """Give git's helper for passwords; empty without one."""
        return f"store --file={shlex.quote(self.credentials)}" if self.credentials else ""

    def check(self) -> None:
        """Raise SettingsError for a host key that is none, and when others can read the passwords, or nobody."""
        if self.host_key and not _HOST_KEY(self.host_key):
            raise SettingsError('channel.git.host_key must look like "ssh-ed25519 AAAA…"')
        try:
            mode = Path(self.credentials).stat().st_mode if self.credentials else 0
        except OSError as error:
            raise SettingsError(f"channel.git.credentials cannot be read: {error.strerror}") from None
        if stat.S_IMODE(mode) & 0o077:
            raise SettingsError("others can read channel.git.credentials", hint="chmod 600 the file")


class _Remote:
    """One remote: what goes out by it and what comes in, each with a repository of its own."""

    def __init__(self, url: str, state: Path, keys: Keys, fleet: str, node: str) -> None:
        protocol = protocol_of(url)
        name = hashlib.sha256(url.encode()).hexdigest()[:16]
        boxes = [Repository(state / f"{way}-{name}.git", url, keys.ssh(state), keys.helper()) for way in ("out", "in")]
        commands = [Command(box.path, protocol) for box in boxes]
        self.outgoing = Outgoing(boxes[0], commands[0], fleet, node)
        self.incoming = Incoming(boxes[1], commands[1], fleet, node)
        self.ready = asyncio.Lock()
        self.loaded = False

    async def out(self) -> Outgoing:
        """Give the way out, with what an earlier life left in it."""
        async with self.ready:
            if not self.loaded:
                await self.outgoing.load()
                self.loaded = True
        return self.outgoing


class Git:
    """The git road of one node."""

    name = "git"
    traits = Traits(replies=False, pings=False)

    def __init__(self, own: str, others: Iterable[str], state: Path, fleet: str, node: str, poll: float, keys: Keys) -> None:
        self.own_word: Callable[[str, str], bool] = lambda peer, remote: False
        self._own = own
        self._state = state
        self._fleet = fleet
        self._node = node
        self._poll = poll
        self._keys = keys
        self._remotes: dict[str, _Remote] = {}
        self._named = [remote for remote in dict.fromkeys([own, *others]) if remote]
        self._news = asyncio.Event()
        self._closed = False

    async def open(self) -> None:
        """Make the state directory; no remote is asked. Raises SettingsError for a setting that cannot be used."""
        self._keys.check()
        self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._keys.host_key:
            (self._state / "known_hosts").write_text(f"* {self._keys.host_key}\n")
        for remote in self._named:
            self._remote(remote)

    async def send(self, peer: Peer, parcel: Parcel, timeout: float) -> Outcome:
        """Put the parcel into the peer's mailbox on the remote."""
        remote = self._remote_of(peer)
        if len(parcel) > self.traits.max_bytes:
            raise Barred(f"{len(parcel)} bytes; the limit is {self.traits.max_bytes}")
        if not (is_node_id(parcel.to) and is_message_id(parcel.pid) and 0 <= parcel.exp <= policy.SAFE_INTEGER):
            raise Barred("the parcel's words are no file name")
        await (await remote.out()).put(parcel, timeout)
        return Outcome.taken("git")

    async def listen(self, deliver: Deliver) -> None:
        """Look into every mailbox that is ours, again and again; runs until cancelled or until a remote fails."""
        while True:
            self._news.clear()
            polls = [remote.incoming.poll(deliver) for remote in list(self._remotes.values())]
            found = await asyncio.gather(*polls, return_exceptions=True)
            failed = [result for result in found if isinstance(result, BaseException)]
            if failed:
                raise failed[0]
            busy = [result for result in found if isinstance(result, float) and result > 0]
            try:
                async with asyncio.timeout(min([self._poll, *busy])):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def examine(self, peers: Sequence[Peer], timeout: float) -> str:
        """Ask the remotes that the configuration names for our refs; says how many answered. Raises RoadError."""
        for remote in self._named:
            await self._remote(remote).incoming.ask()
        return f"{len(self._named)} answered" if self._named else "none is configured"

    async def forget(self, peer: Peer, pids: Sequence[str]) -> None:
        """Take parcels out of the peer's mailbox."""
        try:
            remote = self._remote_of(peer)
        except Barred:
            return  # it has no mailbox, so nothing is in it
        await (await remote.out()).take_back(peer.id, pids)

    async def close(self) -> None:
        """End what still runs; whoever waits is told."""
        self._closed = True
        await asyncio.gather(*(remote.outgoing.close() for remote in self._remotes.values()))

    def _remote_of(self, peer: Peer) -> _Remote:
        """Find a peer's remote, by the operator's word alone: nobody else may choose what this machine connects to."""
        if self._closed:
            raise Unreachable("this road is closed")
        if not is_node_id(peer.id):
            raise Barred("the peer's id is no ref")
        remote = str(peer.addresses.get(self.name, {}).get("remote", "")) or self._own
        if not remote:
            raise Barred(f"{peer.id} has no git address", address=True, hint=f"fleet peer set {peer.id} git.remote=…")
        if remote not in self._named and not self.own_word(peer.id, remote):
            raise Barred("the git remote is not from this machine's own configuration", address=True)
        return self._remote(remote)

    def _remote(self, url: str) -> _Remote:
        found = self._remotes.get(url)
        if found is None:
            found = self._remotes[url] = _Remote(url, self._state, self._keys, self._fleet, self._node)
            self._news.set()
        return found


def build(settings: Mapping[str, Any], earlier: Mapping[str, Channel]) -> Git:
    """Make the git road. Raises SettingsError for a remote that cannot be one."""
    own, others = str(settings.get("remote") or ""), [str(remote) for remote in settings.get("others", ())]
    fleet, node, state = (str(settings.get(name) or "") for name in ("fleet", "node", "state"))
    try:
        for remote in filter(None, [own, *others]):
            protocol_of(remote)
    except RoadError as error:
        raise SettingsError(error.message) from None
    if not (is_node_id(fleet) and is_node_id(node) and state):
        raise SettingsError("the git road needs the fleet's id, the node's id and a directory")
    keys = Keys(*(str(settings.get(name) or "") for name in ("identity", "host_key", "credentials")))
    return Git(own, others, Path(state).absolute(), fleet, node, float(settings.get("poll") or POLL), keys)
