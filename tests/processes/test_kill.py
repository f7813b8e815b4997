"""kill -9 of sender, receiver and broker under load, in short; `python -m tests.campaign kill` is the long form."""

from tests.campaign.kill import Rounds
from tests.support.nodes import World


def test_whatever_is_killed_every_accepted_message_is_there_exactly_once(world: World) -> None:
    rounds = Rounds(world, seed=20261121)
    for _ in range(3):
        rounds.play(kills=6)
    assert rounds.result.findings == []
    assert rounds.result.accepted > 200
    assert sum(rounds.result.kills.values()) == 18
