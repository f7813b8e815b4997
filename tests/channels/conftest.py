"""The roads are tested on the loop the daemon runs on and on the one of the standard library: they differ at the edges."""

import sys

import pytest

LOOPS = [pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio")]
if sys.platform != "win32":
    LOOPS.append(pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"))


@pytest.fixture(scope="session", params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param
