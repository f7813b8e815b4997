"""Attack 21: 100 canary bodies over every road, through failures and a crash at debug level, are found nowhere; nor keys."""

import base64
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.canaries import Finder, Watch, forms, secrets_of
from tests.hosts.house import BUCKET, CARRYING, AllRoads
from tests.support.nodes import Node, World, until

BODIES, ROADS_EACH, AT_REST = 100, 9, 4
MAILBOXES = ("cloud", "seed", "git", "relay", "nats")  # where mail may lie while its addressee is down
ALL_OBJECTS = f"""
import boto3, sys
s3 = boto3.client("s3", endpoint_url=sys.argv[1], aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1")
for one in s3.list_objects_v2(Bucket="{BUCKET}").get("Contents", []):
    sys.stdout.buffer.write(one["Key"].encode() + s3.get_object(Bucket="{BUCKET}", Key=one["Key"])["Body"].read())
"""


class Canaries:
    """Bodies that all hold one word which nothing else in the world holds."""

    def __init__(self) -> None:
        self.word = f"canary-{secrets.token_hex(12)}"
        self.made = 0

    def __iter__(self) -> Iterator[str | dict[str, object]]:
        while True:
            text = f"{self.word} number {self.made}"
            shapes = (text, f"{text} über 東京 " + "x" * 20_000, {"ask": text, "list": [text]}, f"a\n{text}\n\x1b[2Jb")
            self.made += 1
            yield shapes[self.made % 4]


class House(AllRoads):
    """All roads, at debug level; what is sent are canaries."""

    def __enter__(self) -> "House":
        super().__enter__()
        self.canaries = Canaries()
        self._bodies = iter(self.canaries)
        for node in (self.c, self.a, self.b):
            node.ok("config", "set", "log.level", "debug")
            node.terminate()
            node.start()
        return self

    def send(self, node: Node, to: str, count: int, **more: object) -> list[str]:
        """Submit canaries; gives the ids of those accepted."""
        answers = node.submit([{"to": to, "body": next(self._bodies), **more} for _ in range(count)])
        return [answer["id"] for answer in answers if "id" in answer]

    def look(self, finder: Finder, but: tuple[str, ...]) -> None:
        """Look wherever something of the nodes lies: their homes and logs, servers' logs, repositories, object store."""
        finder.files("home", self.world.home, but)
        for repository in {path.parent for path in self.world.home.rglob("objects") if (path.parent / "HEAD").exists()}:
            finder.git(repository)
        asked = [*self.net["c"].exec, sys.executable, "-c", ALL_OBJECTS, self.endpoint]
        finder.look("object store: all", subprocess.run(asked, capture_output=True, check=True, timeout=60).stdout)


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    tempfile.gettempdir()  # homes stay where sockets find room
    with Watch(tmp_path / "bin") as watch:
        (tmp_path / "tmp").mkdir()
        monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
        monkeypatch.setenv("PATH", f"{watch.directory}:{os.environ['PATH']}")
        yield watch


def _every_road(house: House) -> None:
    for road in CARRYING:
        sent = house.send(house.a, "b", ROADS_EACH, channel=road)
        until(lambda: set(sent) <= set(house.b.arrived()), f"they arrive by {road}", 90)  # noqa: B023
        assert {house.b.road_of(id) for id in sent} == {road}


def _at_rest(house: House) -> list[str]:
    """Let mail lie on every road that keeps any, its addressee's daemon killed."""
    house.b.kill()
    sent = [id for road in MAILBOXES for id in house.send(house.a, "b", AT_REST, channel=road)]
    until(lambda: _in_custody(house.a) >= set(sent), f"all of {len(sent)} lie somewhere", 90)
    assert list((house.b.home / "seeds").glob("*")), "seeds lie in their directory"
    assert house.c.rows("SELECT count(*) FROM custody") >= [(1,)], "and mail with the relay"
    return sent


def _in_custody(node: Node) -> set[str]:
    return {one["id"] for one in node.ok("outbox") if one["state"] == "custody"}


def _refusals(house: House) -> None:
    """Fail in every way that has words for it."""
    a, b, word = house.a, house.b, house.canaries.word
    house.send(a, "nobody", 1)
    house.send(a, "b", 1, type="nope")
    house.send(a, "b", 1, ttl="0.01")
    large, secret = word + "x" * 300_000, f"{word} AKIAIOSFODNN7EXAMPLE and sk-ant-{word}"
    assert "error" in a.submit([{"to": "b", "body": large}, {"to": "b", "body": secret}])[0]
    for body in (b"{" + word.encode(), b'{"to":"b","body":"%s"' % word.encode(), b'{"to":"b","%s":1}' % word.encode()):
        assert a.post("/message", body).status == 400
        assert a.post(f"/verb/{word}", body).status == 404
    b.ok("trust", "a", "0", "--reason", "a test")
    refused = house.send(a, "b", 3, type="command", channel="http")
    until(lambda: all(a.status_of(id) > 3 for id in refused), "b refuses them, signed", 60)
    b.ok("trust", "a", "3", "--reason", "a test")
    (gone,) = house.send(a, "b", 1, channel="cloud")
    a.fleet("cancel", gone)


