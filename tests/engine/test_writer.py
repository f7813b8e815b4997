"""The one writer: what waits is committed together, a job fails alone, a commit fails for all."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fleet.core import policy
from fleet.engine.writer import Writer
from fleet.errors import Busy, Conflict, DiskFull, StoreError
from fleet.store import Store
from tests.support import virtual


def told(tmp_path: Path, story: Callable[[Writer, Store], Awaitable[None]], *, inline: bool = True) -> None:
    """Run a story with a serving writer over a real store."""

    async def run() -> None:
        store = Store.open(tmp_path / "fleet.db")
        writer = Writer(store, inline=inline)
        serving = asyncio.ensure_future(writer.serve())
        try:
            await story(writer, store)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            writer.close()
            store.close()

    if inline:
        virtual.run(run())
    else:
        asyncio.run(run())


def put(key: str) -> Callable[[Store], str]:
    def job(store: Store) -> str:
        store.members.set_meta(key, "there")
        return key

    return job


def there(tmp_path: Path, *keys: str) -> list[bool]:
    store = Store.open(tmp_path / "fleet.db")
    found = [store.members.meta(key) is not None for key in keys]
    store.close()
    return found


def test_what_waits_is_committed_together_and_each_caller_gets_its_result(tmp_path: Path) -> None:
    async def story(writer: Writer, store: Store) -> None:
        assert await asyncio.gather(*(writer.run(put(key)) for key in "abc")) == ["a", "b", "c"]
        assert (writer.commits, writer.jobs) == (1, 3)

    told(tmp_path, story)
    assert there(tmp_path, "a", "b", "c") == [True, True, True]


def test_a_result_is_given_after_the_commit_never_before(tmp_path: Path) -> None:
    async def story(writer: Writer, store: Store) -> None:
        await writer.run(put("a"))
        other = Store.open(tmp_path / "fleet.db", readonly=True)
        assert other.members.meta("a") == "there"
        other.close()

    told(tmp_path, story)


def test_a_commit_on_a_thread_is_a_commit_too(tmp_path: Path) -> None:
    async def story(writer: Writer, store: Store) -> None:
        assert await asyncio.gather(*(writer.run(put(key)) for key in "abc")) == ["a", "b", "c"]
        assert await writer.run(put("d")) == "d"

    told(tmp_path, story, inline=False)
    assert there(tmp_path, "a", "d") == [True, True]


def test_a_job_that_fails_undoes_itself_alone(tmp_path: Path) -> None:
    def fails(store: Store) -> None:
        put("half")(store)
        raise Conflict("this one not")

    async def story(writer: Writer, store: Store) -> None:
        first, second, third = await asyncio.gather(
            writer.run(put("a")), writer.run(fails), writer.run(put("b")), return_exceptions=True
        )
        assert (first, third) == ("a", "b")
        assert isinstance(second, Conflict)

    told(tmp_path, story)
    assert there(tmp_path, "a", "half", "b") == [True, False, True]


def broken_commits(store: Store, writer: Writer, error: Exception) -> None:
    """Let every commit fail as a full disk does."""

    class Full:
        def __getattr__(self, name: str) -> Any:
            return getattr(store.db, name)

        def commit(self) -> None:
            raise error

    class Broken:
        db = Full()

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

    writer._store = Broken()  # type: ignore[assignment]


def test_a_commit_that_fails_fails_for_all_and_leaves_nothing(tmp_path: Path) -> None:
    async def story(writer: Writer, store: Store) -> None:
        broken_commits(store, writer, DiskFull())
        found = await asyncio.gather(writer.run(put("a")), writer.run(put("b")), return_exceptions=True)
        assert [type(one) for one in found] == [DiskFull, DiskFull]
        writer._store = store
        assert await writer.run(put("c")) == "c"

    told(tmp_path, story)
    assert there(tmp_path, "a", "b", "c") == [False, False, True]


def test_a_job_with_a_bug_breaks_the_commit_and_leaves_nobody_waiting(tmp_path: Path) -> None:
    def bug(store: Store) -> None:
        raise LookupError("a bug")

    async def story() -> None:
        store = Store.open(tmp_path / "fleet.db")
        writer = Writer(store, inline=True)
        serving = asyncio.ensure_future(writer.serve())
        found = await asyncio.gather(writer.run(put("a")), writer.run(bug), return_exceptions=True)
        assert [type(one) for one in found] == [StoreError, StoreError]
        with pytest.raises(LookupError):
            await serving
        again = asyncio.ensure_future(writer.serve())  # as supervision does
        assert await writer.run(put("b")) == "b"
        again.cancel()
        writer.close()
        store.close()

    virtual.run(story())
    assert there(tmp_path, "a", "b") == [False, True]


def test_what_is_cancelled_before_its_commit_is_not_done(tmp_path: Path) -> None:
    async def story(writer: Writer, store: Store) -> None:
        lost = asyncio.ensure_future(writer.run(put("lost")))
        kept = asyncio.ensure_future(writer.run(put("kept")))
        await asyncio.sleep(0)
        lost.cancel()
        assert await kept == "kept"

    told(tmp_path, story)
    assert there(tmp_path, "lost", "kept") == [False, True]


def test_too_much_waiting_is_busy(tmp_path: Path) -> None:
    async def story() -> None:
        store = Store.open(tmp_path / "fleet.db")
        writer = Writer(store, inline=True)
        waiting = [writer.post(put("a")) for _ in range(policy.WRITER_QUEUE)]
        with pytest.raises(Busy):
            writer.post(put("b"))
        writer.close()
        assert {type(one.exception()) for one in waiting} == {Busy}
        store.close()

    virtual.run(story())


def test_whoever_asks_a_closed_writer_is_told_so(tmp_path: Path) -> None:
    async def story(writer: Writer, store: Store) -> None:
        writer.close()
        with pytest.raises(Busy, match="stopping"):
            await writer.run(put("a"))

    told(tmp_path, story)


def test_mail_and_the_courier_it_wakes_share_a_commit(tmp_path: Path) -> None:
    async def story(writer: Writer, store: Store) -> None:
        woken = asyncio.Event()

        async def courier() -> None:
            await woken.wait()
            await writer.run(put("lease"))

        task = asyncio.ensure_future(courier())
        await asyncio.sleep(0)
        accepted = writer.post(put("mail"))
        woken.set()
        await accepted
        await task
        assert (writer.commits, writer.jobs) == (1, 2)

    told(tmp_path, story)


def test_what_may_be_alone_does_not_wait_for_company(tmp_path: Path) -> None:
    async def story(writer: Writer, store: Store) -> None:
        turns = 0
        filed = writer.post(put("receipt"), alone=True)
        while not filed.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns <= 3

    told(tmp_path, story)
