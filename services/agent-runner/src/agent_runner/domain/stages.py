"""The stages of a start: when each began and ended, from the moments at which each was over."""

from __future__ import annotations

from collections.abc import Mapping

_AFTER = {"pool_wait": None, "go": "pool_wait", "heard": "joined"}
"""What comes before a stage; what a worker does, it does from `go` on, side by side."""


def spans(stage_ms: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Begin and end of each stage, in ms since the assignment.

    Args:
        stage_ms: When each stage was over, in ms since the assignment.
    """
    found: dict[str, tuple[int, int]] = {}
    for stage, end in stage_ms.items():
        before = _AFTER.get(stage, "go")
        begin = stage_ms.get(before, 0) if before is not None else 0
        found[stage] = (min(begin, end), end)
    return found
