"""Attack 26: nothing of a peer is ever unpacked, no request and no body; what git unpacks has its limit first."""

import ast
import gzip
import io
import json
import zipfile
import zlib
from pathlib import Path

from fleet.core import sealing
from tests.attacks.test_lengths import GROWTH, Target
from tests.support.nodes import World
from tests.test_architecture import ROOT, dotted, imports, modules

UNPACKERS = {"bz2", "brotli", "gzip", "lz4", "lzma", "snappy", "tarfile", "zipfile", "zlib", "zstandard"}
MAY = {
    "fleet/faces/bugreport.py": {"tarfile.open", "tarfile.TarInfo", "gzip.GzipFile"},  # it writes an archive
    "fleet/core/content.py": {"zlib.crc32"},
    "channels/_git/repository.py": {"zlib.compress", "zlib.decompress", "zlib.error"},  # loose objects that this node wrote
}
ENCODINGS = ("gzip", "deflate", "br", "zstd", "compress", "gzip, gzip", "x-gzip", "identity, gzip")


def test_nothing_in_the_house_can_unpack_what_others_wrote() -> None:
    found = {path for path, tree in modules().items() for _, name in imports(tree) if name.split(".")[0] in UNPACKERS}
    assert found == set(MAY)
    for path, may in MAY.items():
        used = {dotted(node) for node in ast.walk(modules()[path]) if isinstance(node, ast.Attribute)}
        assert {name for name in used if name.split(".")[0] in UNPACKERS} <= may, path
    outgoing = (ROOT / "channels/_git/outgoing.py").read_text()
    assert "fetch" not in outgoing and '"pull"' not in outgoing, "what is decompressed was never fetched"


def _packed(data: bytes) -> dict[str, bytes]:
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    return {"gzip": gzip.compress(data, 9), "deflate": zlib.compress(data, 9), "br": raw.compress(data) + raw.flush()}


def test_packed_requests_are_refused_as_they_are_at_both_doors_and_cost_no_memory(world: World) -> None:
    target = Target(world)
    node, frame = target.node, sealing.frame(target.key, target.parcels()["ping"])
    bomb, deep = bytes(200 << 20), gzip.compress(gzip.compress(bytes(64 << 20)))
    bombs = {**_packed(bomb), "gzip, gzip": deep}
    message = json.dumps({"to": "a", "body": "x" * 100_000}).encode()
    before = target.memory()
    assert target.post(frame)[0] == 200
    for encoding in ENCODINGS:
        headers = {"Content-Encoding": encoding}
        for data in (*_packed(frame).values(), *bombs.values()):
            assert target.post(data, **headers) == (400, b""), encoding
        assert _ask(node.socket, message, encoding) == 200, "a label alone changes nothing: what is JSON is read as JSON"
        for data in (*_packed(message).values(), *bombs.values()):
            assert _ask(node.socket, data[: 8 << 20], encoding) == 400, encoding
    assert target.memory() - before < GROWTH
    assert set(node.arrived().values()) == {"x" * 100_000} and len(node.arrived()) == len(ENCODINGS)


def _ask(path: str, body: bytes, encoding: str) -> int:
    """POST a message to the local API with a Content-Encoding."""
    import socket

    head = f"POST /message HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Encoding: {encoding}\r\n"
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(20)
        line.connect(path)
        line.sendall(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        return int(line.recv(64).split(b" ")[1])


def _nested(levels: int, width: int) -> bytes:
    """A zip of zips as 42.zip is one."""
    data = bytes(4 << 20)
    for _ in range(levels):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(width):
                archive.writestr(f"{number}.zip", data)
        data = packed.getvalue()
    return data


def test_an_archive_in_a_body_stays_what_it_is(world: World) -> None:
    a, b = world.pair()
    bombs = [*_packed(bytes(20 << 20)).values(), _nested(3, 8)]
    bodies = [data.decode("latin-1") for data in bombs if len(data) < 60_000]
    assert len(bodies) == len(bombs)
    ids = a.send("b", *bodies)
    world.drained()
    assert [b.arrived()[id] for id in ids] == bodies
    assert all(path.stat().st_size < 8 << 20 for path in Path(b.home).rglob("*") if path.is_file())
