"""Which stage is to blame for a turn over its budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.turn_budget import SHARES, over_budget

_stages = st.fixed_dictionaries({stage: st.integers(0, 5000) for stage in SHARES})


@pytest.mark.parametrize(
    ("stages", "blamed"),
    [
        ({"endpointing": 350, "llm": 800, "tts": 150}, "llm"),
        ({"endpointing": 700, "llm": 500, "tts": 100}, "endpointing"),  # 340 over its share, the model 200
        ({"endpointing": 350, "llm": 200, "transport": 700}, "transport"),
        ({"endpointing": 350, "llm": 250, "tts": 150}, None),
    ],
)
def test_the_stage_that_exceeds_its_share_the_most_is_to_blame(stages: dict[str, int], blamed: str | None) -> None:
    assert over_budget({**stages, "total": sum(stages.values())}, 1200) == blamed


def test_a_turn_without_a_total_breaks_no_budget() -> None:
    assert over_budget({}, 1200) is None
    assert over_budget({"llm": 9000}, 1200) is None


@given(_stages, st.integers(100, 60_000))
def test_a_turn_is_over_its_budget_or_has_nobody_to_blame(stages: dict[str, int], budget_ms: int) -> None:
    total = sum(stages.values())
    blamed = over_budget({**stages, "total": total}, budget_ms)
    assert (blamed is not None) == (total > budget_ms)
    if blamed is not None:
        assert stages[blamed] > SHARES[blamed] * budget_ms


def test_the_shares_are_the_whole_budget() -> None:
    assert sum(SHARES.values()) == pytest.approx(1)
