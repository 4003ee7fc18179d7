"""A session's tools outside of a call."""

from collections.abc import Sequence
from typing import Any

from agent_runner.agent_config import AgentConfig
from agent_runner.domain.talk import Talk
from agent_runner.link.messages import Go, ToolCall
from agent_runner.worker.providers.tools import Toolbox
from contracts.tools import RecordedTool


def toolbox(tools: Sequence[RecordedTool], told: list[ToolCall], talk: Talk | None = None, **settings: Any) -> Toolbox:
    """A first epoch's toolbox, which reports to `told`."""
    go = Go(
        session_id="session_1",
        epoch=1,
        url="",
        token="",
        system_prompt="",
        voice_id="Ashley",
        caller_identity="",
        agent_identity="",
        tools=tuple(tools),
    )
    keys = {"assembly_api_key": "x", "groq_api_key": "x", "inworld_api_key": "x"}
    return Toolbox(go, AgentConfig.model_validate({**keys, **settings}), talk or Talk(), told.append, lambda _: None)
