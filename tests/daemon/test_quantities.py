"""Durations, sizes, money and addresses as people write them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet.daemon import quantities
from fleet.daemon.quantities import duration, micro_dollars, show_dollars, show_duration, show_size, size, split_address


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5), ("30s", 30), ("10m", 600), ("2h", 7200), ("7d", 604_800), ("2w", 1_209_600), ("1.5h", 5400),
        ("1h30m", 5400), ("1d12h", 129_600), ("0s", 0), ("30", 30), ("0.25", 0.25), (30, 30), (0.5, 0.5), (0, 0),
    ],
)  # fmt: skip
def test_a_duration_is_read_as_seconds(text: str | float, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", " ", "m", "10 m", "10M", "-1s", "-1", "1e3", "10min", "1y", "ten", "10m ", "\n10m", "10m\n", "1_0s", "٣s",
     "1..5s",
     "nan", "inf", -1, float("nan"), float("inf"), True, None, [10], {"s": 1}, "9" * 400],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        duration(text)


@given(some.integers(0, 10**9))
def test_whole_seconds_survive_being_shown(seconds: int) -> None:
    assert duration(show_duration(seconds)) == seconds


@given(some.integers(0, 10**9))
def test_milliseconds_survive_being_shown(milliseconds: int) -> None:
    assert duration(show_duration(milliseconds / 1000)) == milliseconds / 1000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.05, "0.05s"), (90, "90s"), (60, "1m"), (3600, "1h"), (86_400, "1d"), (604_800, "7d")],
)
def test_a_duration_is_shown_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text


@given(some.text(max_size=12))
def test_no_text_at_all_makes_reading_fail_otherwise(text: str) -> None:
    for read in (duration, size, micro_dollars, split_address):
        try:
            read(text)
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("64MB", 64_000_000), ("64MiB", 67_108_864), ("64 MiB", 67_108_864), ("1kb", 1000), ("1KiB", 1024), ("2GB",
        2 * 10**9),
        ("1GiB", 1 << 30), ("1TiB", 1 << 40), ("7B", 7), ("7", 7), (7, 7), (0, 0),
    ],
)  # fmt: skip
def test_a_size_is_read_as_bytes(text: str | int, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize(
    "text", ["", "MB", "-1", "1.5MB", "1XB", "1MBB", "1  MB", "1MB\n", -1, 1.0, True, None, [], "9" * 99]
)
def test_what_is_no_size_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        size(text)


@given(some.integers(0, 1 << 50))
def test_a_size_survives_being_shown(count: int) -> None:
    assert size(show_size(count)) == count


@pytest.mark.parametrize(
    ("dollars", "micro"), [(5, 5_000_000), (0.1, 100_000), ("0.000001", 1), (0, 0), (1e6, 10**12), ("1.10", 1_100_000)]
)
def test_dollars_are_read_as_whole_micro_dollars(dollars: float | str, micro: int) -> None:
    assert micro_dollars(dollars) == micro


@pytest.mark.parametrize(
    "dollars",
    [-1, 0.0000001, "1e-7", float("nan"), float("inf"), "NaN", "-0.01", "five", "", True, None, "1e99", "1e999999999"],
)
def test_what_is_no_amount_is_refused(dollars: Any) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        micro_dollars(dollars)


@given(some.integers(0, 10**12))
def test_an_amount_survives_being_shown(micro: int) -> None:
    assert micro_dollars(show_dollars(micro)) == micro


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8856", "127.0.0.1", 8856), ("[::1]:80", "::1", 80), ("mac1.local:1", "mac1.local", 1),
        ("[fe80::1%eth0]:9", "fe80::1%eth0", 9), ("0.0.0.0:0", "0.0.0.0", 0), ("h:65535", "h", 65_535),
    ],
)  # fmt: skip
def test_an_address_is_split(text: str, host: str, port: int) -> None:
    assert split_address(text) == (host, port)


@pytest.mark.parametrize(
    "text",
    ["", "host", ":80", "host:", "host:x", "host:-1", "host:65536", "::1:80", "[h]:80", "a b:80", "-x:80", "h:80\n",
     "h:٣",
     "user@h:80", "h/x:80", "[]:80", "h:000080"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        split_address(text)


def test_the_units_of_a_size_are_those_of_the_docstring() -> None:
    assert "powers of 1000" in (quantities.__doc__ or "")
