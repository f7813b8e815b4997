"""The campaign in short: a few random schedules, the same seed twice, and faults that must not pass."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaign.faults import FAULTS, QUICK, caught
from tests.campaign.plan import make_plan
from tests.campaign.sim import Homes, run_schedule

ROOT = Path(__file__).parents[2]
SEEDS = 25


@pytest.fixture(scope="module")
def homes() -> Iterator[Homes]:
    homes = Homes()
    yield homes
    homes.close()


@pytest.mark.parametrize("first", range(0, SEEDS, 5))
def test_the_laws_hold_in_random_weather(homes: Homes, first: int) -> None:
    broken = {seed: found for seed in range(first, first + 5) if (found := run_schedule(seed, homes).broken)}
    assert broken == {}, "python -m tests.campaign sim --first SEED --seeds 1"


def test_a_schedule_is_made_from_its_seed_alone() -> None:
    assert make_plan(4) == make_plan(4)
    assert make_plan(4).acts != make_plan(5).acts


def test_the_same_seed_gives_the_same_trace_in_every_process(homes: Homes) -> None:
    def trace(hash_seed: str) -> str:
        code = "from tests.campaign.sim import *; print(run_schedule(7, Homes()).trace)"
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
        return done.stdout.strip() or done.stderr

    assert trace("1") == trace("2") == run_schedule(7, homes).trace


def test_other_weather_gives_another_trace(homes: Homes) -> None:
    assert run_schedule(7, homes).trace != run_schedule(8, homes).trace


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_fault_is_caught(name: str) -> None:
    assert caught(FAULTS[name]), FAULTS[name].says


def test_a_planted_fault_leaves_nothing_behind(homes: Homes) -> None:
    with FAULTS["attempts_unrecorded"].plant():
        assert run_schedule(3, homes).broken
    assert run_schedule(3, homes).broken == []


def test_every_fault_says_what_is_wrong() -> None:
    assert len(FAULTS) >= 15
    assert [name for name, fault in FAULTS.items() if len(fault.says.split()) < 4] == []
