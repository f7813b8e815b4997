"""What personal data looks like: numbers, mailboxes, names, places; must never take a version for an address."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType

from fleet.core.look import DIGIT_EDGE, Pattern, Span, digits, is_mixed, look

_CARD = rf"{DIGIT_EDGE}[2-6][0-9](?:[ -]?[0-9]){{11,17}}+(?![\w-]|\.[0-9])"
_BRANDS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}"
)


def _is_card(found: re.Match[str]) -> bool:
    """Apply the brands' lengths and the Luhn check."""
    number = digits(found[0])
    if not _BRANDS.fullmatch(number):
        return False
    doubled = sum(sum(divmod(2 * int(one), 10)) for one in number[-2::-2])
    return (doubled + sum(map(int, number[-1::-2]))) % 10 == 0


_SSN = (
    rf"{DIGIT_EDGE}(?!000|666|9)[0-9]{{3}}-(?!00)[0-9]{{2}}-(?!0000)[0-9]{{4}}(?![\w-]|\.[0-9])"
    r"|(?i:\bssn\b|social security(?: number| no\.?)?)[^0-9\n]{0,16}(?P<x>(?!000|666|9)[0-9]{3}[ -]?(?!00)[0-9]{2}[ -]?"
    r"(?!0000)[0-9]{4})(?![\w-])"
)
_PHONE = (
    rf"{DIGIT_EDGE}(?:\+[1-9][0-9]{{0,2}}(?:[ .-]?\(?[0-9]{{1,4}}\)?){{2,6}}+"
    r"|(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[.-])[0-9]{3}[.-][0-9]{4})(?![\w-]|\.[0-9])"
)


def _find_phones(text: str) -> Iterator[Span]:
    for found in _phone().finditer(text):
        number = found[0]
        if number[0] == "+" and (not 9 <= len(digits(number)) <= 15 or _added(text, found)):
            continue
        yield found.span()


@cache
def _phone() -> re.Pattern[str]:
    return re.compile(_PHONE)


def _added(text: str, found: re.Match[str]) -> bool:
    """Say whether a number is one that a patch adds: a plus at the start of a line, and digits alone."""
    return found[0][1:].isdigit() and found.start() > 0 and text[found.start() - 1] == "\n"


_IP = (
    r"(?<![\w.+-])(?P<v4>[0-9]{1,3}(?:\.[0-9]{1,3}){3})(?![\w-]|\.[0-9])"
    r"|(?<![\w:.])(?P<v6>[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}+)(?![\w:]|\.[0-9])"
)
_VERSION_BEFORE = re.compile(r"(?i)(?:version|release|build|section|chapter|clause|§|[=~<>^@]=?)[\"':]{0,3} ?$")


def _is_address(found: re.Match[str]) -> bool:
    """Leave out what is nobody's: loopback, masks, four-part versions, clock times, names joined by `::`."""
    import ipaddress

    word = found[0]
    try:
        address = ipaddress.ip_address(word)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified:
        return False
    if address.version == 4:
        return not word.startswith("255.") and not _VERSION_BEFORE.search(found.string[: found.start()][-12:])
    groups = [group for group in word.split(":") if group]
    return any(one.isdigit() for one in word) and (len(groups) > 2 or len(groups[0]) == 4)


_EMAIL = (
    r"(?<![A-Za-z0-9._%+/-])(?P<x>[A-Za-z0-9_%+](?:[A-Za-z0-9._%+'-]{0,62}[A-Za-z0-9_%+-])?"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}(?P<top>[A-Za-z]{2,24}))(?![A-Za-z0-9_]|-\w|:[^\s])"
)
_USER_PART = re.compile(r"://[^\s/@]{0,128}$")
_SUFFIXES = """png jpg jpeg gif svg webp ico js jsx ts tsx css html json py md txt lock toml yaml yml service socket timer
target mount scope"""
_FILES = frozenset(_SUFFIXES.split())  # icon@2x.png, getty@tty1.service


def _is_mailbox(found: re.Match[str]) -> bool:
    """Leave out file names with an @, and the host of a URL after its user and password."""
    start = found.start("x")
    return found["top"].lower() not in _FILES and not _USER_PART.search(found.string[max(0, start - 140) : start])


_WORD = r"[^\W\d_]{1,24}(?:['’-][^\W\d_]{1,24})?"
_NAME = (
    rf"(?:(?<!\w)(?:Mr|Mrs|Ms|Mx|Dr|Prof)\.? (?P<a>{_WORD}(?: {_WORD}){{0,2}})"
    rf"|(?<!\w)(?:[Mm]y|[Hh]is|[Hh]er|[Tt]heir|[Tt]he) (?:full )?name is (?P<b>{_WORD}(?: {_WORD}){{0,2}})"
    rf"|(?<!\w)(?:(?:Full|First|Last|Customer|Patient|Contact|Employee) )?[Nn]ame: ?(?P<c>{_WORD} {_WORD}(?: {_WORD})?)"
    rf"|(?<!\w)(?:Patient|Customer|Author|Signed-off-by|Co-[Aa]uthored-[Bb]y): ?(?P<d>{_WORD} {_WORD}(?: {_WORD})?))"
)
_NAME_KEY = (
    "(?:first|last|full|given|family|middle|maiden|patient|customer|contact|employee|person)name|surname|realname"
)


