"""Where the files of one node lie; never a directory that others can reach, never an import that is slow.

`fleet_send` reads this on its fast path, so platformdirs is not imported on Linux and macOS: a test holds the few lines
below against it. The socket lies under the state directory, not in XDG_RUNTIME_DIR, because hooks, cron and SSH
sessions that lack that variable must find the same daemon.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fleet.errors import SettingsError

SOCKET_LIMIT = 103  # bytes; sun_path holds 104 with its NUL on macOS, 108 on Linux: one limit for a shared home

_ELSEWHERE = "export FLEET_HOME=/a/directory/of/your/own"


@dataclass(frozen=True, slots=True)
class Paths:
    """Every place of one node; `home` holds all but, without FLEET_HOME, the configuration."""

    home: Path
    config: Path
    keys: Path
    reserve: Path
    database: Path
    run: Path
    socket: Path
    token: Path
    log: Path
    seeds: Path


def paths_of(environ: Mapping[str, str]) -> Paths:
    """Say where everything of this node lies; makes nothing.

    Raises SettingsError when the socket's path is too long for a Unix socket, or no home directory is known.
    """
    given = environ.get("FLEET_HOME", "")
    if given:
        home = _expanded(given, environ).absolute()
        config = home
    else:
        config, home = _user_directories(environ)
    paths = _under(home, config)
    length = len(os.fsencode(paths.socket))
    if length > SOCKET_LIMIT:
        raise SettingsError(
            f"the socket path {paths.socket} has {length} bytes, a Unix socket allows {SOCKET_LIMIT}",
            hint=f"export FLEET_HOME={_user_home(environ)}/.fleet, or another short directory of your own",
        )
    return paths


def prepare(paths: Paths) -> None:
    """Make the directories, 0700. Raises SettingsError for one that others own or can write, or that cannot be made."""
    for directory in (paths.config.parent, paths.home):
        _make(directory)
        if _mode(directory, os.geteuid(), 0) & 0o002:
            raise SettingsError(f"everybody can write to {directory}", hint=_ELSEWHERE)
    for directory in (paths.keys, paths.run, paths.log, paths.seeds):
        _make(directory)
        if _mode(directory, os.geteuid()) & 0o077:
            directory.chmod(0o700)


def _under(home: Path, config: Path) -> Paths:
    keys, run = home / "keys", home / "run"
    return Paths(
        home=home,
        config=config / "config.toml",
        keys=keys,
        reserve=keys / "reserve.json",
        database=home / "fleet.db",
        run=run,
        socket=run / "fleet.sock",
        token=run / "token",
        log=home / "log",
        seeds=home / "seeds",
    )


def _user_home(environ: Mapping[str, str]) -> Path:
    try:
        home = Path(environ.get("HOME", "")) if environ.get("HOME") else Path.home()
    except RuntimeError:
        home = Path()
    if not home.is_absolute():
        raise SettingsError("no home directory is known", hint=_ELSEWHERE)
    return home


def _expanded(path: str, environ: Mapping[str, str]) -> Path:
    return _user_home(environ) / path[2:] if path == "~" or path.startswith("~/") else Path(path)


def _user_directories(environ: Mapping[str, str]) -> tuple[Path, Path]:
    """Give (configuration, state) of this user; a relative XDG variable is ignored, as its specification says."""
    if sys.platform == "win32":
        import platformdirs

        return platformdirs.user_config_path("fleet", False), platformdirs.user_state_path("fleet", False)
    home = _user_home(environ)
    mac = sys.platform == "darwin"
    defaults = ("Library/Application Support",) * 2 if mac else (".config", ".local/state")
    chosen = []
    for variable, default in zip(("XDG_CONFIG_HOME", "XDG_STATE_HOME"), defaults, strict=True):
        base = Path(environ.get(variable, ""))
        chosen.append((base if base.is_absolute() else home / default) / "fleet")
    return chosen[0], chosen[1]


def _make(directory: Path) -> None:
    """Make a directory and its parents; the last is 0700 from the first moment."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot make {directory}: {error.strerror}") from None


def _mode(directory: Path, *owners: int) -> int:
    """Give a directory's mode. Raises SettingsError when it belongs to none of `owners`."""
    found = directory.stat()
    if found.st_uid not in owners:
        raise SettingsError(f"{directory} belongs to user {found.st_uid}, not to you", hint=_ELSEWHERE)
    return stat.S_IMODE(found.st_mode)
