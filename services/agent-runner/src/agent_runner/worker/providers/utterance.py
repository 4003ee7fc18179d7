"""What the voice service remembers of each utterance, and how it reads the provider's messages."""

# pyright: standard

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from agent_runner.domain.utterance import letters, unsaid


@dataclass(slots=True)
class Utterance:
    """One context: what the provider was asked for, and what came of it.

    Attributes:
        wire_id: The context's id at the provider; each further try gets a new one.
        texts: What to say, in order.
        words: The words that came, joined.
        has_audio: Audio came.
        has_ended: The provider said that no more comes.
        is_whole: The provider spoke all of it.
        is_created: The provider accepted the context.
        cut_s: Seconds of silence removed at the start; the words shift by as much.
        times: Pipecat's offset of the current generation's words and the generation's end, in seconds. Pipecat has one
            pair for all contexts, so late words of an interrupted one would shift the next one's.
        tries: How often this endpoint was asked.
    """

    wire_id: str
    texts: list[str] = field(default_factory=list)
    words: str = ""
    has_audio: bool = False
    has_ended: bool = False
    is_whole: bool = False
    is_created: bool = False
    cut_s: float = 0.0
    times: tuple[float, float] = (0.0, 0.0)
    tries: int = 1
    asked_at: float = field(default_factory=time.monotonic)

    @property
    def is_unheard(self) -> bool:
        return bool(self.texts) and not self.has_audio and not self.has_ended

    @property
    def is_lost(self) -> bool:
        """Whether the provider ended it without any audio, although it has something to say."""
        return self.has_ended and not self.has_audio and bool(self.missing)

    @property
    def missing(self) -> list[str]:
        """The texts that can still be said in order, once the provider says that no more comes."""
        missing = unsaid(self.texts, self.words) if self.has_audio else self.texts
        return missing if letters("".join(missing)) else []


@dataclass(frozen=True, slots=True)
class Connection:
    """The WebSocket as Pipecat uses it, with our own reading."""

    websocket: Any
    read: AsyncIterator[str]

    async def send(self, message: str) -> None:
        await self.websocket.send(message)

    def __aiter__(self) -> AsyncIterator[str]:
        return self.read


def result_of(message: str) -> dict[str, Any]:
    """The `result` of a message; empty for one without, or that is not JSON."""
    try:
        result = json.loads(message).get("result")
    except (ValueError, AttributeError):
        return {}
    return result if isinstance(result, dict) else {}
