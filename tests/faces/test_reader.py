import pytest

from fleet.faces.reader import BODY_LIMIT, HEAD_LIMIT, Reader, Reply, Request

HEAD = b"POST /message HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def reader() -> Reader:
    return Reader(lambda request: None, private=True)


def feed(data: bytes) -> list[Request | Reply]:
    return reader().feed(data)


def refused(found: list[Request | Reply]) -> int:
    (last,) = found
    assert isinstance(last, Reply)
    return last.status


def test_a_request_comes_out_whole() -> None:
    (request,) = feed(HEAD + b"Content-Length: 5\r\n\r\nhello")
    assert isinstance(request, Request)
    assert (request.method, request.path, request.body, request.last) == ("POST", "/message", b"hello", False)
    assert request.headers[b"host"] == b"x"


def test_a_request_in_single_bytes_is_the_same_request() -> None:
    parts = reader()
    found: list[Request | Reply] = []
    for byte in HEAD + b"Content-Length: 2\r\n\r\nhi":
        found += parts.feed(bytes([byte]))
    (request,) = found
    assert isinstance(request, Request) and request.body == b"hi"


def test_requests_behind_each_other_come_out_in_order() -> None:
    one = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
    found = feed(one + one.replace(b"/a", b"/b") + one.replace(b"/a", b"/c"))
    assert [request.path for request in found if isinstance(request, Request)] == ["/a", "/b", "/c"]


def test_a_body_in_chunks_is_put_together() -> None:
    (request,) = feed(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert isinstance(request, Request) and request.body == b"abcde"


def test_the_query_is_read_and_the_path_unquoted() -> None:
    (request,) = feed(b"GET /trace/%61?wait=received&timeout=5 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert isinstance(request, Request)
    assert request.path == "/trace/a" and request.query == {"wait": "received", "timeout": "5"}


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00", b"FLT1" + bytes(40), b"GET\r\n\r\n", b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", b"G\xffT / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 1e9\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nA b: c\r\n\r\n", b"GET / HTTP/1.1\r\n: empty\r\n\r\n", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_plain_request_is_refused(data: bytes) -> None:
    assert refused(feed(data)) == 400


def test_headers_without_an_end_are_refused_at_their_limit() -> None:
    parts = reader()
    found: list[Request | Reply] = []
    fed = 0
    while not found and fed < 4 * HEAD_LIMIT:
        found += parts.feed(b"GET / HTTP/1.1\r\nA: " if not fed else b"a" * 512)
        fed += 512
    assert refused(found) == 431
    assert fed <= HEAD_LIMIT + 1024


@pytest.mark.parametrize(
    "head", [b"GET /" + b"a" * HEAD_LIMIT + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 3000 + b"\r\n"]
)
def test_a_head_that_is_too_long_is_refused(head: bytes) -> None:
    assert refused(feed(head)) == 431


def test_a_length_beyond_the_limit_is_refused_before_a_byte_of_it_comes() -> None:
    assert refused(feed(HEAD + b"Content-Length: %d\r\n\r\n" % (BODY_LIMIT + 1))) == 413


def test_chunks_beyond_the_limit_are_refused_when_they_pass_it() -> None:
    parts = reader()
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    found = parts.feed(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(BODY_LIMIT // 0x100000 + 1):
        found += parts.feed(chunk)
    assert refused(found) == 413


def test_after_a_refusal_nothing_counts_any_more() -> None:
    parts = Reader(lambda request: Reply(401), private=False)
    assert refused(parts.feed(HEAD + b"Content-Length: 2\r\n\r\nhi")) == 401
    assert parts.feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == []


def test_a_header_that_comes_twice_matches_nothing() -> None:
    (request,) = feed(b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n")
    assert isinstance(request, Request)
    assert request.headers == {b"host": b"x, y", b"authorization": b"a, b"}


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"])
def test_the_last_request_is_known_as_the_last(head: bytes) -> None:
    (request,) = feed(head)
    assert isinstance(request, Request) and request.last
