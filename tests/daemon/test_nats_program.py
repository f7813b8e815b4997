"""Which nats-server is taken: the operator's, the wheel's, or one on PATH that is new enough."""

import os
from pathlib import Path

import pytest

from fleet.daemon import nats_program
from fleet.daemon.nats_program import find_program
from fleet.errors import SettingsError


def fake(directory: Path, version: str) -> Path:
    directory.mkdir()
    program = directory / "nats-server"
    program.write_text(f"#!/bin/sh\necho 'nats-server: {version}'\n")
    program.chmod(0o755)
    return program


async def test_the_configured_program_comes_first(tmp_path: Path) -> None:
    program = fake(tmp_path / "own", "v1.0.0")
    assert await find_program(str(program)) == program


@pytest.mark.parametrize("configured", ["/nowhere/nats-server", "/etc/passwd", "/tmp"])
async def test_a_configured_path_that_is_no_program_is_a_mistake(configured: str) -> None:
    with pytest.raises(SettingsError, match="is not a program"):
        await find_program(configured)


async def test_the_wheel_comes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = fake(tmp_path / "bin", "v2.99.0")
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    found = await find_program()
    assert found != program and found.name.startswith("nats-server")


@pytest.mark.parametrize(
    ("version", "fits"), [("v2.11.0", True), ("v2.15.1", True), ("v3.0.0-beta", True), ("v2.9.10", False), ("", False)]
)
async def test_without_the_wheel_the_path_must_be_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, fits: bool
) -> None:
    program = fake(tmp_path / "bin", version)
    monkeypatch.setattr(nats_program, "_in_wheel", lambda: None)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    if fits:
        assert await find_program() == program
    else:
        with pytest.raises(SettingsError, match=r"2\.11 or newer"):
            await find_program()