def _find_names(text: str) -> Iterator[Span]:
    for found in _name().finditer(text):
        start, end = found.span(found.lastgroup or 0)
        words = text[start:end].split(" ")
        proper = next((n for n, word in enumerate(words) if not _proper(word)), len(words))
        if proper > (found.lastgroup in ("c", "d")):
            yield start, start + len(" ".join(words[:proper]))


@cache
def _name() -> re.Pattern[str]:
    return re.compile(_NAME)


def _proper(word: str) -> bool:
    return word[0].isupper() and not word.isupper()


def _is_name(value: str) -> bool:
    return 2 <= len(value) <= 128 and all(one.isalpha() or one in " .-'’" for one in value) and value[0].isupper()


_PLACE = r"[^\W\d_][\w.'’-]{0,30}"
_STREET = (
    r"Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Way|Place|Pl|Square|Sq|Terrace|Ter|Parkway|"
    r"Pkwy|Highway|Hwy|Circle|Cir"
)
_ADDRESS = (
    rf"(?<![\w.:-])(?P<a>[0-9]{{1,6}}[A-Za-z]? (?P<road>{_PLACE}(?: {_PLACE}){{0,3}}?) (?:{_STREET})(?!\w)\.?"
    rf"(?:,? (?:Apt|Suite|Unit|Apartment)\.? ?#?\w{{1,8}})?)"
    r"|(?<!\w)(?P<b>[^\W\d_]{2,30}(?:straße|strasse|str\.|platz|allee|gasse|weg) [0-9]{1,4} ?[a-zA-Z]?)(?!\w)"
    r"|(?<!\w)(?P<c>(?i:P\.? ?O\.? Box) [0-9]{1,8})(?!\w)"
)
_ADDRESS_KEY = "(?:home|street|postal|mailing|billing|shipping|delivery)address(?:line)?[12]?|street"


def _is_place(found: re.Match[str]) -> bool:
    """Ask for proper names: `10 steps on the way` is no street."""
    named = found["road"] or found["b"]
    return not named or all(word[0].isupper() for word in (named.split(" ") if found["road"] else [named]))


def _has_house(value: str) -> bool:
    return is_mixed(value) and " " in value.strip()

PERSONAL: Mapping[str, Pattern] = MappingProxyType(
    {
        "card": Pattern(r"[2-6][0-9](?:[ -]?[0-9]){11}", look(_CARD, _is_card)),
        "ssn": Pattern(
            r"[0-9]{3}-[0-9]{2}-[0-9]{4}|(?i:\bssn\b|social.?security)", look(_SSN),
            "ssn|socialsecurity(?:number|no)?", lambda value: len(digits(value)) == 9 == len(value.replace("-", "")),
        ),
        "email": Pattern(r"[A-Za-z0-9_%+-]@[A-Za-z0-9-]+\.[A-Za-z0-9]", look(_EMAIL, _is_mailbox)),
        "phone": Pattern(
            r"\+[1-9][0-9]{0,2}[ .(-]?[0-9(]|[0-9]{3}(?:[.-]|\) ?)[0-9]{3}[.-][0-9]{4}|(?i:phone|mobile|fax)\w*\x00",
            _find_phones, "(?:tele|mobile|home|work|cell)?phone(?:number|no)?|mobile(?:number)?|fax",
            lambda value: 7 <= len(digits(value)) <= 15 and all(one in "0123456789 +()./-" for one in value),
        ),
        "ip": Pattern(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f]", look(_IP, _is_address)),
        "name": Pattern(
            r"\b(?:Mr|Mrs|Ms|Mx|Dr|Prof)\.? |(?i:\bname is |\bname: ?|Patient:|Customer:|Author:|Signed-off-by:|"
            r"Co-authored-by:|name\x00)",
            _find_names, _NAME_KEY, _is_name,
        ),
        "address": Pattern(
            rf"[0-9][A-Za-z]? [^\n]{{1,120}} (?:{_STREET})|(?:straße|strasse|str\.|platz|allee|gasse|weg) [0-9]|"
            r"(?i:O\.? Box )|(?i:address|street)\w*\x00",
            look(_ADDRESS, _is_place), _ADDRESS_KEY, _has_house,
        ),
    }
)  # in the order in which they lay claim to a text, after all secrets
# fmt: skip
