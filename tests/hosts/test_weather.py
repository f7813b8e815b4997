"""Random weather between three hosts, in short; `python -m tests.campaign net` is the long form."""

import pytest

from tests.campaign import net


@pytest.mark.tier("hosts")
def test_after_random_weather_every_accepted_message_is_there_exactly_once_and_the_links_heal() -> None:
    result = net.run(seed=20261121, seconds=20.0)
    assert result.findings == []
    assert result.accepted > 50
