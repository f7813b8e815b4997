"""What the gates remember survives a restart to the unit; a purse debits with the mail or not at all."""

from pathlib import Path

from fleet.core import policy
from fleet.core.breaker import CLOSED, Breaker, State
from fleet.core.budget import NOTHING, Limits, Spent
from fleet.core.envelope import FREE, Cost
from fleet.core.timeline import Mark
from fleet.core.trust import Experience
from fleet.store import Store
from fleet.store.accounts import IN, OUT
from fleet.store.purse import Purse

LIMITS = Limits(tokens=100, micro_usd=1000, hops=2, window=1000)
AT = 10**12


def test_everything_is_there_again_after_a_restart(tmp_path: Path) -> None:
    seen = Experience(1, 2, 3, 4, 5, 6, 7)
    breaker = Breaker(State.SUSPENDED, 8, 9, "why", ((1, 2, 3), (4, 5, 6)))
    store = Store.open(tmp_path / "fleet.db")
    with store.db.transaction():
        store.accounts.set_mark(Mark("boot", 1.5, AT))
        store.accounts.set_limits("mac2", LIMITS, 1)
        store.accounts.set_spent("mac2", IN, Spent(AT, 3, 4))
        store.accounts.save_experiences({"mac2": seen, "ant": Experience()})
        store.accounts.save_breakers({"mac2": breaker})
    store.close()
    store = Store.open(tmp_path / "fleet.db")
    assert store.accounts.mark() == Mark("boot", 1.5, AT)
    assert store.accounts.limits("mac2", Limits()) == LIMITS
    assert store.accounts.spent("mac2", IN) == Spent(AT, 3, 4)
    assert store.accounts.experiences() == {"mac2": seen, "ant": Experience()}
    assert store.accounts.breakers() == {"mac2": breaker}
    assert store.accounts.breaker("mac2") == breaker
    store.close()


def test_nothing_known_is_the_settings_word(store: Store) -> None:
    assert store.accounts.mark() is None
    assert store.accounts.limits("mac2", LIMITS) is LIMITS
    assert store.accounts.spent("mac2", OUT) is NOTHING
    assert store.accounts.breaker("mac2") is CLOSED
    assert (store.accounts.breakers(), store.accounts.experiences()) == ({}, {})


def test_spending_is_added_up_from_a_moment_on(store: Store) -> None:
    slot = policy.SPEND_SLOT
    with store.db.transaction():
        for at, micro in ((0, 1), (slot - 1, 2), (slot, 4), (5 * slot, 8)):
            store.accounts.spend("mac2", 10, micro, at)
        store.accounts.spend("ant", 1, 16, 0)
    assert [store.accounts.spending("mac2", since)[1] for since in (0, slot, 2 * slot, 6 * slot)] == [15, 12, 8, 0]
    assert store.accounts.spending("mac2", 0) == (40, 15)
    with store.db.transaction():
        store.accounts.retire(slot)
    assert store.accounts.spending("mac2", 0)[1] == 12
    with store.db.transaction():
        store.accounts.forgive("mac2")
    assert store.accounts.spending("mac2", 0) == (0, 0)


def test_who_left_is_forgotten_but_for_what_it_spent_and_what_an_operator_said(store: Store) -> None:
    with store.db.transaction():
        store.accounts.set_limits("mac2", LIMITS, 1)
        store.accounts.set_spent("mac2", IN, Spent(AT, 3, 4))
        store.accounts.spend("mac2", 1, 1, AT)
        store.accounts.save_experiences({"mac2": Experience(1)})
        store.accounts.save_breakers({"mac2": Breaker(State.EVICTED)})
        store.accounts.forget("mac2")
    assert store.accounts.experiences() == {}
    assert store.accounts.all_limits() == {"mac2": LIMITS}
    assert (store.accounts.spent("mac2", IN), store.accounts.spenders(0)) == (Spent(AT, 3, 4), {"mac2": 1})
    assert store.accounts.breaker("mac2").state is State.EVICTED


def test_a_purse_takes_to_the_cap_and_is_saved_once(store: Store) -> None:
    with store.db.transaction():
        purse = Purse(store.db, "mac2", IN, LIMITS, AT)
        for _ in range(10):
            assert purse.shortage(Cost(tokens=10, micro_usd=100)) is None
            purse.take(Cost(tokens=10, micro_usd=100))
        assert purse.shortage(Cost(tokens=1)) is not None
        assert purse.left() == 1000
        purse.save()
    assert store.accounts.spent("mac2", IN) == Spent(AT, 100, 1000)
    assert store.accounts.spending("mac2", 0) == (100, 1000)
    assert store.accounts.spent("mac2", OUT) is NOTHING


def test_our_own_side_is_no_spending_of_the_peers(store: Store) -> None:
    with store.db.transaction():
        purse = Purse(store.db, "mac2", OUT, LIMITS, AT)
        purse.take(Cost(tokens=10))
        purse.save()
    assert store.accounts.spent("mac2", OUT) == Spent(AT, 10, 0)
    assert store.accounts.spending("mac2", 0) == (0, 0)


def test_free_mail_writes_nothing(store: Store) -> None:
    before = store.db.conn.total_changes()
    with store.db.transaction():
        purse = Purse(store.db, "mac2", IN, LIMITS, AT)
        for cost in (FREE, Cost(), Cost(hops=1)):
            assert purse.shortage(cost) is None
            purse.take(cost)
        purse.save()
    assert store.db.conn.total_changes() == before


def test_the_relays_that_were_crossed_are_asked_even_of_free_mail(store: Store) -> None:
    purse = Purse(store.db, "mac2", IN, LIMITS, AT)
    assert purse.shortage(FREE, 2) is None
    assert purse.shortage(FREE, 3) is not None
