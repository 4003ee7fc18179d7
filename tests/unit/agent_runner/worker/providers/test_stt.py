"""Which endpoint the next session of speech to text has."""

from collections import deque

import pytest

from agent_runner.agent_config import AgentConfig
from agent_runner.domain.hearing import Deaf
from agent_runner.worker.providers.stt import SpeechToText

KEYS = {"assembly_api_key": "first", "groq_api_key": "x", "inworld_api_key": "x"}


@pytest.mark.parametrize(
    ("spare", "keys"), [({}, ["first"] * 3), ({"assembly_fallback_api_key": "second"}, ["first", "second", "first"])]
)
async def test_attempts_with_new_sessions_go_to_each_endpoint_in_turn(spare: dict[str, str], keys: list[str]) -> None:
    stt = SpeechToText.of(AgentConfig.model_validate(KEYS | spare))
    used: deque[str] = deque()
    for n in range(3):
        await stt.replace_session(Deaf(9, 0, is_proven=False, moves=n > 0))
        used.append(stt._api_key)  # pyright: ignore[reportPrivateUsage]
    assert [*used] == keys
