"""The numbers fit each other; the wire's are those of the design and stay."""

import re
from pathlib import Path

import pytest

from fleet.core import policy
from fleet.core.envelope import KINDS
from fleet.core.parcel import SEAL_OVERHEAD, SIGNATURE

SOURCE = Path(policy.__file__).read_text()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WIRE_VERSION", 1), ("INTRO_LIMIT", 12_288), ("HEADER_LIMIT", 4096), ("PARCEL_LIMIT", 1_044_480), ("VIA_LIMIT", 8),
        ("ENVELOPE_LIMIT", 524_288), ("MESSAGE_LIMIT", 262_144), ("BATCH_ENVELOPES", 256), ("BATCH_BYTES", 262_144),
        ("SAFE_INTEGER", 2**53), ("WINDOW_RANGES", 4096), ("INCS_KEPT", 16), ("SEQ_BLOCK", 10_000), ("TTL", 604_800.0),
        ("TTL_COMMAND", 3600.0), ("TTL_BROADCAST", 60.0), ("JOIN_TRIES_PER_MINUTE", 5), ("JOIN_TRIES_TOTAL", 60),
        ("INVITE_SECRET", 16), ("INVITE_TTL", 600.0), ("TRUST_START", 2), ("TRUST_CEILING", 4),
    ],
)  # fmt: skip
def test_a_number_of_the_design_is_the_designs(name: str, value: float) -> None:
    assert getattr(policy, name) == value


def test_every_number_has_the_sentence_that_justifies_it() -> None:
    """A number stands on a line with a comment, or under one of a group."""
    silent = []
    group = False
    for line in SOURCE.splitlines():
        group = (group or line.startswith("#")) and bool(line.strip())
        if re.match(r"[A-Z_, ]+ = ", line) and "#" not in line and not group:
            silent.append(line)
    assert silent == []


def test_the_largest_envelope_fits_a_parcel() -> None:
    overhead = SEAL_OVERHEAD + 32 + 4 + SIGNATURE + 21
    assert policy.ENVELOPE_LIMIT + policy.INTRO_LIMIT + policy.HEADER_LIMIT + overhead < policy.PARCEL_LIMIT


def test_a_full_batch_fits_a_parcel() -> None:
    assert policy.BATCH_BYTES + policy.ENVELOPE_LIMIT + policy.INTRO_LIMIT + policy.HEADER_LIMIT < policy.PARCEL_LIMIT


def test_a_parcel_and_its_frame_fit_a_message_of_the_broker() -> None:
    assert policy.PARCEL_LIMIT + 6 + policy.VIA_LIMIT * 64 + 32 <= 1 << 20


def test_the_body_limit_leaves_room_for_the_rest_of_the_envelope() -> None:
    assert policy.MESSAGE_LIMIT + policy.CONTEXT_LIMIT < policy.ENVELOPE_LIMIT


def test_the_bounds_of_a_range_are_in_order() -> None:
    assert policy.HEDGE_MIN < policy.HEDGE_MAX
    assert policy.HOLD_JITTER[0] < 1 < policy.HOLD_JITTER[1]
    assert policy.BACKOFF_JITTER[0] < 1 < policy.BACKOFF_JITTER[1]
    assert policy.HOLD_CAP_PINGS < policy.HOLD_CAP_MAIL < policy.HOLD_CAP_IDLE
    assert policy.PING_DEADLINE_DEGRADED < policy.PING_DEADLINE <= policy.PING_SILENCE


def test_the_next_road_starts_before_the_first_one_is_given_up() -> None:
    for name, deadline in policy.DEADLINES.items():
        assert policy.HEDGE_SLOW.get(name, policy.HEDGE_MAX) <= deadline


def test_a_peer_survives_four_lost_heartbeats() -> None:
    assert policy.ALIVE_FOR > 4 * policy.HEARTBEAT


def test_no_type_lives_longer_than_a_receipt_may_travel() -> None:
    assert all(kind.ttl * 1000 <= policy.SYSTEM_LIFE < policy.FUTURE_LIMIT for kind in KINDS.values())


def test_tables_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        policy.DEADLINES["nats"] = 9.0  # type: ignore[index]
