"""What Fleet is measured against: JetStream through nats-py, and a bare request with two fdatasync; no line of Fleet.

Publisher and consumer are processes of their own, as Fleet's two daemons are. Run as a script it is the other process.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import nats
import uvloop
from nats.js import JetStreamContext
from table import percentile

BODY = b"x" * 1024
STREAM, SUBJECT = "BENCH", "bench.in"
FETCH = 256
PUBLISHERS = 64


def config(directory: Path, port: int, sync: str) -> Path:
    """Write a server configuration with JetStream on disk; `sync` "" = the server's default (two minutes)."""
    path = directory / "server.conf"
    always = f", sync_interval: {sync}" if sync else ""
    path.write_text(f"listen: 127.0.0.1:{port}\njetstream {{store_dir: '{directory}/js'{always}}}\n")
    return path


async def _stream(url: str) -> tuple[nats.NATS, JetStreamContext]:
    client = await nats.connect(url)
    stream = client.jetstream(publish_async_max_pending=4000, timeout=30)
    await stream.add_stream(name=STREAM, subjects=[SUBJECT])
    return client, stream


async def publish(url: str, messages: int, publishers: int) -> float:
    """Publish and await each ack, `publishers` at a time; messages a second."""
    client, stream = await _stream(url)
    left = messages

    async def one() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await stream.publish(SUBJECT, BODY)

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(publishers)))
    took = time.perf_counter() - began
    await client.close()
    return messages / took


async def piped_beside(url: str, messages: int) -> float:
    """Publish without waiting while another process fetches and acks; end to end, messages a second."""
    client, stream = await _stream(url)
    other = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "consume", url, str(messages), stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    await other.stdout.readline()
    began = time.perf_counter()
    await _pour(stream, messages)
    await other.stdout.readline()  # everything was fetched and acked, the acks have reached the server
    took = time.perf_counter() - began
    await other.wait()
    await client.close()
    return messages / took


async def piped_in_turn(url: str, messages: int) -> float:
    """Publish without waiting, then fetch and ack, on one connection; end to end, messages a second."""
    client, stream = await _stream(url)
    puller = await stream.pull_subscribe(SUBJECT, durable="bench", stream=STREAM)
    began = time.perf_counter()
    await _pour(stream, messages)
    await _drain(puller, messages)
    await client.flush()
    took = time.perf_counter() - began
    await client.close()
    return messages / took


async def _pour(stream: JetStreamContext, messages: int) -> None:
    for _ in range(messages):
        await stream.publish_async(SUBJECT, BODY, wait_stall=30)
    await stream.publish_async_completed()


async def _drain(puller: JetStreamContext.PullSubscription, messages: int) -> None:
    got = 0
    while got < messages:
        for message in await puller.fetch(min(FETCH, messages - got), timeout=30):
            await message.ack()
            got += 1


async def consume(url: str, messages: int) -> None:
    """Fetch and ack until all have come."""
    client = await nats.connect(url)
    puller = await client.jetstream().pull_subscribe(SUBJECT, durable="bench", stream=STREAM)
    print("ready", flush=True)
    await _drain(puller, messages)
    await client.flush()
    print("done", flush=True)
    await client.close()


async def request_and_sync(url: str, directory: Path, rounds: int) -> float:
    """A journal line and fdatasync, a request; the other side the same before it replies: p50 in ms."""
    other = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "respond", url, str(directory / "other.journal"), stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    await other.stdout.readline()
    client = await nats.connect(url)
    journal = os.open(directory / "own.journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        os.write(journal, BODY)
        os.fdatasync(journal)
        await client.request("floor", BODY, timeout=5)
        took.append(time.perf_counter() - began)
    os.close(journal)
    await client.close()
    other.kill()
    await other.wait()
    return percentile(took[rounds // 10 :], 0.5) * 1000


async def respond(url: str, path: str) -> None:
    """Answer each request after it is on the disk."""
    client = await nats.connect(url)
    journal = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def answer(message: nats.aio.msg.Msg) -> None:
        os.write(journal, message.data)
        os.fdatasync(journal)
        await message.respond(b"ok")

    await client.subscribe("floor", cb=answer)
    await client.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    role, url, rest = sys.argv[1:4]
    uvloop.run(consume(url, int(rest)) if role == "consume" else respond(url, rest))
