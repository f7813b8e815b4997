"""The git road against a bare `git push`, and how many pushes a heap of waiting mail takes; never a remote over the network.

    .venv/bin/python benchmarks/git.py [--json] [--times 40] [--messages 1000]

The bare push is `git push` of one ref with a commit of the same size that was made beforehand; ours is send() of the road,
from the parcel's bytes to custody. They take turns; the median of each counts. Pushes are counted by a hook of the remote:
those until everything is in custody, then those until it is received and taken back again, receipts included.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import uvloop
from table import Row, percentile, show, talk

from channels import git
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.faces import bench
from fleet.faces.local import LINES, Client
from fleet.faces.sandbox import Member, Sandbox, wait_until

ENVIRON = {
    "PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x@x", "GIT_COMMITTER_NAME": "x", "GIT_COMMITTER_EMAIL": "x@x",
}  # fmt: skip
BODY = "x" * 1024
WAITING = 300.0


def main() -> int:
    """Measure, print, and say with the exit code whether every target holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--times", type=int, default=40)
    parser.add_argument("--messages", type=int, default=1000)
    args = parser.parse_args()
    where = bench.on_disk(Path.cwd(), talk)
    rows = []
    for size, name in ((1024, "1 KiB"), (250_000, "250 kB")):
        with Sandbox(where, "bench-git-") as sandbox:
            bare, ours = uvloop.run(in_turn(sandbox.home, size, args.times))
        rows += [
            Row(f"bare git push, {name}", bare, "ms"),
            Row(f"the git road, {name}", ours, "ms", bare, "bare git push", most=1.5),
        ]
    with Sandbox(where, "bench-git-") as sandbox:
        rows += heap(sandbox, args.messages)
    return show(rows, args.json)


def run(*words: str, cwd: Path, stdin: bytes = b"") -> str:
    """Run git in an environment of its own."""
    done = subprocess.run(["git", *words], cwd=cwd, env=ENVIRON, input=stdin, capture_output=True, check=True)
    return done.stdout.decode().strip()


async def in_turn(home: Path, size: int, times: int) -> tuple[float, float]:
    """Push by hand and through the road in turn; the median of each, ms."""
    talk(f"{times} pushes of each kind, {size} bytes")
    for name in ("bare.git", "road.git", "work.git"):
        run("init", "--quiet", "--bare", name, cwd=home)
    work, commits = home / "work.git", []
    for _ in range(times):
        blob = run("hash-object", "-w", "--stdin", cwd=work, stdin=os.urandom(size))
        tree = run("mktree", cwd=work, stdin=f"100644 blob {blob}\tmail\n".encode())
        commits.append(run("commit-tree", tree, "-m", "mail", cwd=work))
    remote = str(home / "road.git")
    road = git.build({"remote": remote, "node": "here", "fleet": "bench", "state": home / "state"}, {})
    await road.open()
    took: dict[str, list[float]] = {"bare": [], "ours": []}
    for commit in commits:
        began = time.perf_counter()
        await asyncio.to_thread(run, "push", "--quiet", "--force", str(home / "bare.git"), f"{commit}:refs/mail/x", cwd=work)
        took["bare"].append(time.perf_counter() - began)
        parcel = Parcel(secrets.token_hex(16), "here", "there", 4_000_000_000_000, os.urandom(size))
        began = time.perf_counter()
        await road.send(Peer(id="there"), parcel, 30)
        took["ours"].append(time.perf_counter() - began)
        await road.forget(Peer(id="there"), [parcel.pid])  # a mailbox of one, as the bare push has
    await road.close()
    return percentile(took["bare"], 50) * 1000, percentile(took["ours"], 50) * 1000


def heap(sandbox: Sandbox, messages: int) -> list[Row]:
    """Let mail wait for a peer that only git reaches; count the pushes."""
    remote = sandbox.home / "mail.git"
    run("init", "--quiet", "--bare", str(remote), cwd=sandbox.home)
    hook, pushed = remote / "hooks" / "post-receive", remote / "pushed"
    hook.write_text("#!/bin/sh\ncat >/dev/null\necho >> pushed\n")
    hook.chmod(0o755)
    pushed.write_text("")
    a, b = sandbox.fleet_of(("a", "b"), {}, talk)
    for member in (a, b):
        member.stop()
        for key, value in (("order.channels", "git"), ("channel.git.remote", str(remote)), ("channel.git.poll", "0.2s")):
            member.fleet("config", "set", key, value)
    a.start()
    talk(f"{messages} messages wait for a peer that only git reaches")
    client = Client(a.socket, WAITING)
    line = b'{"to":"b","body":"%s"}\n' % BODY.encode()
    client.ask("POST", "/message", line * messages, LINES)
    client.close()
    wait_until(lambda: states(a) == {"custody": messages}, WAITING, "custody")
    out = len(pushed.read_text().splitlines())
    b.start()
    wait_until(lambda: not states(a), WAITING, "receipts")
    box = "refs/fleet/sandbox/b/a"
    wait_until(lambda: run("ls-tree", "--name-only", box, cwd=remote) == "", WAITING, "an empty mailbox")
    everything = len(pushed.read_text().splitlines())
    return [
        Row(f"pushes for {messages} waiting 1-KiB messages", out, "pushes", most=10),
        Row("with receipts and taking back", everything, "pushes"),
    ]


def states(member: Member) -> dict[str, int]:
    """Count what waits by its state."""
    found: dict[str, int] = {}
    for message in member.fleet("outbox"):
        found[message["state"]] = found.get(message["state"], 0) + 1
    return found


if __name__ == "__main__":
    sys.exit(main())
