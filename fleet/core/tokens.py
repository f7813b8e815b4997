"""What keys, tokens and other secrets of machines look like; must never print one."""

from __future__ import annotations

import re
from binascii import Error, a2b_base64
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType

from fleet.core import passwords
from fleet.core.look import EDGE, Pattern, Span, has_digit, look
from fleet.core.passwords import is_reference

_ARMOUR = r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_ARMOURED = r"[A-Za-z0-9+/=\s\\:,.()-]{0,16384}+"  # also a key as JSON writes it, and the headers of an encrypted one
_PRIVATE_KEY = (
    rf"{_ARMOUR}{_ARMOURED}|AGE-SECRET-KEY-1[0-9A-Z]{{50,64}}|b3BlbnNzaC1rZXktdjE[A-Za-z0-9+/=\s]{{40,16384}}+"
)
_KEY_BODY = re.compile(r"[A-Za-z0-9+/]{40}|-----(?:\s*[\r\n]|\\+[rn])(?:\s|\\+[rn])*(?:Proc-Type|[A-Za-z0-9+/]{8})")
_KEY_END = re.compile(r"-----END [A-Z0-9 ]{1,64}-----")


def _find_private_keys(text: str) -> Iterator[Span]:
    """Find keys to their last line, also those that were cut; a first line alone stands in many a program."""
    for found in _private_key().finditer(text):
        if _KEY_BODY.search(found[0]):
            last = _KEY_END.search(found[0])
            yield found.start(), found.start() + last.end() if last else found.end()


@cache
def _private_key() -> re.Pattern[str]:
    return re.compile(_PRIVATE_KEY)


_AWS = (
    rf"{EDGE}(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{{16}}(?![A-Za-z0-9])"
    r"|(?i:secret_?access_?key|aws_?secret(?:_?key)?)[\\\"']{0,4}\s{0,4}[:=]\s{0,4}[\\\"']{0,4}"
    r"(?P<x>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
)
_GITHUB = rf"{EDGE}(?:gh[pousr]_[A-Za-z0-9]{{30,255}}|github_pat_[A-Za-z0-9_]{{20,255}})(?![A-Za-z0-9_])"
_JWT = rf"{EDGE}(?P<head>eyJ[A-Za-z0-9_-]{{8,4096}}+)\.[A-Za-z0-9_-]{{8,65536}}+\.[A-Za-z0-9_-]{{0,4096}}+"


def _is_jwt(found: re.Match[str]) -> bool:
    head = found["head"]
    try:
        read = a2b_base64(head.replace("-", "+").replace("_", "/") + "=" * (-len(head) % 4))
    except Error:
        return False
    return b'"alg"' in read or b'"typ"' in read


_KEY_NAMES = (
    r"api[_-]?key|x-api-key|access[_-]?token|auth[_-]?token|refresh[_-]?token|bearer[_-]?token|secret[_-]?key|"
    r"client[_-]?secret|signing[_-]?secret|webhook[_-]?secret"
)
_VENDOR_KEYS = (
    r"sk-(?:ant|proj|svcacct|admin|or-v1|lf)-[A-Za-z0-9_-]{10,512}",  # Anthropic, OpenAI, OpenRouter, Langfuse
    r"sk-[A-Za-z0-9]{20,64}",
    r"[srp]k_(?:live|test)_[A-Za-z0-9]{16,256}",
    r"whsec_[A-Za-z0-9+/]{24,128}",
    r"AIza[A-Za-z0-9_-]{35}",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,256}",
    r"xapp-[0-9]-[A-Za-z0-9-]{10,256}",
    r"glpat-[A-Za-z0-9_-]{20,64}",
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-[A-Za-z0-9_-]{50,512}",
    r"hf_[A-Za-z0-9]{30,64}",
    r"gsk_[A-Za-z0-9]{40,64}",
    r"xai-[A-Za-z0-9]{40,128}",
    r"dop_v1_[a-f0-9]{64}",
    r"dapi[a-f0-9]{32}",
    r"SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}",
)
_API_KEY = (
    rf"{EDGE}(?:{'|'.join(_VENDOR_KEYS)})(?![A-Za-z0-9_])"
    rf"|(?i:{_KEY_NAMES})[\\\"']{{0,4}}\s{{0,4}}[:=]\s{{0,4}}[\\\"']{{0,4}}(?P<x>[A-Za-z0-9_./+=-]{{16,512}}+)(?![(\[$])"
    r"|(?i:authorization:\s{0,4}(?:bearer|basic|token)|bearer) {1,4}(?P<y>[A-Za-z0-9_./+=~-]{20,4096}+)"
)
_REFERENCE = re.compile(r"[A-Za-z_]\w{0,64}(?:\.[A-Za-z_]\w{0,64}){1,8}$")


