"""Who may enter the broker: a member's nkey is its own word and must harm nobody else."""

import json

import pytest

from fleet.daemon.admission import Overlap, User, admit, authorization

ANA, BEN, EVE = (letter * 55 for letter in "ABE")
KEY = {name: "U" + key for name, key in (("ana", ANA), ("ben", BEN), ("eve", EVE))}
MEMBERS: list[User] = [("ana", KEY["ana"]), ("ben", KEY["ben"])]


def test_everybody_with_a_key_of_their_own_is_let_in() -> None:
    assert admit((), MEMBERS) == (tuple(MEMBERS), [])


@pytest.mark.parametrize(
    "user",
    [("Ana", KEY["eve"]), ("a.b", KEY["eve"]), ("", KEY["eve"]), ("eve", ""), ("eve", "x"), ("eve", KEY["eve"] + "\n"),
     ("eve", KEY["eve"] + '"'), ("eve", KEY["eve"].lower()), ("eve", "A" + EVE), ("*", KEY["eve"]), (">", KEY["eve"])],
)  # fmt: skip
def test_what_is_no_user_is_left_out_alone(user: User) -> None:
    assert admit((), [user, *MEMBERS]) == (tuple(MEMBERS), [user[0]])


def test_who_was_in_before_keeps_a_disputed_key() -> None:
    thief = ("eve", KEY["ana"])
    assert admit(MEMBERS, [thief, *MEMBERS]) == (tuple(MEMBERS), ["eve"])
    assert admit((), [*MEMBERS, thief]) == (tuple(MEMBERS), ["eve"])


def test_a_member_may_change_its_key_and_leave() -> None:
    changed = [("ana", KEY["eve"]), MEMBERS[1]]
    assert admit(MEMBERS, changed) == (tuple(changed), [])
    assert admit(MEMBERS, MEMBERS[:1]) == (tuple(MEMBERS[:1]), [])


def test_the_same_user_twice_is_one() -> None:
    assert admit((), [*MEMBERS, *MEMBERS]) == (tuple(MEMBERS), [])


def test_each_may_do_only_what_is_its_own() -> None:
    users = authorization("f", MEMBERS)["users"]
    assert [user["nkey"] for user in users] == [KEY["ana"], KEY["ben"]]
    assert users[0]["permissions"] == {
        "publish": {"allow": [
            "fleet.f.*.in", "fleet.f.*.box.ana.*", "$JS.API.CONSUMER.MSG.NEXT.fleet_f_ana.in",
            "$JS.ACK.fleet_f_ana.in.>", "$JS.ACK.*.*.fleet_f_ana.in.>",
        ]},
        "subscribe": {"allow": ["fleet.f.ana.in", "_INBOX.ana.>"]},
        "allow_responses": {"max": 1, "expires": "1m"},
    }  # fmt: skip


def test_who_runs_the_broker_makes_the_mailboxes_and_may_do_nothing_else_more() -> None:
    plain, house = (authorization("f", MEMBERS, house)["users"][0]["permissions"] for house in ("", "ana"))
    more = set(house["publish"]["allow"]) - set(plain["publish"]["allow"])
    assert more == {"$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.UPDATE.*", "$JS.API.CONSUMER.CREATE.*.in"}
    assert house["subscribe"] == plain["subscribe"]


def test_without_members_only_an_unknown_word_opens() -> None:
    first, second = authorization("f", []), authorization("f", [])
    assert "users" not in first and len(first["token"]) == 64 and first != second
    assert json.dumps(first)


def test_an_nkey_that_was_given_up_is_let_in_for_a_while_and_never_for_who_is_gone() -> None:
    overlap = Overlap(10.0)
    old, new = [("ana", KEY["ana"])], [("ana", KEY["eve"])]
    assert overlap.extend(old, 0.0) == old and not overlap.pending
    assert overlap.extend(new, 1.0) == [*new, *old] and overlap.pending
    assert overlap.extend(new, 10.9) == [*new, *old]
    assert overlap.extend(new, 11.0) == new and not overlap.pending
    overlap.extend(old, 12.0)
    assert overlap.extend([], 13.0) == []
