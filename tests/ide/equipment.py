"""The agent programs of this tier, exact versions, in a cache outside the checkout; must never run one of them.

`python -m tests.ide.equipment` provides them (npm, pip; half a minute the first time, nothing afterwards) and prints where.
FLEET_IDE_CACHE names another place than ~/.cache/fleet-ide.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
LOCKED = ("package.json", "package-lock.json")
SKILLSAW = "skillsaw==0.22.0"
NPM = ("npm", "ci", "--omit-lockfile-registry-resolved=true", "--no-audit", "--no-fund", "--loglevel=error")
PATIENCE = 900.0  # seconds, for a slow line


def programs() -> Path:
    """The directory with `claude`, `codex` and `gemini`; fetched when these versions are not there yet."""
    wanted = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in LOCKED)).hexdigest()[:12]
    with _fetched(f"programs-{wanted}") as half:
        if half:
            for name in LOCKED:
                shutil.copy(HERE / name, half / name)
            subprocess.run(NPM, cwd=half, check=True, timeout=PATIENCE, stdout=sys.stderr)
    return _cache() / f"programs-{wanted}" / "node_modules" / ".bin"


def skillsaw() -> Path:
    """A Python that has the linter of skills and plugins: run it with -m skillsaw."""
    with _fetched(SKILLSAW) as half:
        if half:
            venv.create(half, with_pip=True)
            pip = [half / "bin" / "python", "-m", "pip", "install", "--quiet", SKILLSAW]
            subprocess.run(pip, check=True, timeout=PATIENCE, stdout=sys.stderr)
    return _cache() / SKILLSAW / "bin" / "python"


def _cache() -> Path:
    return Path(os.environ.get("FLEET_IDE_CACHE") or Path.home() / ".cache" / "fleet-ide")


@contextlib.contextmanager
def _fetched(name: str) -> Iterator[Path | None]:
    """A directory to fill, which is there whole or not at all; None when it is there already."""
    found = _cache() / name
    if found.is_dir():
        yield None
        return
    found.parent.mkdir(parents=True, exist_ok=True)
    half = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=found.parent))
    try:
        yield half
        half.rename(found)
    finally:
        shutil.rmtree(half, ignore_errors=True)


if __name__ == "__main__":
    print(programs())
    print(skillsaw())
