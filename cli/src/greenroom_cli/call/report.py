"""What a call was: times, words and the bill."""

from dataclasses import dataclass
from pathlib import Path

from contracts.api import EndReply, SessionBill


@dataclass(frozen=True)
class Turn:
    """One thing that the caller said and the agent's answer.

    Attributes:
        said: The caller's words.
        heard: The agent's words as the transcription heard them.
        said_until_s: When the caller fell silent, in seconds since the POST.
        answered_s: When the first sound of the answer was heard.
        silent_s: When the answer was over.
    """

    said: str
    heard: str
    said_until_s: float
    answered_s: float
    silent_s: float

    @property
    def latency_s(self) -> float:
        return self.answered_s - self.said_until_s


@dataclass(frozen=True)
class Timeline:
    """When what happened, in seconds since the POST that started the session."""

    post_answered_s: float
    caller_joined_s: float
    agent_joined_s: float
    first_audio_s: float
    ended_s: float


@dataclass(frozen=True)
class CallReport:
    """A finished call.

    Attributes:
        opening: The opening line as it was heard.
        recording: The wav file of the agent's audio.
        end: The gateway's answer to the end.
    """

    session_id: str
    timeline: Timeline
    opening: str
    turns: tuple[Turn, ...]
    end: EndReply
    bill: SessionBill
    recording: Path
