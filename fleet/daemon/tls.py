"""The parcel door's TLS certificate: self-signed, its own key, pinned through the manifest; it proves an address, no node.

Whoever a parcel is from and for is proven by the parcel itself; TLS keeps the fleet key's tags, sizes and rhythms from the
network and lets a sender notice an impostor before it shows him anything.
"""

from __future__ import annotations

import datetime
import hashlib
import ssl
from pathlib import Path

from fleet.store.files import atomic_write, check_private

NAME = "tls.pem"
_YEARS = 30  # the pin is what is trusted, and it changes by manifest; the date only has to be valid


def door_certificate(keys: Path, node: str) -> tuple[ssl.SSLContext, str]:
    """Load the door's key and certificate, making them the first time; gives the context and the certificate's PEM.

    Raises LooseKey or StoreError.
    """
    path = keys / NAME
    if not path.exists():
        atomic_write(path, _make(node))
    check_private(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(path)
    text = path.read_text("ascii")
    return context, text[text.index("-----BEGIN CERTIFICATE-----") :]


def fingerprint(pem: str) -> str:
    """Name a certificate by its SHA-256, hex."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def _make(node: str) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.x509.oid import NameOID

    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=365 * _YEARS))
        .sign(key, None)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)
