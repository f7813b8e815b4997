"""What a bug report holds of two real nodes that worked: enough to see, and no canary of bodies, keys, tokens, passwords."""

import json
import re
import tarfile
from pathlib import Path

from tests.support.nodes import Node, World, until

BODY = "canary-of-a-body-7f3a"


def report(node: Node, path: Path) -> dict[str, bytes]:
    """Make a report and read it."""
    found = node.ok("bugreport", "--output", str(path))
    assert found["file"] == str(path) and path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as archive:
        read = {name.rpartition("/")[2]: archive.extractfile(name) for name in archive.getnames()}
        parts = {name: file.read() for name, file in read.items() if file is not None}
    assert {part["name"]: part["bytes"] for part in found["inside"]} == {name: len(data) for name, data in parts.items()}
    return parts


def secrets(node: Node) -> list[bytes]:
    """Every secret of a node as it lies in its files, in the forms in which it could be repeated."""
    files = [path for path in (node.home / "keys").iterdir() if path.is_file() and path.suffix not in (".pub", ".json")]
    found = [path.read_bytes() for path in files]
    words = [word for data in found for word in re.findall(rb"[A-Za-z0-9+/_=-]{24,}", data)]
    raw = [data for data in found if len(data) == 32]
    token = node.home / "run" / "token"
    return [*words, *raw, *(data.hex().encode() for data in raw), *([token.read_bytes().strip()] if token.exists() else [])]


def test_a_report_says_a_lot_and_no_secret(world: World, tmp_path: Path) -> None:
    a, b = world.pair(FLEET_API="127.0.0.1:0")
    for key, value in (
        ("channel.git.remote", "https://git.example/mail.git"), ("channel.cloud.trigger", "https://hook.example/x?key=canary-query"),
    ):  # fmt: skip
        a.ok("config", "set", key, value)
    (a.home / "config.toml").write_text(
        (a.home / "config.toml").read_text().replace("[nats]", '[nats]\nurl = "nats://me:canary-password@127.0.0.1:4222"', 1)
    )
    a.terminate()
    a.start()
    ids = a.send("b", BODY, BODY + "2", correlation="canary-correlation")
    a.submit([{"to": "nobody-here", "body": BODY}])
    until(lambda: set(ids) <= set(b.arrived()), "they arrive")
    b.ok("inbox")
    link = World.invite(a)
    whole = report(a, tmp_path / "a.tar.gz")
    told = b"".join(whole.values())
    hidden = [b"canary", BODY.encode(), link.rpartition("#")[2].encode()[:60], *secrets(a)]
    assert len(secrets(a)) > 3
    assert [word for word in hidden if word and word in told] == []
    assert set(whole) == {
        "about.json", "config.json", "store.json", "status.json", "doctor.json", "stats.json", "metrics.txt", "log.ndjson",
    }  # fmt: skip
    assert json.loads(whole["status.json"])["peers"][0]["node"] == "b"
    assert json.loads(whole["store.json"])["version"] >= 2
    assert any(json.loads(line)["event"] == "started" for line in whole["log.ndjson"].splitlines())


def test_a_report_can_be_made_while_the_daemon_is_down(world: World, tmp_path: Path) -> None:
    a = world.found("a", nats=False)
    a.terminate()
    parts = report(a, tmp_path / "a.tar.gz")
    assert "metrics.txt" not in parts and json.loads(parts["status.json"])["error"] == "no_daemon"
    assert json.loads(parts["doctor.json"])["checks"]


def test_a_person_is_told_what_is_inside(world: World, tmp_path: Path) -> None:
    a = world.found("a", nats=False)
    done = a.fleet("bugreport", "--output", str(tmp_path / "r.tar.gz"))
    assert done.code == 0 and done.out.strip() == str(tmp_path / "r.tar.gz")
    assert "log.ndjson" in done.err and "no message, no key" in done.err
