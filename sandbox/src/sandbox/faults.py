"""Injected faults: the next requests or answers that fail, and how."""

import itertools
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Service = Literal["assemblyai", "groq", "inworld"]
When = Literal["request", "answer"]
Moment = Literal["request", "text", "thought", "answer", "words"]  # a thought: before the model's or the voice's answer
Kind = Literal[
    "latency",
    "status",
    "drop",
    "close",
    "error",
    "garbage",
    "silence",
    "empty",
    "inaudible",
    "refused",
    "unheard",
    "late",
    "frozen",
]

MOST_FAULTS = 100


class Fault(BaseModel):
    """One fault, for the next `count` matching requests or answers, or until it is cleared.

    `status` answers a request (or a WebSocket's handshake) with `status`, and with `body` instead of the service's own
    if that is given: such as the one of another server with OpenAI's interface. The others apply when the service
    answers: `latency` waits `latency_ms`; `drop` cuts the connection silently; `close` closes the WebSocket with `code`
    and `reason`; `error` sends the service's own error, then closes; `garbage` sends invalid JSON; `silence` never
    answers; `empty`, only for groq, sends an empty answer. Only for inworld's WebSocket, `inaudible` completes a
    generation without audio and `refused` refuses a text. Only for assemblyai: `unheard` withholds the words of a turn,
    partial and final, while the session lives; `late` withholds the partial ones and sends the final ones `latency_ms`
    later; after `frozen` nothing comes, no pong either. `above_tokens` limits a fault to groq's requests whose prompt
    and token limit exceed that number. `stage` moves latency, drop, close, error and silence to the request itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    service: Service
    kind: Kind
    count: int | None = Field(default=None, ge=1, le=1_000_000)
    match: dict[str, str] = Field(default_factory=dict)
    stage: When | None = None
    latency_ms: int = Field(default=0, ge=0, le=600_000)
    status: int = Field(default=500, ge=400, le=599)
    retry_after_s: int | None = Field(default=None, ge=0)
    code: int = Field(default=1011, ge=1000, le=4999)
    reason: str = Field(default="", max_length=120)
    above_tokens: int | None = Field(default=None, ge=0)
    body: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _status_is_of_the_request(self) -> "Fault":
        if self.kind == "status" and self.stage == "answer":
            raise ValueError("a status can only answer a request")
        return self

    @model_validator(mode="after")
    def _only_a_models_answer_is_empty(self) -> "Fault":
        if self.kind == "empty" and (self.service != "groq" or self.stage == "request"):
            raise ValueError("only groq's answer can be empty")
        return self

    @model_validator(mode="after")
    def _only_a_voice_is_inaudible_or_refuses_a_text(self) -> "Fault":
        if self.kind in ("inaudible", "refused") and (self.service != "inworld" or self.stage is not None):
            raise ValueError(f"only inworld can be {self.kind}, and without a stage")
        return self

    @model_validator(mode="after")
    def _only_speech_is_unheard(self) -> "Fault":
        if self.kind in ("unheard", "late", "frozen") and (self.service != "assemblyai" or self.stage is not None):
            raise ValueError(f"{self.kind} is a fault of assemblyai's, without a stage")
        return self

    @property
    def strikes_at(self) -> Moment:
        if self.kind in ("unheard", "late"):
            return "words"
        if self.kind in ("empty", "inaudible"):
            return "thought"
        if self.kind == "refused":
            return "text"
        return self.stage or ("request" if self.kind == "status" else "answer")


class TooManyFaults(Exception):
    """The board is full."""


class FaultBoard:
    """The active faults, oldest first."""

    def __init__(self) -> None:
        self._faults: dict[int, tuple[Fault, int | None]] = {}
        self._ids = itertools.count(1)

    def add(self, fault: Fault) -> int:
        """Activate a fault; return its id.

        Raises:
            TooManyFaults: `MOST_FAULTS` are active.
        """
        if len(self._faults) >= MOST_FAULTS:
            raise TooManyFaults
        number = next(self._ids)
        self._faults[number] = (fault, fault.count)
        return number

    def take(self, service: Service, moment: Moment, about: Mapping[str, str]) -> list[Fault]:
        """The faults that apply now: every matching latency, then the oldest other matching fault. Each is used once.

        Args:
            service: The answering service.
            moment: At a request, at an answer to one, or before the answer is made.
            about: The values for `match`, such as `model`, `voice` and `path`.
        """
        struck: list[Fault] = []
        for number, (fault, _) in list(self._faults.items()):
            first_other = all(other.kind == "latency" for other in struck)
            if _applies(fault, service, moment, about) and (fault.kind == "latency" or first_other):
                struck.append(fault)
                self._use(number)
        return sorted(struck, key=lambda fault: fault.kind != "latency")

    def _use(self, number: int) -> None:
        fault, left = self._faults[number]
        if left is None:
            return
        if left == 1:
            del self._faults[number]
        else:
            self._faults[number] = (fault, left - 1)

    def remove(self, number: int) -> bool:
        return self._faults.pop(number, None) is not None

    def clear(self) -> None:
        self._faults.clear()

    def listed(self) -> list[dict[str, object]]:
        return [{"id": number, "left": left, **fault.model_dump()} for number, (fault, left) in self._faults.items()]


def _applies(fault: Fault, service: Service, moment: Moment, about: Mapping[str, str]) -> bool:
    if fault.service != service or fault.strikes_at != moment:
        return False
    if fault.above_tokens is not None and int(about.get("tokens", 0)) <= fault.above_tokens:
        return False
    return all(about.get(name) == value for name, value in fault.match.items())
