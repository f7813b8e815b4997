"""The roads over SSH against what they are built on: `python -m benchmarks.ssh [--runs N]`; both sides on this machine.

ssh   a parcel carried, filed and receipted on a warm session, with the peer's daemon up and down, against a paramiko
      exec of `python -c 'import asyncio, nacl.public, apsw, msgspec'` (TCP_NODELAY on both): at most 1.5 ×
seed  a parcel put, fsynced and renamed, against paramiko's SFTP put and rename: at most 1.5 ×
"""

import argparse
import asyncio
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from channels import seed, ssh
from channels._ssh.line import Job
from channels._ssh.login import login_of, way_of
from channels._ssh.warm import connect
from fleet.core import canonical
from fleet.core.envelope import Envelope
from fleet.core.outcome import Word
from fleet.core.parcel import Parcel, ParcelType
from fleet.core.peer import Peer
from fleet.engine.identity import Order, write_parcel
from fleet.engine.world import real_world
from fleet.faces.house import House
from tests.support.nodes import Node, World
from tests.support.sshd import SshServer, receive_command

IMPORTS = f"{sys.executable} -c 'import asyncio, nacl.public, apsw, msgspec'"
LIMIT = 1.5
RATIOS = (("ssh, daemon up", "exec (up)"), ("ssh, daemon down", "exec (down)"), ("seed", "SFTP put and rename"))
BODY = 1024 * "x"


Act = Callable[[], Awaitable[None]]


async def timed(runs: int, acts: dict[str, Act]) -> dict[str, float]:
    """Give the median of `runs` times of each act in ms, taken in turn so that the machine's mood hits all alike."""
    took: dict[str, list[float]] = {name: [] for name in acts}
    for run in range(runs + 2):
        for name, act in acts.items():
            began = time.perf_counter()
            await act()
            if run >= 2:
                took[name].append((time.perf_counter() - began) * 1000)
    return {name: statistics.median(times) for name, times in took.items()}


class Mail:
    """Fresh parcels of one message, sealed by a to b as its couriers would."""

    def __init__(self, node: Node) -> None:
        house = House(node.environ)
        peer = house.roster.get("b")
        assert peer is not None
        self.me, self.peer, self.world, self.seq = house.roster.me, peer, real_world(), 0
        self.inc = self.world.now()

    def parcel(self) -> Parcel:
        self.seq += 1
        now = self.world.now()
        exp = now + 3_600_000
        envelope = Envelope(seq=self.seq, exp=exp, id=self.world.new_id(), ts=now, type="message", priority=1, body=BODY)
        order = Order(ParcelType.MAIL, exp, inc=self.inc, low=1)
        return write_parcel(self.me, self.peer, [canonical.encode(envelope)], order, self.world)


async def compare(a: Node, b: Node, server: SshServer, runs: int, directory: Path) -> dict[str, float]:
    """Measure everything; b's daemon is down at the end."""
    mail, words = Mail(a), server.words()
    addresses = {"ssh": {**words, "command": receive_command(b.home)}, "seed": {"directory": str(b.home / "seeds")}}
    there = Peer(id="b", addresses=addresses)
    settings = {"directory": str(directory), "config": "none"}
    road, plain = ssh.build(settings, {}), seed.build(settings, {})
    login = login_of(there, words)
    line = connect(login, way_of(login, ""), Job(time.monotonic() + 600))
    sftp = line._client.open_sftp()

    async def carry() -> None:
        assert (await road.send(there, mail.parcel(), 30.0)).word is Word.REPLIED

    async def execute() -> None:
        assert line.run(IMPORTS, b"", 1000, Job(time.monotonic() + 60)).code == 0

    async def plant() -> None:
        assert (await plain.send(there, mail.parcel(), 30.0)).word is Word.TAKEN

    async def put() -> None:
        parcel = mail.parcel()
        name = str(b.home / "seeds" / f"plain{mail.seq}")
        sftp.putfo(io.BytesIO(parcel.data), f"{name}.part")
        sftp.posix_rename(f"{name}.part", name)

    found = await timed(runs, {"ssh, daemon up": carry, "exec (up)": execute})
    b.terminate()
    found |= await timed(runs, {"ssh, daemon down": carry, "exec (down)": execute})
    found |= await timed(4 * runs, {"seed": plant, "SFTP put and rename": put})
    line.close()
    await road.close()
    await plain.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=30)
    args = parser.parse_args()
    with World() as world, tempfile.TemporaryDirectory() as directory:
        a, b = world.pair()
        with SshServer(Path(directory) / "sshd") as server:
            found = asyncio.run(compare(a, b, server, args.runs, Path(directory)))
    return report(found)


def report(found: dict[str, float]) -> int:
    """Print the figures and the ratios; 1 when a ratio is above the limit."""
    for name, took in found.items():
        print(f"{name:22} {took:8.1f} ms")
    missed = 0
    for name, base in RATIOS:
        ratio = found[name] / found[base]
        missed += ratio > LIMIT
        print(f"{name} / {base}: {ratio:.2f} (limit {LIMIT})")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
