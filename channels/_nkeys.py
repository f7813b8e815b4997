"""The keys by which NATS knows a node: its public name and its signature; never shows a seed."""

from __future__ import annotations

import base64
from typing import Any

import nkeys  # type: ignore[import-untyped]

from fleet.core.sealing import Secret
from fleet.errors import SettingsError

Key = tuple[Secret, str]  # seed, public nkey


def sign(seed: Secret, nonce: str) -> bytes:
    """Sign what a broker asks of us at login, as it wants it."""
    return base64.b64encode(_pair(seed).sign(nonce.encode()))


def public_nkey(seed: Secret) -> str:
    """Derive the public nkey "U…" from a seed: 32 raw bytes or its text form. Raises SettingsError."""
    try:
        return str(_pair(seed).public_key.decode())
    except (nkeys.NkeysError, ValueError):
        raise SettingsError("the NATS key of this node is not an nkey seed") from None


def _pair(seed: Secret) -> Any:
    material = seed.reveal()
    text = material if len(material) != 32 else nkeys.encode_seed(material, nkeys.PREFIX_BYTE_USER)
    return nkeys.from_seed(text)
