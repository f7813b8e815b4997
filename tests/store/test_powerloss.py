"""Power cuts at every sync: what was acknowledged is there, what was not is there whole or not at all.

A store lives a random life on a disk that remembers its writes. After every commit its whole content is remembered too.
Then the power is cut at hundreds of moments, unsynced writes are dropped or torn, and the store that starts again must be
the last acknowledged one or a later one, byte for byte. With synchronous=NORMAL the same must lose: else the test is blind.
"""

import random
import shutil
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.core.lifecycle import Event
from fleet.store import Store, sequence
from fleet.store.outbox import Change
from tests.support.letters import NOW, arrival, copy, drafts, open_store
from tests.support.powerloss import Disk, restore

TABLES = ("outbox", "content", "inbox", "turned_away", "window", "sender", "parcel", "sequence", "number")


def content_of(store: Store) -> str:
    """Every row of every table that mail depends on."""
    return repr([store.db.conn.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in TABLES])


class Life:
    """One store's random life, and what is known of every moment of it."""

    def __init__(self, home: Path, disk: Disk, seed: int, synchronous: str) -> None:
        self.dice = random.Random(seed)
        self.disk = disk
        self.store = open_store(home, vfs=disk.name, synchronous=synchronous)
        self.now = NOW
        self.letters = iter(range(10_000))
        self.parcels = iter(range(1, 10_000))
        self.incoming = 0
        self.acked: list[int] = []  # length of the log when commit k returned
        self.contents: list[str] = []  # …and what was in the store then
        self.reserve: list[tuple[int, bytes]] = []  # the reserve file, by length of the log
        self.used: list[tuple[int, int, int]] = []  # length of the log, inc, last seq

    def live(self, steps: int) -> None:
        """Do `steps` transactions, each of one to three things."""
        self._acknowledge()
        for _ in range(steps):
            self.now += 1000
            with self.store.db.transaction():
                for _ in range(self.dice.randint(1, 3)):
                    self.dice.choice([self._submit, self._lease, self._settle, self._settle, self._receive, self._show])()
            self._acknowledge()
            if self.dice.random() < 0.02:
                self.store.db.checkpoint()
        self.store.close()

    def _acknowledge(self) -> None:
        self.acked.append(len(self.disk.log))
        self.contents.append(content_of(self.store))

    def _submit(self) -> None:
        self.store.outbox.submit(drafts(next(self.letters) for _ in range(self.dice.randint(1, 6))), self.now)

    def _lease(self) -> None:
        rows = self.store.outbox.next_due("mac2", self.now, floor=0, limit=8)
        if rows:
            inc, first = self.store.sequence.take("mac2", len(rows), self.now)
            pid = f"{next(self.parcels):032x}"
            number = self.store.ledger.open_parcel(pid, "mac2", [row.row for row in rows], self.now, self.now + 99)
            self.store.outbox.lease(rows, number, inc, first, self.now, self.now + 3000)
            self.used.append((len(self.disk.log), inc, first + len(rows) - 1))

    def _settle(self) -> None:
        self.store.outbox.apply(self.store.outbox.sweep("mac2", self.now), self.now)
        leased = [row.row for row in self.store.outbox.list_open(40) if row.lease][: self.dice.randint(1, 8)]
        self.store.outbox.apply([Change(row, Event.RECEIPT) for row in leased], self.now)

    def _receive(self) -> None:
        seqs = [self.incoming + n for n in range(1, self.dice.randint(2, 7))]
        self.incoming = seqs[-1] if self.dice.random() < 0.7 else self.incoming  # else the same comes again
        arrivals = [arrival(20_000 + seq, seq, refuse="no" if seq % 7 == 0 else "") for seq in seqs]
        self.store.inbox.receive(copy(low=max(1, seqs[0] - 20), owed=True), arrivals, self.now)

    def _show(self) -> None:
        self.store.inbox.mark_shown([mail.id for mail in self.store.inbox.unshown(3)], "s", self.now)
        self.store.inbox.clear_owed(self.store.inbox.owed("mac1", 5))

    def last_acknowledged(self, point: int) -> int:
        """Which commit had returned when `point` operations were done."""
        return bisect_right(self.acked, point) - 1


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[Disk]:
    made = Disk(f"cut {request.node.name}")
    yield made
    made.close()


def lived(home: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch, seed: int, synchronous: str = "FULL") -> Life:
    """A life whose reserve file is watched as well."""
    life = Life(home, disk, seed, synchronous)
    write = sequence.atomic_write

    def watched(path: Path, data: bytes) -> None:
        write(path, data)
        life.reserve.append((len(disk.log), data))

    monkeypatch.setattr(sequence, "atomic_write", watched)
    monkeypatch.setattr(sequence.policy, "SEQ_BLOCK", 20)
    life.live(150)
    return life


def moments(life: Life, dice: random.Random) -> list[int]:
    """Just before and after every sync since the store was made, and as many moments between."""
    syncs = [at for at in life.disk.syncs() if at >= life.acked[0]]
    between = dice.sample(range(life.acked[0], len(life.disk.log) + 1), 150)
    return sorted({*syncs, *[at + 1 for at in syncs], *between})


def after(life: Life, point: int, files: dict[str, bytes], home: Path) -> Store:
    """The store as it starts after the cut."""
    restore(files, home)
    (home / "keys").mkdir(mode=0o700)
    marks = [data for at, data in life.reserve if at <= point]
    if marks:
        (home / "keys" / "reserve.json").write_bytes(marks[-1])
    return open_store(home)


@pytest.mark.parametrize("seed", [1, 2])
def test_with_full_nothing_acknowledged_is_lost(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    life = lived(tmp_path / "node", disk, monkeypatch, seed)
    points = moments(life, life.dice)
    assert len(points) > 300
    for number, (point, files) in enumerate(disk.crashes(points, life.dice)):
        store = after(life, point, files, tmp_path / str(number))
        assert content_of(store) in life.contents[life.last_acknowledged(point) :], f"cut at {point}"
        if number % 10 == 0:
            assert store.db.integrity() == []
        used = {(inc, seq) for at, inc, seq in life.used if at <= point}
        with store.db.transaction():
            inc, first = store.sequence.take("mac2", 1, NOW)
        assert all(inc > other or (inc == other and first > seq) for other, seq in used), f"cut at {point}"
        store.close()
        shutil.rmtree(tmp_path / str(number))


def test_with_normal_it_loses_what_was_acknowledged_and_so_the_test_can_see(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = lived(tmp_path / "node", disk, monkeypatch, 1, "NORMAL")
    points = life.dice.sample(range(life.acked[0], len(disk.log)), 60)
    lost = 0
    for number, (point, files) in enumerate(disk.crashes(points, life.dice)):
        store = after(life, point, files, tmp_path / str(number))
        found = content_of(store)
        store.close()
        shutil.rmtree(tmp_path / str(number))
        assert found in life.contents  # older, yet never a mixture
        lost += found not in life.contents[life.last_acknowledged(point) :]
    assert lost > 20
