"""Who is here: sessions come, go on in the same process, end, and are dropped when nothing stands behind them."""

import asyncio
from pathlib import Path

import pytest

from fleet.core import policy
from fleet.daemon.sessions import Event, Sessions
from fleet.engine.at_once import AtOnce
from fleet.engine.world import World
from tests.support.letters import NOW, open_store

HOUR = 3_600_000


class Ground:
    """A registry over a real store, a clock that is set, and processes that are said to live."""

    def __init__(self, home: Path) -> None:
        self.now = NOW
        self.store = open_store(home)
        self.processes: dict[int, int] = {}  # pid → when it was born
        self.sessions = self.fresh()

    def fresh(self) -> Sessions:
        world = World(lambda: self.now, lambda: self.now / 1000, lambda n: b"\0" * n, lambda: 0.5)
        return Sessions(
            AtOnce(self.store), world,  # type: ignore[arg-type]
            owner=lambda pid: (pid, self.processes[pid]) if pid in self.processes else (0, 0),
            lives=lambda pid, born: self.processes.get(pid) == born,
        )  # fmt: skip

    def came(self, session: str = "s", *, idle: bool | None = False, program: str = "claude", **more: object) -> None:
        async def come() -> None:
            one = Event(event="prompt", session=session, program=program, **more)  # type: ignore[arg-type]
            self.sessions.came(one, idle=idle)

        asyncio.run(come())

    def sweep(self) -> list[str]:
        async def look() -> list[str]:
            return self.sessions.sweep()

        return asyncio.run(look())

    def open(self) -> list[str]:
        return sorted(self.sessions.open)

    def on_disk(self) -> list[str]:
        return sorted(one.id for one in self.store.sessions.open_ones())


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def test_a_session_is_known_by_its_first_hook_and_survives_a_restart(ground: Ground) -> None:
    ground.processes[7] = 1
    ground.came(cwd="/work", branch="main", pid=7, agent="reviewer")
    again = ground.fresh()
    again.load(ground.store)
    (one,) = again.open.values()
    assert (one.id, one.cwd, one.branch, one.pid, one.agent) == ("s", "/work", "main", 7, "reviewer")


@pytest.mark.parametrize("name", ["", "two words", "x" * 65, "\x1b[2J", "-dash", "näme", "a/b"])
def test_an_agent_whose_name_could_confuse_is_called_by_its_program(ground: Ground, name: str) -> None:
    ground.came(agent=name)
    assert ground.sessions.open["s"].agent == "claude"


def test_what_a_later_hook_does_not_say_is_still_known(ground: Ground) -> None:
    ground.came(cwd="/work", branch="main")
    ground.now += 1000
    ground.came()
    one = ground.sessions.open["s"]
    assert (one.cwd, one.branch, one.started, one.seen) == ("/work", "main", NOW, NOW + 1000)


def test_it_is_idle_from_the_end_of_its_turn_to_the_next_prompt(ground: Ground) -> None:
    ground.came(idle=True)
    ground.now += 5_000
    ground.came(idle=None)  # a hook that waits beside it
    (view,) = ground.sessions.view("b", lambda one: "hook")
    assert (view["state"], view["idle_ms"]) == ("idle", 5_000)
    ground.came(idle=False)
    (view,) = ground.sessions.view("b", lambda one: "hook")
    assert (view["state"], view["idle_ms"]) == ("active", 0)


def test_a_process_that_went_on_to_another_session_has_left_the_first(ground: Ground) -> None:
    ground.processes[7] = 1
    ground.came("old", pid=7)
    ground.came("new", pid=7)
    assert ground.open() == ground.on_disk() == ["new"]


def test_an_editor_has_many_sessions_in_one_process(ground: Ground) -> None:
    ground.processes[7] = 1
    ground.came("one", program="cursor", pid=7)
    ground.came("two", program="cursor", pid=7)
    assert ground.open() == ["one", "two"]


def test_a_session_whose_process_is_gone_is_a_ghost_and_so_is_one_whose_pid_is_anothers_now(ground: Ground) -> None:
    ground.processes |= {7: 1, 8: 1, 9: 1}
    for name, pid in (("dead", 7), ("reused", 8), ("alive", 9)):
        ground.came(name, pid=pid)
    del ground.processes[7]
    ground.processes[8] = 2
    assert sorted(ground.sweep()) == ["dead", "reused"]
    assert ground.open() == ground.on_disk() == ["alive"]


def test_silence_is_a_reason_only_where_no_process_of_its_own_speaks_for_it(ground: Ground) -> None:
    ground.processes |= {7: 1, 9: 1}
    ground.came("editor", program="cursor", pid=7)
    ground.came("unknown")
    ground.came("weekend", pid=9)
    ground.now += policy.SESSION_SILENT
    assert ground.sweep() == []
    ground.now += 1
    assert sorted(ground.sweep()) == ["editor", "unknown"]
    assert ground.open() == ["weekend"]


def test_there_are_only_so_many_and_the_longest_silent_goes(ground: Ground) -> None:
    for n in range(policy.SESSIONS + 3):
        ground.now += 1
        ground.came(f"{n:03}")
    assert len(ground.open()) == policy.SESSIONS
    assert ground.open()[0] == "003"


def test_a_socket_is_the_sessions_that_was_given_it_first(ground: Ground) -> None:
    ground.processes |= {7: 1, 8: 1}
    ground.came("outer", pid=7, socket="/s", token="t")
    ground.came("inner", pid=8, socket="/s", token="t")  # it inherited its parent's environment
    assert sorted(ground.sessions.lines) == ["outer"]


def test_only_claude_code_has_such_a_socket(ground: Ground) -> None:
    ground.came("c", program="codex", socket="/s", token="t")
    assert ground.sessions.lines == {}


def test_a_token_is_on_no_disk_and_in_no_text(ground: Ground, tmp_path: Path) -> None:
    ground.came(socket="/s", token="canary-token")
    assert "canary-token" not in repr(ground.sessions.lines)
    assert "canary-token" not in repr(Event(event="start", session="s", program="claude", token="canary-token"))
    ground.store.close()
    assert b"canary-token" not in (tmp_path / "fleet.db").read_bytes()


def test_a_bare_sign_of_life_is_written_only_now_and_then(ground: Ground) -> None:
    ground.came(idle=False)
    before = ground.store.db.conn.total_changes()
    ground.now += 1000
    ground.came(idle=False)
    assert ground.store.db.conn.total_changes() == before
    ground.now += 61_000
    ground.came(idle=False)
    assert ground.store.db.conn.total_changes() > before
