"""The cloud road against moto's S3 server, stubs that refuse and stores that lie; nothing leaves this machine."""

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from channels import cloud
from channels.cloud import Cloud
from fleet.core.peer import Peer
from tests.channels.contract import OneWayRoad, World

FLEET = "fleet-1"


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """moto's S3 server in a thread of its own; gives its address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as address:
        yield address


def client(endpoint: str) -> Any:
    """Another library's view of the store."""
    words = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=endpoint, **words)


def bucket(endpoint: str) -> str:
    name = f"b-{secrets.token_hex(6)}"
    client(endpoint).create_bucket(Bucket=name)
    return name


def road(directory: Path, node: str, **settings: Any) -> Cloud:
    directory.mkdir(exist_ok=True)
    keys = directory / "credentials"
    keys.write_text("AWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY=b\n")
    keys.chmod(0o600)
    common = {"fleet": FLEET, "node": node, "poll": 0.05, "allow_http": True, "region": "us-east-1"}
    return cloud.build({**common, "credentials": str(keys), **settings}, {})


class CloudWorld(World):
    endpoint = ""

    async def start(self) -> None:
        self.bucket = bucket(self.endpoint)
        url = f"s3://{self.bucket}/mail/box"
        self.here = road(self.directory, "here", others=[url], endpoint=self.endpoint)
        self.there = road(self.directory, "there", url=url, endpoint=self.endpoint)
        self.peer = Peer(id="there", addresses={"cloud": {"url": url}})
        for channel in (self.here, self.there):
            await channel.open()


class TestContract(OneWayRoad):
    World = CloudWorld

    @pytest.fixture(autouse=True)
    def _server(self, endpoint: str) -> None:
        CloudWorld.endpoint = endpoint
