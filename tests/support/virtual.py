"""An asyncio loop whose clock jumps to the next timer when nothing is ready; must never really sleep.

    trace = virtual.run(story())          # a day of fleet life in a fraction of a second
    virtual.now()                         # inside: the wall clock, seconds since 1970, moving with the loop

The same coroutine gives the same trace every time: the clock starts at zero, and sets of tasks iterate in the order in
which the tasks were made. Sockets are not waited for; to_thread and run_in_executor are refused.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = 1_800_000_000.0  # the wall clock when a virtual world begins: 15 January 2027, 08:00 UTC
MONTH = 30 * 86_400.0


class Deadlock(RuntimeError):
    """Nothing is ready and no timer is set: whoever still waits would wait forever."""


class TimeIsUp(RuntimeError):
    """The virtual clock would pass its limit: something waits for what never comes."""


def run(story: Coroutine[Any, Any, T], *, limit: float = MONTH) -> T:
    """Run the coroutine to its end in virtual time, at most `limit` virtual seconds; then cancel what is left."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(limit)) as runner:
        return runner.run(story)


def now() -> float:
    """The wall clock of the running virtual loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop), "virtual.now() is asked outside of virtual.run()"
    return loop.now()


class VirtualLoop(asyncio.SelectorEventLoop):
    """A selector loop that jumps where the real one would sleep."""

    def __init__(self, limit: float = MONTH) -> None:
        self.limit = limit
        self._elapsed = 0.0
        self._tasks_made = 0
        super().__init__(_JumpingSelector(self))
        self.set_task_factory(_make_task)

    def time(self) -> float:
        """Virtual seconds since the loop began."""
        return self._elapsed

    def now(self) -> float:
        """Virtual seconds since 1970."""
        return EPOCH + self._elapsed

    def jump(self) -> None:
        """Nothing is ready: go to the next timer. Exactly there, so that `now() >= due` holds after the sleep."""
        timers = self._scheduled  # type: ignore[attr-defined]  # the loop's heap; cancelled heads are gone by now
        if not timers:
            raise Deadlock(f"nothing is ready and no timer is set at {self._elapsed:.6f} s{self._who_waits()}")
        due = timers[0].when()
        if due > self.limit:
            raise TimeIsUp(f"the next timer is at {due:.6f} s, the limit is {self.limit:.6f} s{self._who_waits()}")
        self._elapsed = max(self._elapsed, due)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """Refuse: a thread takes real time, and the clock would jump past it."""
        raise RuntimeError("threads have no place in virtual time: call it inline")

    def next_task_number(self) -> int:
        """1, 2, 3 …: every task's name and place in a set."""
        self._tasks_made += 1
        return self._tasks_made

    def _who_waits(self) -> str:
        waiting = sorted(asyncio.all_tasks(self), key=hash)
        return "".join(f"\n  {task.get_name()} waits in {_where(task)}" for task in waiting)


class _JumpingSelector(selectors.DefaultSelector):
    """Looks at the real files (the loop's own wake-up pipe) and never waits for them."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and (timeout is None or timeout > 0):
            self._loop.jump()
        return ready


class _Task(asyncio.Task[Any]):
    """A task whose hash is its number: asyncio keeps tasks in sets, and memory addresses differ from run to run."""

    def __init__(self, coro: Any, *, number: int, name: str | None = None, **options: Any) -> None:
        self._number = number
        super().__init__(coro, name=name or f"Task-{number}", **options)

    def __hash__(self) -> int:
        return self._number

    def set_name(self, value: object) -> None:
        """Keep the name when asyncio 3.13 says `None` once more after the making."""
        super().set_name(f"Task-{self._number}" if value is None else value)


def _make_task(loop: Any, coro: Any, **options: Any) -> _Task:
    return _Task(coro, loop=loop, number=loop.next_task_number(), **options)


def _where(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=1)
    if not frames:
        return repr(task.get_coro())
    code = frames[-1].f_code
    return f"{code.co_qualname}, {code.co_filename}:{frames[-1].f_lineno}"
