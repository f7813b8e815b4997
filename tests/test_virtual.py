"""Proves the virtual clock: jumps, order, sameness, bounds."""

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.support import virtual

DAY = 86_400.0


def test_a_day_passes_in_a_fraction_of_a_second() -> None:
    async def beat_every_second() -> float:
        for _ in range(int(DAY)):
            await asyncio.sleep(1)
        return virtual.now()

    started = time.perf_counter()
    assert virtual.run(asyncio.sleep(DAY, "done")) == "done"
    assert time.perf_counter() - started < 0.2
    assert virtual.run(beat_every_second()) == virtual.EPOCH + DAY


def test_timers_fire_in_order_of_their_time_then_of_their_setting() -> None:
    async def story() -> list[tuple[float, str]]:
        fired: list[tuple[float, str]] = []
        loop = asyncio.get_running_loop()

        def note(name: str) -> Callable[[], None]:
            return lambda: fired.append((loop.time(), name))

        for delay, name in [(3, "c"), (1, "a"), (2, "b"), (1, "a again"), (0.1, "first")]:
            loop.call_later(delay, note(name))
        await asyncio.sleep(5)
        return fired

    assert virtual.run(story()) == [(0.1, "first"), (1, "a"), (1, "a again"), (2, "b"), (3, "c")]


def test_the_clock_stands_still_while_something_is_ready() -> None:
    async def story() -> float:
        for _ in range(1000):
            await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    assert virtual.run(story()) == 0


def test_a_sleep_until_a_moment_ends_at_exactly_that_moment() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        for tenths in range(1, 500):
            await asyncio.sleep(tenths / 10 - loop.time())
            assert loop.time() >= tenths / 10

    virtual.run(story())


def test_the_wall_clock_starts_at_the_epoch_and_moves_with_the_loop() -> None:
    async def story() -> tuple[float, float]:
        first = virtual.now()
        await asyncio.sleep(90)
        return first, virtual.now()

    assert virtual.run(story()) == (virtual.EPOCH, virtual.EPOCH + 90)


def test_timeouts_and_wait_for_end_what_hangs_at_their_time() -> None:
    async def story() -> list[float]:
        ends = []
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(7):
                await asyncio.Event().wait()
        ends.append(loop.time())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 3)
        ends.append(loop.time())
        return ends

    assert virtual.run(story()) == [7, 10]


def test_events_queues_and_task_groups_work_as_ever() -> None:
    async def story() -> list[int]:
        queue: asyncio.Queue[int] = asyncio.Queue(1)
        enough = asyncio.Event()
        taken: list[int] = []

        async def produce() -> None:
            for number in range(5):
                await asyncio.sleep(1)
                await queue.put(number)

        async def consume() -> None:
            while len(taken) < 5:
                taken.append(await queue.get())
            enough.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            group.create_task(consume())
            await enough.wait()
        return taken

    assert virtual.run(story()) == [0, 1, 2, 3, 4]


def test_a_failing_member_cancels_its_task_group_in_the_order_of_making() -> None:
    cancelled: list[int] = []

    async def member(number: int) -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            cancelled.append(number)
            raise

    async def story() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(50):
                group.create_task(member(number))
            await asyncio.sleep(1)
            raise ValueError("one fails")

    with pytest.raises(ExceptionGroup):
        virtual.run(story())
    assert cancelled == list(range(50))


def test_two_runs_give_the_same_trace() -> None:
    async def story() -> list[tuple[float, str, int]]:
        trace: list[tuple[float, str, int]] = []

        async def walker(number: int) -> None:
            for step in range(20):
                await asyncio.sleep((number * 7919 + step * 104_729) % 1000 / 100)
                task = asyncio.current_task()
                assert task is not None
                trace.append((virtual.now(), task.get_name(), step))

        tasks = {asyncio.ensure_future(walker(number)) for number in range(30)}
        while tasks:
            done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            trace.extend((virtual.now(), task.get_name(), -1) for task in done)
        return trace

    assert virtual.run(story()) == virtual.run(story())


def test_a_deadlock_is_told_with_the_place_of_everyone_who_waits() -> None:
    async def never_called() -> None:
        await asyncio.Event().wait()

    async def story() -> None:
        await asyncio.sleep(12)
        await asyncio.create_task(never_called(), name="the forgotten one")

    with pytest.raises(virtual.Deadlock, match=r"at 12\.0+ s(?s:.*)the forgotten one waits in .*never_called"):
        virtual.run(story())


def test_a_thread_is_refused() -> None:
    with pytest.raises(RuntimeError, match="no place in virtual time"):
        virtual.run(asyncio.to_thread(time.sleep, 0))


def test_the_bound_on_virtual_time_stops_a_world_that_never_ends() -> None:
    async def forever() -> None:
        while True:
            await asyncio.sleep(10)

    with pytest.raises(virtual.TimeIsUp, match=r"limit is 3600\.0+ s"):
        virtual.run(forever(), limit=3600)


def test_what_is_left_running_is_cancelled_at_the_end() -> None:
    ended: list[str] = []

    async def background() -> None:
        try:
            await asyncio.sleep(DAY)
        finally:
            ended.append("cleaned up")

    async def story() -> None:
        task = asyncio.create_task(background())
        await asyncio.sleep(1)
        assert not task.done()

    virtual.run(story())
    assert ended == ["cleaned up"]