def _find_api_keys(text: str) -> Iterator[Span]:
    for found in _api_key().finditer(text):
        group = found.lastgroup or 0
        if group == 0 or (has_digit(found[group]) and not _REFERENCE.match(found[group])):
            yield found.span(group)


@cache
def _api_key() -> re.Pattern[str]:
    return re.compile(_API_KEY)


def _is_key(value: str) -> bool:
    return len(value) >= 16 and has_digit(value) and not any(one.isspace() for one in value) and not is_reference(value)


_DATABASES = (
    "postgres(?:ql)?|mysql|mariadb|mongodb|rediss?|amqps?|mssql|sqlserver|oracle|clickhouse|cockroachdb|snowflake|"
    "cassandra|neo4j|bolt|ldaps?"
)
_DATABASE_URL = (
    rf"{EDGE}(?P<x>(?i:(?:jdbc:)?(?:{_DATABASES})(?:\+[a-z0-9]{{1,16}})?)://[^\s:/@\"'<>\\`]{{0,128}}+"
    r":(?P<pw>[^\s@\"'<>\\`]{1,256}+)@[^\s\"'<>\\`]{0,1023}[^\s\"'<>\\`.,;:!?)\]}])"
)


def _has_password(found: re.Match[str]) -> bool:
    return not is_reference(found["pw"])

SECRETS: Mapping[str, Pattern] = MappingProxyType(
    {
        "private_key": Pattern("PRIVATE KEY|AGE-SECRET-KEY-1|b3BlbnNzaC1rZXktdjE", _find_private_keys),
        "database_url": Pattern(rf"(?i)(?:{_DATABASES})(?:\+[a-z0-9]+)?://[^\s/@]*:", look(_DATABASE_URL, _has_password)),
        "github_token": Pattern("gh[pousr]_[A-Za-z0-9]{8}|github_pat_", look(_GITHUB)),
        "aws_key": Pattern(
            r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{8}|(?i:secret_?access_?key|aws_?secret)",
            look(_AWS), "(?:aws)?secretaccesskey|awssecret(?:key)?", _is_key,
        ),
        "jwt": Pattern(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]", look(_JWT, _is_jwt)),
        "api_key": Pattern(
            rf"(?:\b|\\[nrt])(?:sk-[A-Za-z0-9]|[srp]k_(?:live|test)_|whsec_|AIza|xox[abeoprs]-|xapp-[0-9]|glpat-|npm_[A-Za-z0-9]|pypi-|"
            rf"hf_[A-Za-z0-9]{{8}}|gsk_|xai-|dop_v1_|dapi[a-f0-9]{{8}}|SG\.)|(?i:{_KEY_NAMES})[\\\"']*\s*[:=\x00]|"
            r"(?i:bearer|authorization:)\s+[A-Za-z0-9_./+=~-]{16}",
            _find_api_keys,
            "x?apikey|(?:access|auth|refresh|bearer)token|(?:secret|apisecret|encryption)key|"
            "(?:client|signing|webhook|api)secret", _is_key,
        ),
        "password": Pattern(passwords.SIEVE, passwords.find, passwords.KEY, passwords.fits),
    }
)  # in the order in which they lay claim to a text
# fmt: skip
