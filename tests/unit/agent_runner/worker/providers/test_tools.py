"""A session's tools as the model calls them: which failures are one too many."""

import itertools
from typing import Any

import pytest

from agent_runner.worker.providers.tool_requests import ToolFailed
from agent_runner.worker.providers.tools import Toolbox
from contracts.tools import RecordedTool
from tests.support.toolbox import toolbox

TWO_TOOLS = [
    RecordedTool(name=name, description="", parameters={}, url=f"http://tool/{name}") for name in ("book", "look")
]


def failing(monkeypatch: pytest.MonkeyPatch) -> Toolbox:
    """Tools whose server answers 500, each time with the id of another request."""
    box, ids = toolbox(TWO_TOOLS, []), itertools.count()

    async def send(*_: Any) -> Any:
        raise ToolFailed(f"status 500: request {next(ids)}", is_unknown=True, kind="500")

    monkeypatch.setattr(box._requests, "send", send)
    return box


async def test_the_same_status_twice_is_the_same_failure_whatever_the_answers_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    box = failing(monkeypatch)
    assert await box.call("book", {}) == ({"error": "status 500: request 0"}, False)
    told, is_repeated = await box.call("book", {})
    assert is_repeated
    assert told["error"].startswith("status 500: request 1; it failed twice")


async def test_two_tools_that_fail_in_turn_are_stopped_at_the_second_round(monkeypatch: pytest.MonkeyPatch) -> None:
    box = failing(monkeypatch)
    rounds = [[(await box.call(name, {}))[1] for name in ("book", "look")] for _ in range(2)]
    assert rounds == [[False, False], [True, True]]
