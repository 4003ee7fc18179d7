"""The result of a call: times, words and the bill."""

from dataclasses import dataclass
from pathlib import Path

from contracts.api import EndReply, SessionBill


@dataclass(frozen=True)
class Turn:
    """One sentence of the caller and the agent's answer.

    Attributes:
        said: The caller's words.
        heard: The agent's words, as transcribed.
        said_until_s: Time at which the caller fell silent, in seconds since the POST.
        answered_s: Time of the answer's first sound.
        silent_s: Time of the answer's end.
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
    """Times of the steps, in seconds since the POST that started the session."""

    post_answered_s: float
    caller_joined_s: float
    agent_joined_s: float
    first_audio_s: float
    ended_s: float


@dataclass(frozen=True)
class CallReport:
    """A finished call.

    Attributes:
        opening: The opening line, as transcribed.
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
