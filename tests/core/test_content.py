"""The content gate: fourteen kinds are found in values and marked or refused; nothing else is ever touched."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.core import canonical, policy
from fleet.core.actions import DEFAULTS, Action
from fleet.core.claims import KINDS, claims
from fleet.core.content import FINDINGS_KEPT, FINDINGS_LIMIT, ContentGate
from fleet.core.envelope import Envelope, content_of, read, stamp
from fleet.core.screened import UNSCREENED, Screened
from fleet.core.sealing import Secret

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
    "private_key": [OPENSSH, PKCS8, json.dumps({"pem": PKCS8}), PKCS8.replace("PRIVATE", "RSA PRIVATE"),
                    "-----BEGIN RSA PRIVATE KEY-----\nMIIEvQIBADAN..."],
    "database_url": [
        "postgresql://app:s3cret@db.example.com:5432/prod", "postgres://u:pw@localhost/x", "mysql://root:toor@10.0.0.5/app",
        "mongodb+srv://u:p4ss@cluster0.example.net/x?retryWrites=true", "redis://:hunter2@cache:6379/0",
        "postgresql+asyncpg://a:b@h/d",
    ],
    "api_key": [
        "sk-ant-api03-" + "aB3_" * 20, "sk-proj-" + "aB3d" * 12, "sk-" + "aB3d" * 12, "sk_live_" + "4eC39Hq" * 4,
        "AIza" + "SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY"[:35], "xoxb-123456789012-abcdefGHIJKL", "glpat-" + "aB3d" * 5,
        "Authorization: Bearer abcdef0123456789abcdef", 'api_key = "9f8e7d6c5b4a39281706"', "\\nsk-ant-" + "x1" * 12,
        "sk-proj-abc123def456", "sk-1234567890abcdefghij", "apikey: 12345678901234567890",
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


NEGATIVE = {
    "prose": (
        "We moved the loop out of the reader, so that a password: it is asked for once, is not read twice. The token budget "
        "is 1234567 tokens; passwords are hashed with argon2id. See section 4.2.1.3 of the risk-averse task-based plan."
    ),
    "placeholders": (
        "password = os.environ['DB_PASSWORD']\npassword=None\npassword: str = Field(min_length=8)\n"
        "password: ${DB_PASSWORD}\nPASSWORD=<your password>\npasswd = getpass()\ncheck(password=settings.secret.value)\n"
        "connect(password=password, user=user)\nif password == hunter2: pass\nkeys[password] = entry[1]\n"
        'FORCE_CHANGE_PASSWORD = "FORCE_CHANGE_PASSWORD"\n{"password": "string", "passwd": ""}\n'
        'label = {password: "Enter your password"}\nurl = f"postgresql://{user}:{password}@{host}/{db}"\n'
        "redis://localhost:6379/0 https://user:password@example.com/ api_key = config.providers.openai2.key_name"
    ),
    "ids": (
        "01934b7e5c1e7d3a8f0e9b6c2d4a5f10 5f2b9c3e-8d1a-4f6b-9c2e-7a1d0b3c4e5f "
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 commit 3dd14b8 build 20261121-040506 "
        "v1.2.3 1.10.0rc1 4.18.0-553.el8.x86_64 AKIAshort"
    ),
    "numbers": (
        "1732160000000 1732160000000000 1732160000000000000 3.141592653589793 4111111111111112 0.4111111111111111 1,234,567 "
        "0x4111111111111111 2026-11-21T04:05:06.789Z 04:05:06 +00:00 127.0.0.1 0.0.0.0 255.255.255.0 666-12-3456 1-2-3"
    ),
    "code": (
        "@app.route('/x')\nimport numpy as np  # npm i @scope/pkg@1.2.3 icon@2x.png getty@tty1.service\n"
        "git clone git@github.com:owner/repo.git && std::vector<int> a::b::c; actions/checkout@v4\n"
        'if line.startswith("-----BEGIN OPENSSH PRIVATE KEY-----"):\n    eyJ.eyJ.x sk-learn task-1 ghp_short\n'
        "+1234567890\n-1234567890\n@@ -1,7 +1,9 @@\n00:1b:44:11:3a:b7 fe:ed::"
    ),
    "people": "The name is taken. My name is still empty; 10 steps on the way, 2 roads, 3 lanes. Dr. no. Name: the file's.",
}


@pytest.mark.parametrize("sort", NEGATIVE)
def test_nothing_is_found_in_honest_text(sort: str) -> None:
    text = NEGATIVE[sort]
    assert [(claim.kind, text[claim.start : claim.end]) for claim in claims(text)] == []


def test_nothing_but_addresses_of_machines_is_found_in_the_code_of_this_project() -> None:
    found = {
        (claim.kind, path.name)
        for path in Path("fleet").rglob("*.py")
        for claim in claims(path.read_text())
        if claim.kind not in ("ip", "email")
    }
    assert found == set()


def gate(key: bytes = b"k" * 32, **actions: str | list[str]) -> ContentGate:
    """A gate with the defaults but for some kinds."""
    rows = {kind: [Action(word) for word in ([row] * 5 if isinstance(row, str) else row)] for kind, row in actions.items()}
    return ContentGate(lambda: Secret(key), {**DEFAULTS, **rows})


def everything(action: str, key: bytes = b"k" * 32) -> ContentGate:
    """A gate that does one thing with all kinds at all levels."""
    return gate(key, **dict.fromkeys(KINDS, action))


def screen(body: Any, level: int = 2, *, by: ContentGate | None = None, context: Any = None) -> Screened:
    return (by or gate()).screen(body, context, "bob", level)


# ── the defaults ─────────────────────────────────────────────────────────────────────────────────────────────────────
SECRETS = ("private_key", "database_url", "github_token", "aws_key", "jwt", "api_key", "password")
CONTACT = ("email", "phone", "ip", "name", "address")


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_is_blocked_below_level_three_redacted_there_and_passed_above(kind: str) -> None:
    text = POSITIVE[kind][0]
    for level in (0, 1, 2):
        refused = screen(text, level)
        assert refused.refusal.startswith("content: ") and f"{kind} at body" in refused.refusal
        assert refused.body is text and not refused.changed and refused.stamp == UNSCREENED
    assert f"[redacted:{kind}]" in screen(text, 3).body
    assert screen(text, 4).body is text


@pytest.mark.parametrize("kind", CONTACT)
def test_an_honest_message_passes_from_level_two_on(kind: str) -> None:
    for text in POSITIVE[kind]:
        for level in (2, 3, 4):
            found = screen(text, level)
            assert found.body is text and found.found == () and not found.refusal
        assert f"[redacted:{kind}]" in screen(text, 0).body
        assert re.search(rf"\[{kind}:[0-9a-f]{{12}}\]", str(screen(text, 1).body))


def test_a_refusal_says_what_where_at_which_level_and_what_would_change_it() -> None:
    body = {"env": [{"DB": "x"}, {"DB_PASSWORD": "hunter2"}], "note": POSITIVE["aws_key"][0]}
    said = screen(body).refusal
    assert said == (
        "content: password at body.env[1].DB_PASSWORD, aws_key at body.note; bob has level 2; "
        "take it out, or fleet trust bob 3"
    )
    assert screen("password=hunter2", by=everything("block")).refusal.endswith("bob has level 2; take it out")


def test_a_refusal_names_four_and_counts_the_rest() -> None:
    body = {f"k{n}": "password=hunter2" for n in range(9)}
    assert "body.k3 and 5 more; bob has level 2" in screen(body).refusal


# ── values, shapes, numbers ──────────────────────────────────────────────────────────────────────────────────────────
def test_only_strings_are_looked_at_and_only_what_was_found_is_replaced() -> None:
    body = {
        "to": "bob@example.com", "deep": [[{"x": ["see bob@example.com now", 4111111111111111, None, True, 1.5]}]],
        "password": 12345678, "phone": 15551234567, "pin": False,
    }  # fmt: skip
    found = screen(body, by=everything("redact"))
    assert found.body == {
        "to": "[redacted:email]", "deep": [[{"x": ["see [redacted:email] now", 4111111111111111, None, True, 1.5]}]],
        "password": 12345678, "phone": 15551234567, "pin": False,
    }  # fmt: skip
    assert [(one.kind, one.place) for one in found.found] == [
        ("email", "body.to"), ("email", "body.deep[0][0].x[0]"),
    ]  # fmt: skip


def test_what_did_not_change_is_the_very_object_that_came() -> None:
    body = {"a": {"b": ["c"]}, "d": "bob@example.com"}
    found = screen(body, by=everything("redact"))
    assert isinstance(found.body, dict) and found.body["a"] is body["a"] and found.body is not body
    assert screen(body).body is body


def test_the_context_is_screened_as_the_body_is() -> None:
    found = screen("hello", 3, context={"env": {"token": "x", "api-key": "a1b2c3d4e5f6a7b8c9"}})
    assert found.context == {"env": {"token": "x", "api-key": "[redacted:api_key]"}}
    assert [one.place for one in found.found] == ["context.env.api-key"]


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("password", "x", "password"), ("DB_PASSWORD", "correct horse", "password"), ("db-passwd", "hunter2", "password"),
        ("passphrase", "a b c", "password"), ("apiKey", "a1b2c3d4e5f6a7b8c9", "api_key"), ("ssn", "123456789", "ssn"),
        ("client_secret", "a1b2c3d4e5f6a7b8c9", "api_key"), ("mobile", "0151 23456789", "phone"),
        ("lastName", "Doe", "name"), ("street_address", "5 Rue X", "address"),
        ("aws_secret_access_key", "a1" * 20, "aws_key"),
    ],
)  # fmt: skip
def test_a_key_says_what_its_value_is(key: str, value: str, kind: str) -> None:
    assert screen({key: value}, by=everything("redact")).body == {key: f"[redacted:{kind}]"}
    assert screen({key: [value]}, by=everything("redact")).body == {key: [f"[redacted:{kind}]"]}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("password", ""), ("password", "string"), ("password", "${DB_PASSWORD}"), ("password", "********"),
        ("password", "Enter your password"), ("pwd", "/home/ana/project"), ("password_hash", "x9"), ("name", "Doe"),
        ("api_key", "OPENAI_API_KEY"), ("token", "next page"), ("address", "10:9"), ("passwords", "hunter2"),
    ],
)  # fmt: skip
def test_a_key_alone_makes_no_secret(key: str, value: str) -> None:
    body = {key: value}
    assert screen(body, by=everything("redact")).body is body


def test_what_may_not_pass_in_a_key_is_refused_because_a_key_cannot_be_replaced() -> None:
    body = {"a": {POSITIVE["aws_key"][0]: 1, "b": 2}}
    for by in (everything("redact"), everything("hash"), everything("block")):
        found = screen(body, by=by)
        assert found.body is body
        assert found.refusal.startswith("content: aws_key at body.a.#0; ")
    assert screen(body, by=everything("pass")).refusal == ""


def test_a_place_never_repeats_a_secret_or_an_odd_key() -> None:
    odd = "x" * 40
    body = {odd: "password=hunter2", "\x1b[2J": "password=hunter2", POSITIVE["aws_key"][0]: "password=hunter2"}
    places = {one.place for one in screen(body).found}
    assert places == {"body.#0", "body.#1", "body.#2"}


def test_a_place_is_cut() -> None:
    body: Any = "password=hunter2"
    for _ in range(policy.JSON_DEPTH):
        body = {"abcdefghij": body}
    (found,) = screen(body).found
    assert len(found.place) == 120 and found.place.endswith("…")


def test_what_holds_thousands_of_findings_is_refused_as_a_whole() -> None:
    found = screen({"log": ["a@b.example"] * FINDINGS_LIMIT}, by=everything("redact"))
    assert f"{FINDINGS_LIMIT} findings at body.log" in found.refusal
    assert len(found.found) <= 2 * FINDINGS_KEPT
    few = screen({"log": ["a@b.example"] * 100}, by=everything("redact"))
    assert few.changed and few.count == 100 and len(few.found) == FINDINGS_KEPT


# ── JSON in a text ───────────────────────────────────────────────────────────────────────────────────────────────────
def _leaves(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _leaves(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_leaves(item) for item in value]
    return "text" if isinstance(value, str) else value


PAYLOAD = {
    "password": 'pa"ss\\w\n0rd', "card": 4111111111111111, "n": [1.5, None],
    "log": f"line\n{POSITIVE['aws_key'][0]}\tbob@example.com",
    "pem": PKCS8, "phone": 15551234567, "text": "Mr. John O'Brien, 12 Main Street",
}  # fmt: skip


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_json_in_a_text_stays_the_json_it_was(depth: int) -> None:
    text: Any = PAYLOAD
    for _ in range(depth):
        text = json.dumps(text)
    found = screen(text, by=everything("redact"))
    assert isinstance(found.body, str)
    for secret in ("0rd", "AKIA", "bob@", "MC4C", "O'Brien"):
        assert secret not in found.body
    read: Any = found.body
    for _ in range(depth):
        read = json.loads(read)
    assert _leaves(read) == _leaves(PAYLOAD)
    assert read["password"] == "[redacted:password]"


def test_json_lines_stay_json_lines() -> None:
    text = "\n".join(json.dumps({"n": 4111111111111111, "to": f"u{n}@example.com"}) for n in range(3))
    found = screen(text, by=everything("hash"))
    lines = [json.loads(line) for line in str(found.body).splitlines()]
    assert [line["n"] for line in lines] == [4111111111111111] * 3
    assert len({line["to"] for line in lines}) == 3


def test_a_number_of_json_within_prose_is_left_alone() -> None:
    text = 'he sent {"card": 4111111111111111, "ok": true} yesterday'
    assert screen(text, by=everything("redact")).body is text


# ── marks ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_equal_values_get_equal_marks_and_different_ones_different() -> None:
    by = everything("hash")
    marks = [screen(text, by=by).body for text in ("a@x.example", "b@x.example", "a@x.example")]
    assert marks[0] == marks[2] != marks[1]
    assert re.fullmatch(r"\[email:[0-9a-f]{12}\]", str(marks[0]))
    assert len({screen(f"u{n}@x.example", by=by).body for n in range(2000)}) == 2000


def test_another_fleet_has_other_marks() -> None:
    here, there = (screen("a@x.example", by=everything("hash", key)).body for key in (b"a" * 32, b"b" * 32))
    assert here != there


@pytest.mark.parametrize("action", ["hash", "redact"])
@pytest.mark.parametrize("kind", KINDS)
def test_screening_twice_changes_nothing_more(kind: str, action: str) -> None:
    by = everything(action)
    for text in POSITIVE[kind]:
        once = screen({"x": text, "password": text}, by=by).body
        again = screen(once, by=by)
        assert again.body is once and again.count == 0


def test_the_stamp_tells_tables_and_levels_apart_that_do_different_things() -> None:
    by = gate()
    assert len({by.stamp(level) for level in range(5)}) == 5
    assert by.stamp(3) == gate().stamp(3) == screen("hello", 3).stamp
    assert by.stamp(3) != gate(jwt="block").stamp(3)
    assert everything("redact").stamp(0) == everything("redact").stamp(4)


def test_the_gate_says_in_one_line_what_it_does() -> None:
    assert gate().describe(4) == "level 4: everything passes"
    assert gate().describe(3) == (
        "level 3: redact private_key, database_url, github_token, aws_key, jwt, api_key, password; hash card, ssn; "
        "the rest passes"
    )


# ── anything at all ──────────────────────────────────────────────────────────────────────────────────────────────────
ANY_SECRET = st.sampled_from([text for texts in POSITIVE.values() for text in texts])
PIECES = st.lists(
    st.one_of(
        ANY_SECRET, st.text(max_size=12), st.text("\\\"':=@.{}[]-+ \n0149aAeyJ", max_size=16),
        st.sampled_from(["password", "[redacted:jwt]", "[email:0123456789ab]", "ssn ", "\\u0041", "-----BEGIN "]),
    ),
    max_size=6,
).map("".join)  # fmt: skip
JSON = st.recursive(
    st.one_of(
        PIECES, st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none()
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(PIECES, inner, max_size=4)),
    max_leaves=12,
)


def _same_but_for_text(one: Any, two: Any) -> bool:
    if isinstance(one, dict):
        return list(one) == list(two) and all(_same_but_for_text(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(_same_but_for_text, one, two))
    return isinstance(two, str) if isinstance(one, str) else one is two


@settings(max_examples=400, deadline=None)
@given(body=st.one_of(PIECES, st.dictionaries(PIECES, JSON, max_size=4)), action=st.sampled_from(["redact", "hash"]))
def test_whatever_comes_only_texts_change_once_and_the_envelope_stays_sound(body: Any, action: str) -> None:
    by = everything(action)
    found = screen(body, by=by)
    assert _same_but_for_text(body, found.body)
    envelope = Envelope(seq=1, exp=2, id="0" * 32, ts=1, body=found.body)
    assert read(stamp(content_of(envelope), 1, 2)).body == json.loads(canonical.encode(found.body))
    if not found.refusal:
        again = screen(found.body, by=by)
        assert again.body == found.body and again.count == 0


@settings(max_examples=200, deadline=None)
@given(value=JSON, action=st.sampled_from(["redact", "hash"]))
def test_whatever_json_a_text_holds_it_stays_json_with_the_same_numbers(value: Any, action: str) -> None:
    text = json.dumps({"a": value})
    found = screen(text, by=everything(action))
    if not found.refusal:
        assert _leaves(list(_walk(json.loads(found.body)))) == _leaves(list(_walk({"a": value})))


def _walk(value: Any) -> Any:
    """The values within a value, in order; keys of a text may be marked, too."""
    if isinstance(value, dict):
        return [_walk(item) for item in value.values()]
    return [_walk(item) for item in value] if isinstance(value, list) else value
