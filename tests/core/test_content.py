"""The content gate: fourteen kinds are found in values and marked or refused; nothing else is ever touched."""

import json

import pytest

from fleet.core.actions import DEFAULTS
from fleet.core.claims import KINDS, claims

JWT = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvIn0."
    "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
)
OPENSSH = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n"
    "QyNTUxOQAAACBXexampleexampleexampleexampleexampleexampleexample\n"
    "-----END OPENSSH PRIVATE KEY-----"
)
PKCS8 = (
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIExampleExampleExampleExampleExampleExample00\n"
    "-----END PRIVATE KEY-----"
)
POSITIVE = {
    "ssn": ["My SSN is 123-45-6789.", "ssn: 123456789", "Social Security Number: 123 45 6789"],
    "card": ["card 4111 1111 1111 1111 exp", "4111111111111111", "5555-5555-5555-4444", "amex 378282246310005"],
    "aws_key": [
        "AKIAIOSFODNN7EXAMPLE", "id=ASIAY34FZKBOKMUTVV7A,", "log\\nAKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    ],
    "github_token": ["ghp_" + "a1B2" * 9, "gho_" + "9zY8" * 9, "github_pat_11ABCDEFG0abcdefghijkl_" + "x1" * 20],
    "email": ["mail bob@example.com.", "<jane.doe+x@sub.example.co.uk>", "mailto:bob@example.org"],
    "jwt": [JWT, f"Cookie: session={JWT};"],
    "private_key": [OPENSSH, PKCS8, json.dumps({"pem": PKCS8}), PKCS8.replace("PRIVATE", "RSA PRIVATE")],
    "database_url": [
        "postgresql://app:s3cret@db.example.com:5432/prod", "postgres://u:pw@localhost/x", "mysql://root:toor@10.0.0.5/app",
        "mongodb+srv://u:p4ss@cluster0.example.net/x?retryWrites=true", "redis://:hunter2@cache:6379/0",
        "postgresql+asyncpg://a:b@h/d",
    ],
    "api_key": [
        "sk-ant-api03-" + "aB3_" * 20, "sk-proj-" + "aB3d" * 12, "sk-" + "aB3d" * 12, "sk_live_" + "4eC39Hq" * 4,
        "AIza" + "SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY"[:35], "xoxb-123456789012-abcdefGHIJKL", "glpat-" + "aB3d" * 5,
        "Authorization: Bearer abcdef0123456789abcdef", 'api_key = "9f8e7d6c5b4a39281706"', "\\nsk-ant-" + "x1" * 12,
    ],
    "password": [
        '{"user":"x","password": "hunter2"}', "password=hunter2", "DB_PASSWORD=geheim", "https://bob:hunter2@example.com/",
        'password = "s3cr3t"', "mysqldump --password hunter2 db",
        '{\\"password\\": \\"hun\\\\\\"ter2\\"}', "Passwort/pwd: Tr0ub4dor",
    ],
    "phone": ["call +1 555-123-4567", "(555) 123-4567", "+49 30 901820", "+442071838750", "555-123-4567"],
    "ip": ["from 203.0.113.7", "2001:db8::1", "fe80::1ff:fe23:4567:890a", "http://192.168.1.20:8080/"],
    "name": ["Dear Mr. John Smith,", "my name is Jane Doe", "Name: John Smith", "Co-authored-by: Jane Doe"],
    "address": ["lives at 123 Main Street, Apt 4B", "742 Evergreen Terrace", "Hauptstraße 12", "P.O. Box 123"],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in POSITIVE.items() for text in texts])
def test_every_kind_is_found_where_it_stands(kind: str, text: str) -> None:
    assert kind in [claim.kind for claim in claims(text)]


def test_all_fourteen_kinds_are_looked_for() -> None:
    assert set(POSITIVE) == set(KINDS) == set(DEFAULTS)
    assert len(KINDS) == 14
