"""The cloud road against moto's S3 server, stubs that refuse and stores that lie; nothing leaves this machine."""

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from channels import _bucket, cloud
from channels._bucket import is_place
from channels.cloud import Cloud, Key
from fleet.core.channel import Answer, AnswerKind
from fleet.core.outcome import Result, Word
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.errors import Barred, Faulty, SettingsError, Unreachable
from tests.channels.contract import LONG, SOON, Collector, OneWayRoad, World, listening, parcel
from tests.channels.pair import Pair

FLEET = "fleet-1"
KEYS = "AWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY=b\n"
PREFIX = "mail/box"


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials and no proxy of the machine this runs on."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """moto's S3 server in a thread of its own."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


class Store:
    """Another library's view of one bucket: what its keeper could see and do."""

    def __init__(self, endpoint: str, prefix: str = PREFIX) -> None:
        words = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
        self.client: Any = boto3.client("s3", endpoint_url=endpoint, **words)
        self.bucket = f"b-{secrets.token_hex(6)}"
        self.prefix = prefix
        self.url = f"s3://{self.bucket}/{prefix}"
        self.client.create_bucket(Bucket=self.bucket)

    def names(self) -> list[str]:
        """The objects, without the prefix."""
        found = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return [each["Key"].removeprefix(f"{self.prefix}/") for each in found]

    def read(self, name: str) -> bytes:
        data: bytes = self.client.get_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}")["Body"].read()
        return data

    def put(self, name: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}", Body=data)

    def delete(self, name: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}")


def credentials(directory: Path, text: str = KEYS, mode: int = 0o600) -> str:
    path = directory / "credentials"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def road(directory: Path, node: str, **settings: Any) -> Cloud:
    common = {"fleet": FLEET, "node": node, "poll": 0.05, "allow_http": True, "region": "us-east-1"}
    keys = settings["credentials"] if "credentials" in settings else credentials(directory)
    return cloud.build({**common, **settings, "credentials": keys}, {})


async def opened(directory: Path, **settings: Any) -> Cloud:
    here = road(directory, "here", **settings)
    await here.open()
    return here


class CloudWorld(World):
    endpoint = ""

    async def start(self) -> None:
        self.store = Store(self.endpoint)
        url = self.store.url
        self.here = road(self.directory, "here", others=[url], endpoint=self.endpoint)
        self.there = road(self.directory, "there", url=url, endpoint=self.endpoint)
        self.peer = Peer(id="there", addresses={"cloud": {"url": url}})
        for channel in (self.here, self.there):
            await channel.open()


class DirectoryWorld(World):
    """The same without a server: a directory that the operator named."""

    async def start(self) -> None:
        url = f"file://{self.directory}/store"
        self.here = road(self.directory, "here", others=[url])
        self.there = road(self.directory, "there", url=url)
        self.peer = Peer(id="there", addresses={"cloud": {"url": url}})
        for channel in (self.here, self.there):
            await channel.open()


class TestContract(OneWayRoad):
    World = CloudWorld

    @pytest.fixture(autouse=True)
    def _server(self, endpoint: str) -> None:
        CloudWorld.endpoint = endpoint


class TestContractInADirectory(OneWayRoad):
    World = DirectoryWorld


@pytest.fixture
async def world(tmp_path: Path, endpoint: str) -> AsyncIterator[CloudWorld]:
    CloudWorld.endpoint = endpoint
    made = CloudWorld(tmp_path)
    await made.start()
    yield made
    await made.here.close()
    await made.there.close()


# ── the mailbox ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_parcel_is_one_object_that_is_written_once(world: CloudWorld) -> None:
    sent = parcel(b"first")
    for data in (b"first", b"another of the same name"):
        outcome = await world.here.send(world.peer, Parcel(sent.pid, "here", "there", sent.exp, data), LONG)
        assert outcome.word is Word.TAKEN
    assert world.store.names() == [f"{FLEET}/there/here/0004000000000000.{sent.pid}.m"]
    assert world.store.read(world.store.names()[0]) == b"first"


async def test_mail_stays_until_its_sender_takes_it_back_and_receipts_leave_at_once(world: CloudWorld) -> None:
    mail, receipt = parcel(b"mail"), parcel(b"receipt", receipt=True)
    collector = Collector()
    async with listening(world, collector):
        for each in (mail, receipt):
            await world.here.send(world.peer, each, LONG)
        await collector.wait_for(2)
        await until(lambda: len(world.store.names()) == 1)
    assert mail.pid in world.store.names()[0]
    await world.here.forget(world.peer, [mail.pid])
    assert world.store.names() == []


