"""Which stage of a turn broke its latency budget. Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

SHARES: Final[Mapping[str, float]] = MappingProxyType(
    {"endpointing": 0.30, "stt": 0.15, "llm": 0.25, "sentence": 0.10, "tts": 0.15, "transport": 0.05}
)
"""The part of the budget that each stage may take, in the order in which a turn passes them; together 1.

Of 1,200 ms: 360 for the silence that ends the speech and the decision that the turn has ended, 180 for the transcript,
300 to the model's first text, 120 to its first sentence, 180 to the voice's first audio, 60 to the room.
"""


def over_budget(stage_ms: Mapping[str, int], budget_ms: int) -> str | None:
    """The stage to blame for a turn over its budget: the one that exceeds its share by the most milliseconds.

    The stages add up to `total` and the shares to the budget, so at least one stage of such a turn exceeds its share.

    Args:
        stage_ms: See `Marks.stage_ms`.

    Returns:
        None within the budget, and for a turn whose total is unknown: nothing was heard, or the text was typed.
    """
    if stage_ms.get("total", 0) <= budget_ms:
        return None
    return max(SHARES, key=lambda stage: stage_ms.get(stage, 0) - SHARES[stage] * budget_ms)
