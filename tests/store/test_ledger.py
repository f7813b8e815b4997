"""fleet/store/ledger.py: what happened, kept as long as somebody may ask."""

import pytest

from fleet.core.health import UNTRIED, Evidence, Health, Link, observe
from fleet.core.lifecycle import Event
from fleet.core.outcome import Attempt, Result
from fleet.store import Store, ledger
from fleet.store.ledger import Notice, ParcelRow
from fleet.store.outbox import Change
from tests.support.letters import HOUR, NOW, drafts, id_of


def attempt(pid: str, channel: str, at: int = NOW, result: Result = Result.DEFERRED) -> Attempt:
    return Attempt(pid, "mac2", channel, at, 1.5, result, f"{channel} says so")


def test_an_answer_finds_the_rows_of_its_parcel(store: Store) -> None:
    first = store.ledger.open_parcel("a" * 32, "mac2", [1, 2, 5], NOW, NOW + HOUR)
    assert store.ledger.open_parcel("b" * 32, "mac3", [], NOW, NOW + HOUR) == first + 1
    assert store.ledger.parcel("a" * 32) == ParcelRow(first, "a" * 32, "mac2", [1, 2, 5], NOW, NOW + HOUR)
    assert store.ledger.parcel("c" * 32) is None


def test_a_parcels_first_answer_is_remembered(store: Store) -> None:
    number = store.ledger.open_parcel("a" * 32, "mac2", [1], NOW, NOW + HOUR)
    store.ledger.answered(number)
    parcel = store.ledger.parcel("a" * 32)
    assert parcel is not None
    assert parcel.answered


def test_parcel_numbers_are_not_given_twice(store: Store) -> None:
    first = store.ledger.open_parcel("a" * 32, "mac2", [1], NOW, NOW)
    assert store.ledger.retire(NOW + 1) == 1
    assert store.ledger.open_parcel("b" * 32, "mac2", [1], NOW, NOW) > first


def test_a_trace_has_the_attempts_of_every_parcel_that_held_the_message(store: Store) -> None:
    store.outbox.submit(drafts([1, 2, 3]), NOW)
    store.ledger.open_parcel("a" * 32, "mac2", [1, 2], NOW + 1, NOW + HOUR)
    store.ledger.open_parcel("b" * 32, "mac2", [2], NOW + 5, NOW + HOUR)
    store.ledger.open_parcel("c" * 32, "mac3", [2], NOW + 5, NOW + HOUR)
    late = attempt("a" * 32, "http", NOW + 20, Result.DELIVERED)
    store.ledger.record([late, attempt("a" * 32, "nats", NOW + 2), attempt("b" * 32, "git", NOW + 6, Result.TAKEN)])
    store.ledger.record([attempt("c" * 32, "ssh")])
    found = {
        n: [(one.channel, one.result) for one in store.ledger.attempts_of(store.outbox.get(id_of(n)))] for n in (1, 2, 3)
    }
    assert found[1] == [("nats", Result.DEFERRED), ("http", Result.DELIVERED)]
    assert found[2] == [("nats", Result.DEFERRED), ("git", Result.TAKEN), ("http", Result.DELIVERED)]
    assert found[3] == []


def test_an_attempt_comes_back_as_it_was_recorded(store: Store) -> None:
    store.outbox.submit(drafts([1]), NOW)
    store.ledger.open_parcel("a" * 32, "mac2", [1], NOW, NOW + HOUR)
    store.ledger.record([attempt("a" * 32, "nats", NOW + 2)])
    store.outbox.apply([Change(1, Event.RECEIPT)], NOW + 3)
    assert store.ledger.attempts_of(store.outbox.get(id_of(1))) == [attempt("a" * 32, "nats", NOW + 2)]


def test_links_survive(store: Store) -> None:
    link, _ = observe(UNTRIED, Evidence.GOOD, 7.5, took=0.012)
    broken = Link(health=Health.BROKEN, breaks=3, held_until=9.25, security=True, reason="host key")
    store.ledger.save_link("mac2", "nats", UNTRIED, NOW)
    store.ledger.save_link("mac2", "nats", link, NOW)
    store.ledger.save_link("mac2", "ssh", broken, NOW)
    store.ledger.save_link("mac3", "ssh", UNTRIED, NOW)
    assert store.ledger.load_links() == {("mac2", "nats"): link, ("mac2", "ssh"): broken, ("mac3", "ssh"): UNTRIED}
    store.ledger.drop_links("mac2")
    assert list(store.ledger.load_links()) == [("mac3", "ssh")]


def test_levels_are_our_own(store: Store) -> None:
    assert store.ledger.level("mac2") is None
    store.ledger.set_level("mac2", 3, "100 fine answers", NOW)
    store.ledger.set_level("mac2", 1, "operator", NOW + 1)
    store.ledger.set_level("ant", 4, "operator", NOW + 1)
    assert store.ledger.level("mac2") == 1
    assert store.ledger.levels() == {"ant": 4, "mac2": 1}


def test_counters_add_up(store: Store) -> None:
    store.ledger.count("alarm")
    store.ledger.count("alarm", 4)
    store.ledger.count("busy", 2)
    assert store.ledger.counters() == {"alarm": 5, "busy": 2}


def test_the_latest_notice_comes_first(store: Store) -> None:
    for n in range(3):
        store.ledger.notice("alarm", f"text {n}", NOW + n)
    assert store.ledger.notices(2) == [Notice(3, "alarm", "text 2", NOW + 2), Notice(2, "alarm", "text 1", NOW + 1)]


def test_old_things_are_forgotten_in_portions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "NOTICES_KEPT", 2)
    for n in range(5):
        store.ledger.open_parcel(f"{n:032x}", "mac2", [n], NOW + n, NOW + n + (HOUR if n == 4 else 0))
        store.ledger.record([attempt(f"{n:032x}", "nats", NOW + n)])
        store.ledger.notice("alarm", str(n), NOW + n)
    assert store.ledger.retire(NOW) == 0
    assert store.ledger.retire(NOW + 5, limit=3) == 9
    assert store.ledger.retire(NOW + 5) == 3
    assert store.ledger.parcel(f"{4:032x}") is not None
    assert [notice.text for notice in store.ledger.notices(9)] == ["4", "3"]