async def test_what_an_earlier_life_put_can_be_taken_back(world: CloudWorld, tmp_path: Path) -> None:
    mail = parcel(b"mail")
    await world.here.send(world.peer, mail, LONG)
    again = road(tmp_path, "here", others=[world.store.url], endpoint=world.endpoint)
    await again.open()
    await again.forget(world.peer, [mail.pid])
    assert world.store.names() == []


async def test_nobody_takes_back_what_another_wrote(world: CloudWorld) -> None:
    other = f"{FLEET}/there/somebody/0004000000000000.{'a' * 32}.m"
    world.store.put(other, b"x")
    await world.here.forget(world.peer, ["a" * 32])
    assert world.store.names() == [other]


async def test_what_the_receiver_cannot_authenticate_is_not_deleted(world: CloudWorld) -> None:
    collector = Collector(lambda data: Answer(AnswerKind.NONE))
    async with listening(world, collector):
        await world.here.send(world.peer, parcel(b"x", receipt=True), LONG)
        await collector.wait_for(1)
        await world.here.send(world.peer, parcel(b"y", receipt=True), LONG)
        assert await collector.wait_for(2) == [b"x", b"y"]
    assert len(world.store.names()) == 2


async def test_what_is_long_expired_is_handed_over_and_deleted(world: CloudWorld) -> None:
    collector = Collector()
    async with listening(world, collector):
        await world.here.send(world.peer, Parcel("b" * 32, "here", "there", 1000, b"late"), LONG)
        assert await collector.wait_for(1) == [b"late"]
        await until(lambda: world.store.names() == [])


async def test_a_sender_sweeps_what_nobody_took(world: CloudWorld) -> None:
    world.store.put(f"{FLEET}/nobody/there/0000000000001000.{'c' * 32}.m", b"ours")
    kept = [
        f"{FLEET}/nobody/here/0000000000001000.{'c' * 32}.m",  # another's
        f"{FLEET}/nobody/there/0004000000000000.{'c' * 32}.m",  # not expired
        "something else",
    ]
    for name in kept:
        world.store.put(name, b"x")
    async with listening(world, Collector()):
        await until(lambda: sorted(world.store.names()) == sorted(kept))


# ── what fails is said ───────────────────────────────────────────────────────────────────────────────────────────────