def _crash(house: House) -> list[str]:
    sent = house.send(house.a, "b", 5) + house.send(house.b, "a", 5)
    house.a.signal(signal.SIGABRT)
    house.a.wait()
    house.a.start()
    return sent


@pytest.mark.tier("hosts", "ssh", "git")
@pytest.mark.xdist_group("roads")
@pytest.mark.timeout(420)
def test_canaries_and_keys_are_found_nowhere_but_in_two_databases_and_in_the_key_directories(
    watch: Watch, tmp_path: Path
) -> None:
    with House() as house:
        nodes = (house.a, house.b, house.c)
        keys = {name: words for node in nodes for name, words in secrets_of(node).items()}
        bodies, private = Finder({"a body": [house.canaries.word.encode()]}), Finder(keys)
        _every_road(house)
        _refusals(house)
        sent = _at_rest(house)
        for finder, but in ((bodies, (r"^[ab]/fleet\.db",)), (private, ("^[abc]/keys/",))):
            house.look(finder, but)
        house.b.start()
        sent += _crash(house)
        there = (house.a, house.b)
        until(lambda: set(sent) <= {id for node in there for id in node.arrived()}, "everything arrives", 120)
        watch.glance()
        for finder, but in ((bodies, (r"^[ab]/fleet\.db",)), (private, ("^[abc]/keys/",))):
            house.look(finder, but)
            assert watch.told(finder) > 50
            finder.files("temporary", tmp_path / "tmp")
            assert finder.looked.keys() >= {"home", "git objects", "object store", "processes"}, finder.looked
        assert house.canaries.made >= BODIES
        assert (bodies.found, private.found) == ([], []), bodies.looked
        _control(house, keys)


def _control(house: House, keys: dict[str, list[bytes]]) -> None:
    """Where they may be they are found, so that the search is one; and the logs are at debug level."""
    assert len(keys) >= 3 * 4
    for node in (house.a, house.b):
        finder = Finder({"a body": [house.canaries.word.encode()]})
        finder.files("home", node.home)
        assert any(where.startswith("home: fleet.db") for where, _ in finder.found)
        private = Finder(keys)
        private.files("keys", node.home / "keys")
        assert len({where for where, _ in private.found}) >= 4
        assert {one["key"]: one["value"] for one in node.ok("config", "show")}["log.level"] == "debug"
        assert len((node.home / "log" / "fleetd.log").read_bytes().splitlines()) > 10


def test_the_search_knows_a_word_in_every_form_it_may_take() -> None:
    word = b"canary-0123456789abcdef"
    for around in (b"", b"a", b"ab", b"abc" * 5):
        for form, needle in forms(word).items():
            finder = Finder({"it": [word]})
            finder.look("x: y", around + needle + around)
            assert finder.found, form
        whole = around + word + around
        plain = (base64.b64encode(whole), base64.urlsafe_b64encode(whole), whole.hex().encode())
        for written in (*plain, whole.decode().encode("utf-16")):
            finder = Finder({"it": [word]})
            finder.look("x: y", written)
            assert finder.found
    finder = Finder({"it": [word]})
    finder.look("x: y", b"canary-0123456789abcde " * 50)
    assert finder.found == []


SERVING = """
import ctypes, os, resource, signal, sys
libc = ctypes.CDLL(None)
def say(number, frame):
    os.write(2, b"dumpable %d, cores %d\\n" % (libc.prctl(3), resource.getrlimit(resource.RLIMIT_CORE)[0]))
signal.signal(signal.SIGUSR2, say)
from fleet.faces import serve
sys.exit(serve.main())
"""


def test_a_daemon_lets_nobody_dump_its_memory(world: World) -> None:
    a = world.node("a")
    a.ok("init", "--node", "a")
    a.program = (sys.executable, "-I", "-c", SERVING)
    a.start()
    a.signal(signal.SIGUSR2)
    until(lambda: "dumpable 0, cores 0" in a.log, "the daemon says how its memory is kept")
    a.signal(signal.SIGABRT)
    a.wait()
    assert not list(Path("/").glob("core*"))
