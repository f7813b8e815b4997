"""Three hosts with every carrying road between a and b: c is chief, broker, git host and object store; needs root.

with AllRoads() as house:
    house.only("git", "seed")                       # a reaches b by git alone, b reaches a by seed alone
    house.a.send("b", "hello"); house.heal()

Every road has a TCP port of its own, so that the net alone can cut it, one direction at a time.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from tests.support.netns import Net, placed
from tests.support.nodes import Node, World, until
from tests.support.sshd import SshServer, receive_command

CARRYING = ("cloud", "nats", "http", "relay", "seed", "ssh", "git")
NATS, HTTP, SEED, SSH, GIT, STORE = 4222, 8856, 2023, 2022, 2222, 9000
PORTS = {"cloud": STORE, "nats": NATS, "relay": HTTP, "git": GIT}  # of roads that lead through c
DIRECT = {"http": HTTP, "seed": SEED, "ssh": SSH}
BUCKET = "mail"
MAKE_BUCKET = f"""
import boto3, sys
boto3.client("s3", endpoint_url=sys.argv[1], aws_access_key_id="a", aws_secret_access_key="b",
             region_name="us-east-1").create_bucket(Bucket="{BUCKET}")
"""


class AllRoads:
    """The net, the servers and the nodes; everything ends with the `with` block."""

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def _build(self) -> None:
        self.net = self._stack.enter_context(Net("a", "b", "c"))
        self.world = self._stack.enter_context(World())
        self.c = self.world.found("c", **placed(self.net["c"]))
        self.a, self.b = (self.world.join(name, self.c, **placed(self.net[name])) for name in "ab")
        self._serve_store()
        self._serve_git()
        for node in (self.a, self.b):
            node.terminate()
            self._configure(node)
            node.start()
        self._introduce(self.a, self.b)
        self._introduce(self.b, self.a)
        for node, other in ((self.a, "b"), (self.b, "a")):
            for road in ("nats", "http", "ssh"):
                assert node.ok("ping", other, "--channel", road)["ok"], road

    def _sshd(self, name: str, port: int, at: str) -> SshServer:
        host = self.net[at]
        server = SshServer(self.world.home / f"sshd-{name}", host.address, port=port, prefix=host.exec)
        return self._stack.enter_context(server)

    def _serve_store(self) -> None:
        host = self.net["c"]
        self.endpoint = f"http://{host.address}:{STORE}"
        command = [*host.exec, sys.executable, "-m", "moto.server", "-H", host.address, "-p", str(STORE)]
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.world.home)}
        moto = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._stack.callback(lambda: (moto.kill(), moto.wait()))
        until(lambda: self._bucket_made(), "the object store is up")

    def _bucket_made(self) -> bool:
        made = [*self.net["c"].exec, sys.executable, "-c", MAKE_BUCKET, self.endpoint]
        return subprocess.run(made, capture_output=True, timeout=30).returncode == 0

    def _serve_git(self) -> None:
        self.git = self._sshd("git", GIT, "c")
        path = self.world.home / "mail.git"
        subprocess.run(["git", "init", "-q", "--bare", path], check=True, timeout=30)
        words = self.git.words()
        self.remote = f"ssh://{words['user']}@{words['host']}:{words['port']}{path}"

    def _configure(self, node: Node) -> None:
        keys = node.home / "keys" / "store"
        keys.write_text("AWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY=b\n")
        keys.chmod(0o600)
        settings = {
            "channel.git.remote": self.remote, "channel.git.identity": str(self.git.identity),
            "channel.git.host_key": self.git.host_key, "channel.git.poll": "0.5",
            "channel.cloud.url": f"s3://{BUCKET}/fleet", "channel.cloud.endpoint": self.endpoint,
            "channel.cloud.region": "us-east-1", "channel.cloud.allow_http": "true",
            "channel.cloud.credentials": str(keys), "channel.cloud.poll": "0.5",
            "channel.wol.enabled": "false",  # nobody sleeps here, and a wake-up is waited for
        }  # fmt: skip
        for key, value in settings.items():
            node.ok("config", "set", key, value)

    def _introduce(self, node: Node, peer: Node) -> None:
        """Tell a node with what to log in at a peer: one sshd for each of the two roads, tied to `fleet receive`."""
        words = []
        for road, port in (("ssh", SSH), ("seed", SEED)):
            server = self._sshd(f"{peer.name}-{road}", port, peer.name)
            server.authorize(f'restrict,command="{receive_command(peer.home)}"')
            words += [f"{road}.{key}={value}" for key, value in server.words().items()]
        node.ok("peer", "set", peer.name, *words)

    # ── the cuts ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def only(self, out: str | Sequence[str], back: str | Sequence[str]) -> None:
        """Let a reach b by `out` alone, and b reach a by `back` alone. nats has no directions: it is open or not."""
        for source, target, kept in (("a", "b", out), ("b", "a", back)):
            for road in CARRYING:
                if road not in kept if not isinstance(kept, str) else road != kept:
                    self.cut(road, source, target)

    def cut(self, road: str, source: str, target: str) -> None:
        """Let all that `source` sends to `target` by one road vanish."""
        if road in DIRECT:
            self.net.drop(source, target, DIRECT[road])
        else:
            self.net.drop(source, "c", PORTS[road])

    def heal(self) -> None:
        """Blue sky, and every link that pings proven again."""
        self.net.heal()
        for node, other in ((self.a, "b"), (self.b, "a")):
            for road in ("nats", "http"):
                until(lambda: node.link(other, road) == "healthy", f"{node.name} trusts {road} again", 60)  # noqa: B023

    def roads_that_took(self, node: Node, id: str) -> set[str]:
        """The roads that brought a message further, as `fleet trace` tells."""
        trace: dict[str, Any] = node.ok("trace", id)
        return {one["channel"] for one in trace["attempts"] if one["result"] in ("delivered", "taken")}