class Stub:
    """A server that always answers the same, and what it was asked."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self.bodies: list[bytes] = []
        self.address = ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                self.bodies.append(await reader.readexactly(int(length[0].split(b":")[1]) if length else 0))
                self.asked.append(head)
                writer.write(self.answer)
                await writer.drain()
        writer.close()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Stub"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()


def saying(status: str, *head: str) -> Stub:
    return Stub("\r\n".join([f"HTTP/1.1 {status}", "Content-Length: 0", *head, "", ""]).encode())


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        ("403 Forbidden", Faulty, "does not let us in"),
        ("401 Unauthorized", Faulty, "credentials"),
        ("400 Bad Request", Faulty, "region"),
        ("301 Moved Permanently", Faulty, "another region"),
        ("500 Internal Server Error", Unreachable, "answers 500"),
        ("503 Slow Down", Unreachable, "answers 503"),
    ],
)
async def test_a_store_that_refuses_is_quoted_by_its_status(
    tmp_path: Path, status: str, kind: type[Exception], words: str
) -> None:
    async with saying(status).running() as stub:
        here = await opened(tmp_path, url="s3://bucket/x", endpoint=stub.address)
        with pytest.raises(kind, match=words) as caught:
            await here.send(Peer(id="there"), parcel(b"x"), LONG)
        assert stub.address not in str(caught.value)
        with pytest.raises(kind, match=words):
            await here.listen(Collector())


async def test_a_bucket_that_is_not_there_is_faulty(tmp_path: Path, endpoint: str) -> None:
    here = await opened(tmp_path, url="s3://no-such-bucket/x", endpoint=endpoint)
    with pytest.raises(Faulty, match="no such bucket"):
        await here.send(Peer(id="there"), parcel(b"x"), LONG)
    with pytest.raises(Faulty, match="no such bucket"):
        await here.listen(Collector())


async def test_nobody_at_the_endpoint_is_unreachable(tmp_path: Path) -> None:
    here = await opened(tmp_path, url="s3://bucket/x", endpoint="http://127.0.0.1:1")
    with pytest.raises(Unreachable, match="cannot be reached"):
        await here.send(Peer(id="there"), parcel(b"x"), LONG)


async def test_a_store_that_hangs_costs_the_timeout(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        here = await opened(tmp_path, url="s3://bucket/x", endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(Unreachable, match="did not answer"):
            await here.send(Peer(id="there"), parcel(b"x"), SOON)


async def test_without_credentials_the_road_is_faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with saying("404 Not Found").running() as metadata:
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"{metadata.address}/metadata/")
        here = await opened(tmp_path, url="s3://bucket/x", endpoint="http://127.0.0.1:1", credentials="")
        with pytest.raises(Faulty, match="no credentials"):
            await here.send(Peer(id="there"), parcel(b"x"), LONG)


async def test_credentials_may_come_from_the_environment(
    tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in KEYS.split():
        monkeypatch.setenv(*line.split("="))
    here = await opened(tmp_path, url=Store(endpoint).url, endpoint=endpoint, credentials="")
    await here.open()
    assert (await here.send(Peer(id="there"), parcel(b"x"), LONG)).word is Word.TAKEN


@pytest.mark.parametrize(("text", "mode"), [(KEYS, 0o644), ("PATH=/x\n", 0o600), ("no pair", 0o600), ("\udcff", 0o600)])
async def test_a_file_of_credentials_that_cannot_be_used_is_refused(tmp_path: Path, text: str, mode: int) -> None:
    here = road(tmp_path, "here", url="s3://bucket/x")
    path = tmp_path / "credentials"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    path.chmod(mode)
    with pytest.raises(SettingsError) as caught:
        await here.open()
    assert "SECRET" not in str(caught.value)


async def test_settings_the_provider_does_not_know_are_faulty(tmp_path: Path) -> None:
    here = road(tmp_path, "here", url="s3://bucket/x", credentials=credentials(tmp_path, "AWS_NO_SUCH_WORD=x\n"))
    with pytest.raises(Faulty, match="settings"):
        await here.open()


# ── the trigger ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_trigger_is_called_after_the_put_with_nothing_in_it(tmp_path: Path, endpoint: str) -> None:
    async with saying("204 No Content").running() as stub:
        store = Store(endpoint)
        here = await opened(tmp_path, url=store.url, endpoint=endpoint, trigger=f"{stub.address}/hook?code=1")
        sent = parcel(b"canary")
        for _ in range(2):  # what is there already wakes nobody again
            assert (await here.send(Peer(id="there"), sent, LONG)).holder == "cloud"
        await here.close()
        assert [head.split(b"\r\n")[0] for head in stub.asked] == [b"POST /hook?code=1 HTTP/1.1"]
        assert stub.bodies == [b""] and sent.pid.encode() not in stub.asked[0]


@pytest.mark.parametrize("status", ["302 Found", "307 Temporary Redirect", "500 Oops"])
async def test_a_trigger_that_fails_or_sends_elsewhere_changes_nothing(tmp_path: Path, endpoint: str, status: str) -> None:
    async with saying("200 OK").running() as elsewhere, saying(status, f"Location: {elsewhere.address}/x").running() as stub:
        store = Store(endpoint)
        here = await opened(tmp_path, url=store.url, endpoint=endpoint, trigger=stub.address)
        outcome = await here.send(Peer(id="there"), parcel(b"x"), LONG)
        await here.close()
        assert outcome.word is Word.TAKEN and f"answers {status[:3]}" in outcome.holder
        assert elsewhere.asked == [] and len(store.names()) == 1


async def test_a_trigger_that_hangs_does_not_hold_the_message_up(
    tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud, "TRIGGER_TIMEOUT", SOON)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        trigger = f"http://127.0.0.1:{silent.getsockname()[1]}"
        here = await opened(tmp_path, url=Store(endpoint).url, endpoint=endpoint, trigger=trigger)
        outcome = await here.send(Peer(id="there"), parcel(b"x"), LONG)
        await here.close()
        assert outcome.word is Word.TAKEN and "trigger failed" in outcome.holder


# ── hostile words and stores ─────────────────────────────────────────────────────────────────────────────────────────

PLACES = [
    "", "s3:", "s3://", "s3:///x", "s3://-b/x", "s3://b/../x", "s3://b/./x", "s3://b//x", "s3://b/x y", "s3://b/x?y=z",
    "s3://b/x#y", "s3://user:password@b/x", "s3://b:80/x", "s3://b/x\ny", "s3://b/x\0", "s3://b/\u202ex", "s3://b/%2e%2e/x",
    "http://169.254.169.254/latest", "https://127.0.0.1:8855/x", "https://b.s3.amazonaws.com/x", "ftp://b/x", "S3://b/x",
    "file:///x/../../etc", "file://host/x", "file:x", "file:////etc/../x", "memory:///x", "gopher://b/x", "//b/x",
    "/etc/passwd",
    "s3a://b/x", "abfss://b/x", "data:,x", "s3://b/" + "../" * 20, "s3://" + "b" * 300 + "/x", "gs://$(touch x)/y", "az://;x/y",
]  # fmt: skip
IDS = [
    "..", ".", "../x", "a/b", "/etc", "a\0b", "", "A", "a" * 64, "a b", "-a", "\u00e4", "\u202ea",
    "a\nb", "con.", "a.b", "$(x)",
]  # fmt: skip


@pytest.mark.parametrize("url", PLACES, ids=range(len(PLACES)))
async def test_an_address_that_is_no_bucket_is_never_asked(tmp_path: Path, url: str) -> None:
    assert not is_place(url)
    here = await opened(tmp_path)
    here.own_word = lambda peer, address: True
    with pytest.raises(Barred):
        await here.send(Peer(id="there", addresses={"cloud": {"url": url}}), parcel(b"x"), LONG)


async def test_a_peers_own_manifest_names_no_bucket_for_us(tmp_path: Path, endpoint: str) -> None:
    store = Store(endpoint)
    here = await opened(tmp_path, endpoint=endpoint)
    for url in (store.url, "s3://elsewhere/x", f"file://{tmp_path}/x"):
        with pytest.raises(Barred, match="own configuration"):
            await here.send(Peer(id="there", addresses={"cloud": {"url": url}}), parcel(b"x"), LONG)
    here.own_word = lambda peer, url: (peer, url) == ("there", store.url)
    outcome = await here.send(Peer(id="there", addresses={"cloud": {"url": store.url}}), parcel(b"x"), LONG)
    assert outcome.word is Word.TAKEN and not (tmp_path / "x").exists()


@pytest.mark.parametrize("word", IDS, ids=range(len(IDS)))
async def test_an_id_that_is_none_makes_no_object(world: CloudWorld, word: str) -> None:
    for to, pid in ((word, "a" * 32), ("there", word)):
        with pytest.raises(Barred):
            await world.here.send(world.peer, Parcel(pid, "here", to, 4_000_000_000_000, b"x"), LONG)
    with pytest.raises(Barred):
        await world.here.send(Peer(id=word, addresses=world.peer.addresses), parcel(b"x", to=word), LONG)
    with pytest.raises(SettingsError):
        cloud.build({"fleet": FLEET, "node": word}, {})
    assert world.store.names() == [] and Key.read(FLEET, f"{FLEET}/{word}/here/0004000000000000.{'a' * 32}.m") is None


TRIGGERS = ["file:///x", "ftp://h/x", "https://u:p@h/x", "http://", "http://h/\nx", "http://[::1", "h/x"]


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_trigger_that_is_no_plain_url_is_refused(tmp_path: Path, trigger: str) -> None:
    with pytest.raises(SettingsError, match="trigger"):
        road(tmp_path, "here", trigger=trigger)


async def test_objects_that_are_no_parcels_are_passed_over(world: CloudWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    place = f"{FLEET}/there"
    for name in (
        "x", "here", "here/x", f"here/{'a' * 32}", f"HERE/0004000000000000.{'a' * 32}.m", f"here/4.{'a' * 32}.m",
        f"here/0004000000000000.{'A' * 32}.m", f"here/0004000000000000.{'a' * 32}.x",
        f"here/0004000000000000.{'a' * 32}.m/x",
    ):  # fmt: skip
        world.store.put(f"{place}/{name}", b"evil")
    world.store.put(f"{place}/huge/0004000000000000.{'b' * 32}.m", bytes(4 << 20))
    await world.send(b"honest")
    collector = Collector()
    async with listening(world, collector):
        assert await collector.wait_for(1) == [b"honest"]
        await world.send(b"honest again")
        assert await collector.wait_for(2) == [b"honest", b"honest again"]


async def test_an_object_that_grows_after_it_was_listed_is_left(world: CloudWorld) -> None:
    name = f"{FLEET}/there/evil/0004000000000000.{'b' * 32}.m"
    world.store.put(name, bytes(1 << 20))
    bucket = _bucket.Bucket(world.store.url, {"endpoint": world.endpoint, "allow_http": True}, {
        "aws_access_key_id": "a", "aws_secret_access_key": "b"})  # fmt: skip
    assert await bucket.read(name, 1 << 10) is None
    assert await bucket.read("not/there", 1 << 10) is None
    assert len(await bucket.read(name, 1 << 20) or b"") == 1 << 20


# ── two real nodes that only the store joins ─────────────────────────────────────────────────────────────────────────


def words(store: Store, endpoint: str, directory: Path, patience: float = 60.0) -> str:
    return (
        f'[channel.cloud]\nurl = "{store.url}"\nendpoint = "{endpoint}"\nregion = "us-east-1"\nallow_http = true\n'
        f'poll = 0.1\npatience = {patience}\ncredentials = "{credentials(directory)}"\n'
    )


async def until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(LONG):
        while not done():
            await asyncio.sleep(0.02)


async def test_a_message_arrives_by_the_store_alone_and_its_receipt_comes_home(tmp_path: Path, endpoint: str) -> None:
    store = Store(endpoint)
    async with Pair(tmp_path, "cloud", words(store, endpoint, tmp_path)) as pair:
        await pair.start("a")
        ids = await pair.send("one", "two", "three")
        await pair.until(lambda: all(pair.state(id) == "custody" for id in ids))
        await pair.start("b")
        await pair.received(ids)
        assert sorted(pair.arrived()) == ["one", "three", "two"]
        assert [(attempt.channel, attempt.result) for attempt in pair.attempts(ids[0])] == [("cloud", Result.TAKEN)]
        await pair.until(lambda: store.names() == [])  # the mail by a, the receipt by a too


def _each(change: Callable[[bytes], bytes]) -> Callable[[Store], None]:
    def lie(store: Store) -> None:
        for name in store.names():
            store.put(name, change(store.read(name)))

    return lie


def _swap(store: Store) -> None:
    names = store.names()
    for name, data in zip(names, [store.read(name) for name in reversed(names)], strict=True):
        store.put(name, data)


def _repeat(store: Store) -> None:
    for name in store.names():
        for n in range(9):
            store.put(f"{name.rpartition('/')[0]}/0004000000000000.{n:032x}.m", store.read(name))


def _elsewhere(sender: str, to: str) -> Callable[[Store], None]:
    def lie(store: Store) -> None:
        for name in store.names():
            store.put(f"simfleet/{to}/{sender}/{name.rpartition('/')[2]}", store.read(name))

    return lie


def _drop(store: Store) -> None:
    for name in store.names():
        store.delete(name)


LIES: dict[str, Callable[[Store], None]] = {
    "drop": _drop, "swap": _swap, "repeat": _repeat, "misaddress": _elsewhere("b", "a"), "impersonate": _elsewhere("c", "b"),
    "corrupt": _each(lambda data: data[:-1] + bytes([data[-1] ^ 1])), "cut": _each(lambda data: data[: len(data) // 2]),
    "empty": _each(lambda data: b""), "forge": _each(lambda data: os.urandom(len(data))),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
async def test_a_store_that_lies_loses_nothing_and_doubles_nothing(tmp_path: Path, endpoint: str, lie: str) -> None:
    store = Store(endpoint)
    async with Pair(tmp_path, "cloud", words(store, endpoint, tmp_path, patience=1.5)) as pair:
        await pair.start("a")
        ids = await pair.send("one", "two") + await pair.send("three")
        await pair.until(lambda: all(pair.state(id) == "custody" for id in ids))
        LIES[lie](store)
        await pair.start("b")
        await pair.received(ids)
        assert sorted(pair.arrived()) == ["one", "three", "two"]
        assert pair.arrived("a") == []


async def test_a_store_that_brings_back_what_was_settled_doubles_nothing(tmp_path: Path, endpoint: str) -> None:
    store = Store(endpoint)
    async with Pair(tmp_path, "cloud", words(store, endpoint, tmp_path)) as pair:
        await pair.start("a")
        ids = await pair.send("one")
        await pair.until(lambda: pair.state(ids[0]) == "custody")
        kept = {name: store.read(name) for name in store.names()}
        await pair.start("b")
        await pair.received(ids)
        await pair.until(lambda: store.names() == [])
        await pair.stop("b")
        for name, data in kept.items():
            store.put(name, data)
        await pair.start("b")
        await pair.received(await pair.send("two"))
        assert pair.arrived() == ["one", "two"]


async def test_nothing_in_the_store_can_be_read(tmp_path: Path, endpoint: str) -> None:
    store = Store(endpoint)
    secret = f"canary {secrets.token_hex(8)}"
    async with Pair(tmp_path, "cloud", words(store, endpoint, tmp_path)) as pair:
        await pair.start("a")
        ids = await pair.send(secret)
        await pair.until(lambda: pair.state(ids[0]) == "custody")
        assert store.names() and not [name for name in store.names() if secret.encode() in store.read(name)]


def test_the_road_loads_no_library_while_no_store_is_named() -> None:
    assert cloud.build({"fleet": FLEET, "node": "a"}, {}).traits.spare
