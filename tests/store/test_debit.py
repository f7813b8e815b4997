"""A debit is part of the row it pays for: never twice, never for what is turned away, never over by one unit."""

import random
from pathlib import Path

import msgspec
import pytest

from fleet.core.budget import Limits, Spent
from fleet.core.envelope import Cost
from fleet.store import Store
from fleet.store.accounts import IN
from fleet.store.inbox import Arrival, Received
from tests.support import powerloss
from tests.support.letters import NOW, arrival, copy, open_store

LIMITS = Limits(tokens=100, micro_usd=1000, hops=2, window=60_000)


def costly(n: int, seq: int, cost: Cost, **words: object) -> Arrival:
    """A message that names a cost."""
    made = arrival(n, seq, **words)
    return msgspec.structs.replace(made, envelope=msgspec.structs.replace(made.envelope, cost=cost))


def receive(store: Store, *arrivals: Arrival, at: int = NOW, **how: object) -> Received:
    given = msgspec.structs.replace(copy(**how), limits=LIMITS, at=at)
    return store.inbox.receive(given, arrivals, NOW)


def fates(received: Received) -> list[str]:
    return [entry.fate.value for entry in received.entries]


def test_a_batch_passes_as_far_as_the_budget_goes(store: Store) -> None:
    got = receive(store, *(costly(n, n, Cost(tokens=40)) for n in (1, 2, 3)), costly(4, 4, Cost(tokens=20)))
    assert fates(got) == ["stored", "stored", "refused", "stored"]
    assert got.entries[2].reason == (
        "budget: 40 tokens on top of 80 tokens, the limit is 100 tokens in 1m; fleet budget mac1, at the addressee"
    )
    assert store.accounts.spent("mac1", IN) == Spent(NOW, 100, 0)
    assert (got.micro_usd, got.overspent) == (0, 1)


def test_the_same_envelope_again_gets_the_same_answer_and_no_second_debit(store: Store) -> None:
    mail = [costly(1, 1, Cost(tokens=60, micro_usd=7)), costly(2, 2, Cost(tokens=60))]
    first = receive(store, *mail)
    for how in ({}, {"road": "http"}, {"inc": 9}, {"n": 77}):
        again = receive(store, *mail, at=NOW + 10**9, **how)  # also when its window is long over
        assert fates(again) == ["duplicate", "refused"]
        assert again.entries[1].reason == first.entries[1].reason
        assert (again.micro_usd, again.overspent) == (0, 0)
    assert store.accounts.spent("mac1", IN) == Spent(NOW, 60, 7)


@pytest.mark.parametrize("words", [{"refuse": "trust: no"}, {"expired": True}, {"later": "clock unsure"}])
def test_what_is_turned_away_or_put_off_costs_nothing(store: Store, words: dict[str, object]) -> None:
    assert fates(receive(store, costly(1, 1, Cost(tokens=5), **words))) != ["stored"]
    assert store.accounts.spent("mac1", IN) == Spent()


def test_more_relays_than_the_limit_are_refused_before_anything_else(store: Store) -> None:
    made = msgspec.structs.replace(copy(), limits=LIMITS, at=NOW, hops=3)
    got = store.inbox.receive(made, [costly(1, 1, Cost(tokens=10**6)), arrival(2, 2)], NOW)
    assert fates(got) == ["refused", "refused"]
    assert {entry.reason.partition(";")[0] for entry in got.entries} == {"budget: 3 hops, the limit is 2"}


def test_the_operators_limit_goes_before_the_settings(store: Store) -> None:
    store.accounts.set_limits("mac1", Limits(tokens=5), NOW)
    assert fates(receive(store, costly(1, 1, Cost(tokens=5)), costly(2, 2, Cost(tokens=1)))) == ["stored", "refused"]


def test_a_new_window_begins_when_time_has_passed_and_only_then(store: Store) -> None:
    assert fates(receive(store, costly(1, 1, Cost(tokens=100)))) == ["stored"]
    assert fates(receive(store, costly(2, 2, Cost(tokens=1)), at=NOW + 59_999)) == ["refused"]
    assert fates(receive(store, costly(3, 3, Cost(tokens=1)), at=NOW - 10**9)) == ["refused"]
    assert fates(receive(store, costly(4, 4, Cost(tokens=1)), at=NOW + 60_000)) == ["stored"]


def test_every_sender_has_a_purse_of_its_own_whatever_road_it_takes(store: Store) -> None:
    assert fates(receive(store, costly(1, 1, Cost(tokens=100)), sender="mac1", road="nats")) == ["stored"]
    assert fates(receive(store, costly(2, 2, Cost(tokens=1)), sender="mac1", road="git")) == ["refused"]
    assert fates(receive(store, costly(1, 1, Cost(tokens=100)), sender="mac9")) == ["stored"]


def test_a_power_cut_loses_debit_and_row_together_or_neither(tmp_path: Path) -> None:
    """Every sync and many moments between: what is in the inbox is what was paid, and what was acknowledged is there."""
    disk = powerloss.Disk("debit")
    store = open_store(tmp_path / "node", vfs=disk.name)
    done: list[tuple[int, int]] = []  # operations when a commit had returned, messages stored by then
    for n in range(1, 21):
        with store.db.transaction():
            receive(store, costly(n, n, Cost(tokens=3, micro_usd=n)))
        done.append((len(disk.log), n))
    store.close()
    disk.close()
    for at, files in disk.crashes(range(0, len(disk.log), 3), random.Random(5)):
        home = tmp_path / f"cut{at}"
        powerloss.restore(files, home)
        if not (home / "fleet.db").exists():
            continue
        again = open_store(home)
        stored = again.inbox.unshown(1000, all=True)
        spent = again.accounts.spent("mac1", IN)
        assert spent.tokens == 3 * len(stored)
        assert spent.micro_usd == sum(range(1, len(stored) + 1)) == again.accounts.spending("mac1", 0)[1]
        assert len(stored) >= max((n for log, n in done if log <= at), default=0)
        with again.db.transaction():  # the sender comes again with everything: nothing is paid twice
            for n in range(1, 21):
                receive(again, costly(n, n, Cost(tokens=3, micro_usd=n)))
        assert again.accounts.spent("mac1", IN) == Spent(NOW, 60, 210)
        again.close()
