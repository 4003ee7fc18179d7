"""A session's tools outside of a call."""

from collections.abc import Sequence
from typing import Any

from agent_runner.agent_config import AgentConfig
from agent_runner.domain.talk import Talk
from agent_runner.link.messages import ToolCall
from agent_runner.worker.providers.tools import Toolbox
from contracts.tools import RecordedTool
from tests.support.commands import go


def toolbox(
    tools: Sequence[RecordedTool],
    told: list[ToolCall],
    talk: Talk | None = None,
    *,
    end_call: bool = False,
    **settings: Any,
) -> Toolbox:
    """A first epoch's toolbox, which reports to `told`."""
    keys = {"assembly_api_key": "x", "groq_api_key": "x", "inworld_api_key": "x"}
    config = AgentConfig.model_validate({**keys, **settings})
    return Toolbox(go(tools=tuple(tools), end_call=end_call), config, talk or Talk(), told.append, lambda _: None)
