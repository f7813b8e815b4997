"""Where a node's files lie; nothing here may touch the directories of the user who runs the tests."""

import os
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from fleet.daemon.paths import SOCKET_LIMIT, paths_of, prepare
from fleet.errors import SettingsError

LINUX = pytest.mark.skipif(sys.platform == "darwin", reason="XDG variables")


def test_fleet_home_holds_everything() -> None:
    paths = paths_of({"FLEET_HOME": "/srv/node1", "HOME": "/home/ana"})
    assert {field: str(getattr(paths, field)) for field in paths.__slots__} == {
        "home": "/srv/node1",
        "config": "/srv/node1/config.toml",
        "keys": "/srv/node1/keys",
        "reserve": "/srv/node1/keys/reserve.json",
        "database": "/srv/node1/fleet.db",
        "run": "/srv/node1/run",
        "socket": "/srv/node1/run/fleet.sock",
        "token": "/srv/node1/run/token",
        "log": "/srv/node1/log",
        "seeds": "/srv/node1/seeds",
    }


@LINUX
def test_without_it_the_xdg_directories_are_used() -> None:
    paths = paths_of({"HOME": "/home/ana", "XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s"})
    assert (str(paths.config), str(paths.home)) == ("/c/fleet/config.toml", "/s/fleet")
    assert {path.parts[:3] for path in (paths.keys, paths.database, paths.socket, paths.log)} == {("/", "s", "fleet")}


def test_without_any_variable_they_are_where_platformdirs_puts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "FLEET_HOME"):
        monkeypatch.delenv(name, raising=False)
    paths = paths_of(os.environ)
    assert paths.config.parent == platformdirs.user_config_path("fleet", appauthor=False)
    assert paths.home == platformdirs.user_state_path("fleet", appauthor=False)


@LINUX
def test_a_relative_xdg_variable_is_ignored() -> None:
    paths = paths_of({"HOME": "/home/ana", "XDG_STATE_HOME": "here"})
    assert str(paths.home) == "/home/ana/.local/state/fleet"


def test_an_empty_fleet_home_is_none() -> None:
    assert paths_of({"FLEET_HOME": "", "HOME": "/home/ana"}).home != paths_of({"FLEET_HOME": "/x"}).home


def test_a_relative_fleet_home_is_made_absolute() -> None:
    assert paths_of({"FLEET_HOME": "node1"}).home == Path.cwd() / "node1"


@pytest.mark.parametrize(("given", "home"), [("~", "/home/ana"), ("~/f", "/home/ana/f"), ("~ana", None)])
def test_a_tilde_that_no_shell_expanded_is_expanded(given: str, home: str | None) -> None:
    expected = Path(home) if home else Path.cwd() / given
    assert paths_of({"FLEET_HOME": given, "HOME": "/home/ana"}).home == expected


def test_the_socket_is_found_alike_with_and_without_a_login_session(tmp_path: Path) -> None:
    login = {"HOME": "/home/ana", "XDG_RUNTIME_DIR": str(tmp_path), "TMPDIR": "/tmp"}
    assert paths_of(login).socket == paths_of({"HOME": "/home/ana"}).socket


def test_a_socket_path_that_just_fits_is_taken() -> None:
    room = SOCKET_LIMIT - len("/run/fleet.sock")
    assert len(str(paths_of({"FLEET_HOME": "/" + "a" * (room - 1)}).socket)) == SOCKET_LIMIT


def test_a_socket_path_that_is_too_long_is_refused_with_the_remedy() -> None:
    with pytest.raises(SettingsError, match="has 104 bytes, a Unix socket allows 103") as caught:
        paths_of({"FLEET_HOME": "/" + "a" * (SOCKET_LIMIT - len("/run/fleet.sock")), "HOME": "/home/ana"})
    assert caught.value.hint.startswith("export FLEET_HOME=/home/ana/.fleet")


def test_the_limit_counts_bytes_not_characters() -> None:
    with pytest.raises(SettingsError):
        paths_of({"FLEET_HOME": "/" + "é" * 60, "HOME": "/h"})


def test_without_a_home_directory_the_error_says_what_to_export(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", nobody)
    with pytest.raises(SettingsError, match="no home directory") as caught:
        paths_of({})
    assert "FLEET_HOME" in caught.value.hint


def test_a_relative_home_is_no_home() -> None:
    with pytest.raises(SettingsError, match="no home directory"):
        paths_of({"HOME": "somewhere"})


def test_prepare_makes_private_directories(tmp_path: Path) -> None:
    paths = paths_of({"FLEET_HOME": str(tmp_path / "a" / "b")})
    prepare(paths)
    made = (paths.home, paths.keys, paths.run, paths.log, paths.seeds)
    assert {directory.stat().st_mode & 0o777 for directory in made} == {0o700}
    prepare(paths)


def test_prepare_closes_a_directory_that_others_could_enter(tmp_path: Path) -> None:
    paths = paths_of({"FLEET_HOME": str(tmp_path)})
    paths.run.mkdir(mode=0o755)
    paths.run.chmod(0o755)
    prepare(paths)
    assert paths.run.stat().st_mode & 0o777 == 0o700


def test_prepare_leaves_a_home_that_others_may_read_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    prepare(paths_of({"FLEET_HOME": str(tmp_path)}))
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_prepare_refuses_a_home_that_everybody_can_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(SettingsError, match="everybody can write") as caught:
        prepare(paths_of({"FLEET_HOME": str(tmp_path)}))
    assert "FLEET_HOME" in caught.value.hint


def test_prepare_refuses_a_directory_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = paths_of({"FLEET_HOME": str(tmp_path)})
    prepare(paths)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(SettingsError, match=r"belongs to user \d+, not to you"):
        prepare(paths)


def test_prepare_says_what_it_could_not_make(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"cannot make .*/file/node: (Not a directory|File exists)"):
        prepare(paths_of({"FLEET_HOME": str(tmp_path / "file" / "node")}))


def test_asking_for_paths_loads_only_the_standard_library() -> None:
    code = (
        "import sys; from fleet.daemon.paths import paths_of; paths_of({'HOME': '/h'});"
        "print(sorted({m.split('.')[0] for m in sys.modules} - set(sys.stdlib_module_names) - {'__main__', 'fleet'}))"
    )
    loaded = subprocess.run([sys.executable, "-S", "-E", "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
