"""A message to a provider over a broken connection."""

# pyright: standard

from types import SimpleNamespace

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.protocol import State

from agent_runner.agent_config import AgentConfig
from agent_runner.worker.providers.stt import SpeechToText


def broken(error: Exception) -> SpeechToText:
    """A recogniser whose connection fails with this error."""

    async def send(_message: str) -> None:
        raise error

    config = AgentConfig(assembly_api_key="a", groq_api_key="g", inworld_api_key="i")  # pyright: ignore[reportArgumentType]
    stt = SpeechToText.of(config)
    stt._websocket = SimpleNamespace(state=State.OPEN, send=send)
    return stt


@pytest.mark.parametrize("error", [ConnectionClosedError(None, None), ConnectionResetError()])
async def test_a_message_that_a_broken_connection_does_not_take_is_left_to_the_receive_loop(error: Exception) -> None:
    await broken(error).close_session()


async def test_a_bug_in_sending_is_not_taken_for_a_broken_connection() -> None:
    with pytest.raises(AttributeError):
        await broken(AttributeError("a bug")).close_session()
