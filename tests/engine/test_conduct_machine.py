"""Trust, budget and breaker against their models: a sample of `python -m tests.campaign gates` in every run."""

import os

import pytest

from tests.campaign.gates import MODELS, run

SEQUENCES = int(os.environ.get("FLEET_TEST_SEQUENCES", "100"))  # of each model


@pytest.mark.parametrize("model", MODELS)
def test_no_sequence_is_over_by_a_unit_or_gains_a_level_or_state_without_its_rule(model: str) -> None:
    assert run(model, SEQUENCES) is None  # it raises with the seed that shows it
