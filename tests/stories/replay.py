"""Reads a story, tells it anew and gives the text it should have; the only thing it writes is a rewritten story."""

import asyncio
import tempfile
from pathlib import Path

from tests.stories.teller import Teller
from tests.support import virtual

STORIES = Path(__file__).parent
FAST = Path("/dev/shm") if Path("/dev/shm").is_dir() else None


def stories() -> list[Path]:
    """List all stories."""
    return sorted(STORIES.glob("*.txt"))


def retold(path: Path) -> str:
    """Tell a story anew; gives its whole text as it should be."""
    with tempfile.TemporaryDirectory(dir=FAST) as directory:
        return virtual.run(_retell(path.read_text(encoding="utf-8"), Path(directory)))


async def _retell(text: str, directory: Path) -> str:
    teller = Teller(directory)
    asyncio.get_running_loop().set_exception_handler(_complain)
    told: list[str] = []
    skipping = False
    for line in text.splitlines():
        if line.startswith("> "):
            told.append(line)
            told += [f"  {happened}" for happened in await teller.tell(line[2:])]
            skipping = True
        elif not (skipping and line.startswith("  ")):
            told.append(line)
            skipping = False
    if teller.fleet is not None:
        teller.lines = []
        await teller.fleet.stop()
        told += [f"  a receiver broke: {bug}" for bug in teller.fleet.net.bugs]
    return "\n".join(told) + "\n"


def _complain(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    error = context.get("exception")
    raise AssertionError(f"nobody caught this: {context.get('message')}: {error!r}") from (
        error if isinstance(error, BaseException) else None
    )
