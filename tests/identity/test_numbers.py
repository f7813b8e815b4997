"""Attack 30: ids that collide, numbers beyond every bound, incarnations used again; nothing comes in twice by them."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.core.envelope import Envelope, make_id, read
from fleet.core.receipt import Fate
from fleet.errors import Malformed
from fleet.store.reception import ID_REUSED
from tests.support.letters import NOW, arrival, copy, open_store

EDGE = st.sampled_from([0, 1, 2, 4095, 4096, 4097, 10**6, 2**31, 2**32, 2**52, 2**53 - 1, 2**53])
BEYOND = st.one_of(st.integers(max_value=-1), st.integers(min_value=2**53 + 1), st.sampled_from([2**63 - 1, 2**63, 2**64]))


@given(word=st.sampled_from(["seq", "exp", "ts"]), number=BEYOND)
def test_a_number_beyond_its_bound_is_no_envelope(word: str, number: int) -> None:
    words = {"seq": 1, "exp": NOW, "id": make_id(NOW, bytes(10)), "ts": NOW} | {word: number}
    with pytest.raises(Malformed):
        read(json.dumps(words, separators=(",", ":")).encode())


@given(id=st.text(max_size=40).filter(lambda text: len(text) != 32))
def test_an_id_of_another_shape_is_no_envelope(id: str) -> None:
    words = {"seq": 1, "exp": NOW, "id": id, "ts": NOW}
    with pytest.raises(Malformed):
        read(json.dumps(words, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace"))


@settings(max_examples=60, deadline=None)
@given(moves=st.lists(st.tuples(st.integers(1, 6), EDGE, st.integers(1, 4), EDGE, st.booleans()), min_size=1, max_size=25))
def test_whatever_the_numbers_an_id_comes_in_once_and_never_with_another_content(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[int, int, int, int, bool]]
) -> None:
    store = open_store(tmp_path_factory.mktemp("numbers") / "node", synchronous="OFF")
    kept: dict[int, bool] = {}  # id → whether its content was the changed one
    for n, seq, inc, low, changed in moves:
        with store.db.transaction():
            got = store.inbox.receive(
                copy(sender="mac1", inc=inc, low=min(low, seq)), [arrival(n, seq, body="changed" if changed else "")], NOW
            )
        (entry,) = got.entries
        if n in kept:
            same = kept[n] is changed
            assert entry.fate is (Fate.DUPLICATE if same else Fate.REFUSED)
            assert (entry.reason == ID_REUSED) is not same
            assert bool(got.alarms) is not same
        elif entry.fate is Fate.STORED:
            kept[n] = changed
        else:
            assert entry.fate in (Fate.CLOSED, Fate.LATER)
    mails = store.inbox.unshown(1000, all=True)
    assert sorted(mail.id for mail in mails) == sorted({mail.id for mail in mails})
    assert len(mails) == len(kept)
    store.close()


def test_the_largest_numbers_are_numbers_like_others(tmp_path: Path) -> None:
    store = open_store(tmp_path / "node")
    with store.db.transaction():
        first = store.inbox.receive(copy(inc=2**53, low=2**53), [arrival(1, 2**53)], NOW)
        again = store.inbox.receive(copy(inc=2**53, low=2**53), [arrival(2, 2**53)], NOW)
    assert [one.entries[0].fate for one in (first, again)] == [Fate.STORED, Fate.CLOSED]
    assert Envelope(seq=2**53, exp=0, id="0" * 32, ts=0).seq == 2**53
    store.close()
