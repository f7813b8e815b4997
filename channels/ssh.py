"""P5, the SSH road: one fixed command at the peer, the parcel on its input, the answer on its output; never as arguments.

Settings: the table [channel.ssh], and from the daemon
    directory   a private directory for known_hosts files
    config      the user's SSH configuration; "" = that of the user's home, "none" = none is read

It works while the peer's daemon is down: `fleet receive` hands the parcel to the daemon, or files it itself. The parcels
that `fleet receive` brings to a running daemon come in by take(). Exit codes are evidence: 0 = an answer on standard
output; CUSTODY with the word "custody"; BUSY with the seconds on standard output; everything else is a failure, with the
first words of standard error. Bytes that are no signed answer prove nothing, whatever the exit code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from channels._busy import asked_pause
from channels._ssh import Done, Lines, Login, known_hosts, login_of, said, tunnel_argv, user_config
from fleet.core import policy
from fleet.core.channel import Answer, AnswerKind, Channel, Deliver, Traits
from fleet.core.outcome import Outcome
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.errors import Barred, Unreachable

COMMAND = "fleet receive"
AT_ONCE = 6  # commands on one session; sshd allows 10, and counts one for a moment after its end
CUSTODY, BUSY = 7, 75  # exit codes of `fleet receive`
ANSWER_LIMIT = policy.PARCEL_LIMIT


class Ssh:
    """The SSH road of one node."""

    name = "ssh"
    traits = Traits(pings=False)  # each ping would start a program at the peer, every two seconds

    def __init__(self, directory: Path, config: str) -> None:
        """Take a private directory and the user's SSH configuration."""
        self._directory = directory
        self._lines = Lines(directory, config, AT_ONCE)
        self._deliver: Deliver | None = None

    async def open(self) -> None:
        """Make nothing ready: a login is made when there is something to carry."""

    async def send(self, peer: Peer, parcel: Parcel, timeout: float) -> Outcome:
        """Run the command at the peer with the parcel as its input and say what came of it."""
        table = peer.address(self.name)
        login = login_of(peer, table)
        if len(parcel.data) > self.traits.max_bytes:
            raise Barred(f"{len(parcel.data)} bytes; the limit is {self.traits.max_bytes}")
        command = str(table.get("command") or COMMAND)
        done = await self._lines.use(login, lambda line, job: line.run(command, parcel.data, ANSWER_LIMIT, job), timeout)
        return _outcome(peer, done)

    async def nudge(self, peer: Peer, timeout: float) -> None:
        """Let the peer's daemon look at once, by the fixed command there. Raises a RoadError when it did not run."""
        await self._command(peer, "nudge", timeout)

    async def restart(self, peer: Peer, timeout: float) -> None:
        """Restart the peer's daemon, by the fixed command there. Raises a RoadError when it did not run."""
        await self._command(peer, "restart", timeout)

    async def _command(self, peer: Peer, word: str, timeout: float) -> None:
        table = peer.address(self.name)
        command = f"{table.get('command') or COMMAND} {word}"
        done = await self._lines.use(login_of(peer, table), lambda line, job: line.run(command, b"", 4096, job), timeout)
        if done.code != 0:
            how = "the session broke" if done.code is None else f"exit {done.code}"
            raise Unreachable(f"{how}: {said(done.err)}")

    async def reconnect(self) -> None:
        """Log in anew from now on."""
        self._lines.renew()

    async def take(self, data: bytes) -> Answer:
        """Hand over a parcel that `fleet receive` brought to this daemon."""
        if self._deliver is None:
            return Answer(AnswerKind.BUSY, retry_after=policy.BUSY_RETRY)
        return await self._deliver(data)

    async def listen(self, deliver: Deliver) -> None:
        """Let take() hand over to `deliver`; runs until cancelled."""
        self._deliver = deliver
        try:
            await asyncio.Event().wait()
        finally:
            self._deliver = None

    async def forget(self, peer: Peer, pids: Sequence[str]) -> None:
        """Nothing is kept on this road."""

    async def close(self) -> None:
        """Hang up."""
        await self._lines.close()

    def login(self, peer: Peer) -> Login:
        """Say where the peer's SSH server is. Raises Barred or Faulty."""
        return login_of(peer, peer.address(self.name))

    def tunnel(self, peer: Peer, forwards: Sequence[tuple[int, str]]) -> list[str]:
        """Give the arguments of an `ssh -N` to the peer that forwards local ports. Raises Barred or Faulty."""
        login = self.login(peer)
        return tunnel_argv(login, self._lines.config, known_hosts(self._directory, login), forwards)


def _outcome(peer: Peer, done: Done) -> Outcome:
    if done.code == 0 and done.out:
        return Outcome.replied(done.out)
    if done.code == CUSTODY and done.out.strip() == b"custody":
        return Outcome.taken(peer.id)
    if done.code == BUSY:
        raise Unreachable(f"{peer.id} is busy", retry_after=asked_pause(done.out), unsent=True)
    how = "the session broke" if done.code is None else f"exit {done.code}" if done.code else "exit 0 without an answer"
    words = said(done.err)
    raise Unreachable(f"{how}: {words}" if words else how)


def build(settings: Mapping[str, Any], earlier: Mapping[str, Channel]) -> Ssh:
    """Make the SSH road."""
    return Ssh(Path(str(settings.get("directory") or ".")), user_config(str(settings.get("config") or "")))
