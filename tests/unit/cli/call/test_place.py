"""How the steps of a call are reported."""

import time
from typing import Any

import pytest

from contracts.api import StartReply
from greenroom_cli.call import place
from greenroom_cli.errors import CommandError

STARTED = StartReply(session_id="session_a", token="t", server_url="ws://livekit", room_name="session_a")


class Line:
    """A call whose agent and first sound came this long before the caller knew that it had joined."""

    def __init__(self, agent_s: float, sound_s: float | None) -> None:
        self.joined_at, self._agent_s, self._sound_s = 0.0, agent_s, sound_s

    async def join(self, _url: str, _token: str) -> None:
        self.joined_at = time.monotonic()

    async def agent_joined(self, _deadline_s: float) -> float:
        return self.joined_at - self._agent_s

    async def first_sound(self, _deadline_s: float) -> float:
        if self._sound_s is None:
            raise CommandError("no sound")
        return self.joined_at - self._sound_s


async def meet(line: Any, told: list[str]) -> None:
    nothing: Any = None
    conversation = place._Conversation(nothing, line, nothing, lambda step, *_: told.append(step))  # pyright: ignore[reportPrivateUsage]
    await conversation._meet(STARTED, 0)  # pyright: ignore[reportPrivateUsage]


async def test_the_steps_are_reported_in_the_order_of_their_times() -> None:
    told: list[str] = []
    await meet(Line(agent_s=2, sound_s=1), told)

    assert told == ["agent joined", "first audio", "caller joined"]


async def test_the_steps_before_the_one_that_failed_are_reported() -> None:
    told: list[str] = []
    with pytest.raises(CommandError, match="first audio: no sound"):
        await meet(Line(agent_s=2, sound_s=None), told)

    assert told == ["agent joined", "caller joined"]
