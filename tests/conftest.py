"""What holds for every test: the loop is asyncio, and a tier that cannot run is named; no fixtures of one floor."""

import os

import pytest

from tests.support import tiers


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio alone."""
    return "asyncio"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the tests of a tier that this machine cannot run; under CI that is a failure."""
    for mark in item.iter_markers("tier"):
        for tier in mark.args:
            reason = tiers.obstacle(tier)
            if reason and os.environ.get("CI") == "true":
                pytest.fail(reason, pytrace=False)
            if reason:
                pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Repeat the checks that failed before the tests, where they are seen: just above the last line."""
    failed = os.environ.get("FLEET_FAILED_CHECKS", "").split()
    if failed:
        terminalreporter.section("checks that failed before the tests", red=True)
        terminalreporter.line(f"{', '.join(failed)}: see the top of this output")
