"""The stages of a start: when each began and ended, computed from the times at which they ended."""

from collections.abc import Mapping

_AFTER = {"pool_wait": None, "go": "pool_wait", "heard": "joined"}
"""The stage before each stage. Stages that are not listed run in the worker, in parallel, from `go` on."""


def spans(stage_ms: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Begin and end of each stage, in ms since the assignment.

    Args:
        stage_ms: When each stage ended, in ms since the assignment.
    """
    found: dict[str, tuple[int, int]] = {}
    for stage, end in stage_ms.items():
        before = _AFTER.get(stage, "go")
        begin = stage_ms.get(before, 0) if before is not None else 0
        found[stage] = (min(begin, end), end)
    return found
