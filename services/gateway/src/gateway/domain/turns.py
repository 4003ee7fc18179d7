"""The latency of an answer against its budget."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from contracts.api_v1 import LastTurn, TurnStage, TurnTiming
from contracts.events import TurnFinished

TOTAL: Final = "total"
LABELS: Final[Mapping[str, str]] = {
    "endpointing": "wait for the end of the caller's turn",
    "stt": "speech to text",
    "turn": "decision that the caller has finished",
    "llm": "first words of the language model",
    "sentence": "first whole sentence",
    "tts": "first audio of the voice",
    "transport": "way into the room",
}


def over_budget(turn: TurnFinished, budget_ms: int) -> str | None:
    """The stage to blame for an answer beyond the budget; None: within it, or its latency is unknown.

    The node has judged by its own budget. For an older node, by `budget_ms`, it is the stage that took longest.
    """
    if turn.budget_ms:
        return turn.over or None
    stages = {name: ms for name, ms in turn.stage_ms.items() if name != TOTAL}
    if turn.stage_ms.get(TOTAL, 0) <= budget_ms or not stages:
        return None
    return max(stages, key=lambda name: stages[name])


def last_turn(turn: TurnFinished, budget_ms: int) -> LastTurn:
    return LastTurn(
        n=turn.n,
        epoch=turn.epoch,
        at=turn.time,
        latency_ms=turn.stage_ms.get(TOTAL),
        over_budget=over_budget(turn, budget_ms),
    )


def timing(turn: TurnFinished, requested_at: datetime, budget_ms: int) -> TurnTiming:
    return TurnTiming(
        n=turn.n,
        epoch=turn.epoch,
        at=turn.time,
        offset_ms=offset_ms(turn.time, requested_at),
        interrupted=turn.interrupted,
        total_ms=turn.stage_ms.get(TOTAL),
        budget_ms=turn.budget_ms or budget_ms,
        over_budget=over_budget(turn, budget_ms),
        stages=[
            TurnStage(name=name, label=LABELS.get(name, name), ms=ms)
            for name, ms in turn.stage_ms.items()
            if name != TOTAL and not (name == "turn" and "endpointing" in turn.stage_ms)  # it is a part of that
        ],
    )


def offset_ms(at: datetime, requested_at: datetime) -> int:
    """Whole ms since the request; 0 for an event of a machine whose clock is behind."""
    return max(0, round((at - requested_at).total_seconds() * 1000))
