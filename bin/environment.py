"""Makes `.venv/` of this checkout from requirements.lock; must never leave a half-made one that looks ready.

Run by bin/environment.sh with any Python 3.11 or newer, standard library only. A copy of the lock file inside `.venv/`
is the stamp: it is written last, so an interrupted build or a changed lock is seen and done again.
"""

import contextlib
import fcntl
import os
import re
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
STAMP = VENV / LOCK.name
PYTHON = VENV / "bin" / "python"


def main() -> int:
    """Make the environment unless it stands; 0 when it does."""
    try:
        with (ROOT / ".venv.lock").open("w") as guard:
            wait_for(guard)
            if not stands():
                build()
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"the environment could not be made: {error}")
        say(tail(error))
        return 1
    return 0


def wait_for(guard: TextIO) -> None:
    """Hold the lock; the kernel frees it when this process ends, however it ends."""
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("waiting for another process that makes the environment …")
        fcntl.flock(guard, fcntl.LOCK_EX)


def stands() -> bool:
    """Whether `.venv/` has an interpreter and holds what the lock file asks for."""
    return os.access(PYTHON, os.X_OK) and STAMP.exists() and STAMP.read_bytes() == LOCK.read_bytes()


def build() -> None:
    """Make `.venv/`, or bring a complete older one up to date in place."""
    started = time.monotonic()
    if os.access(PYTHON, os.X_OK) and STAMP.exists():
        say("bringing .venv up to date …")
    else:
        say("making .venv (once, well under a minute) …")
        venv.create(VENV, clear=True, symlinks=True, with_pip=True)
    if not filled_by_uv():
        say("uv cannot be used here, pip takes over (slower) …")
        run("-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", LOCK)
    put_checkout_on_path()
    fresh = STAMP.with_suffix(".new")
    fresh.write_bytes(LOCK.read_bytes())
    fresh.replace(STAMP)
    say(f".venv is ready ({time.monotonic() - started:.0f} s)")


def filled_by_uv() -> bool:
    """Fill `.venv/` with the uv that the lock file pins; False when uv cannot be had or does not get through."""
    pinned = re.search(r"^uv==.*(?:\n {4}--hash=.*)+", LOCK.read_text(), re.MULTILINE)
    assert pinned, "requirements.lock pins uv"
    only_uv = VENV / "uv.lock"
    only_uv.write_text(pinned.group(0))
    with contextlib.suppress(subprocess.CalledProcessError):
        run("-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", only_uv)
        run("-m", "uv", "pip", "sync", "--quiet", "--system-certs", "--python", PYTHON, "--require-hashes", LOCK)
        return True
    return False


def put_checkout_on_path() -> None:
    """Let the interpreter import this checkout: one relative line, so a moved checkout stays right."""
    (packages,) = VENV.glob("lib/python3.*/site-packages")
    (packages / "fleet-checkout.pth").write_text(os.path.relpath(ROOT, packages) + "\n")


def run(*arguments: str | Path) -> None:
    """Run the environment's own interpreter, isolated from the caller's PYTHON variables."""
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore", "UV_NO_PROGRESS": "1"}
    command = [PYTHON, "-I", *arguments]
    subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **quiet})


def tail(error: Exception) -> str:
    """The last lines of what a failed command printed, or nothing."""
    printed = f"{getattr(error, 'stdout', '') or ''}{getattr(error, 'stderr', '') or ''}"
    return "\n".join(printed.splitlines()[-12:])


def say(text: str) -> None:
    """One line of progress for people, on stderr."""
    if text:
        print(f"fleet: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
