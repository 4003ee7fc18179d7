"""The sandbox's settings, from SANDBOX_* environment variables."""

import re
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

EXIT_BAD_SETTINGS = 2
# Variables that Docker links and Kubernetes set as NAME_PORT for a service of that name.
_INJECTED = "tcp://"


class Settings(BaseSettings):
    """Keys, pace and limits; `--host` and `--port` override the environment."""

    model_config = SettingsConfigDict(env_prefix="SANDBOX_", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8010, ge=0, le=65535)

    # The accepted keys.
    assembly_key: str = "sandbox"
    groq_key: str = "sandbox"
    inworld_key: str = "sandbox"

    # Groq's list of models, without llama-3.3-70b-versatile: Groq retired it on 2026-08-16.
    groq_models: tuple[str, ...] = (
        "openai/gpt-oss-120b",
        "openai/gpt-oss-20b",
        "groq/compound",
        "groq/compound-mini",
        "whisper-large-v3",
        "whisper-large-v3-turbo",
    )

    # The pace of answers, in milliseconds; a final waits for its recognition if that takes longer.
    stt_final_ms: int = Field(default=0, ge=0)
    llm_first_token_ms: int = Field(default=60, ge=0)
    llm_token_ms: int = Field(default=8, ge=0)
    # Hidden tokens before each answer of a reasoning model; they count in the request's limit.
    llm_reasoning_tokens: int = Field(default=0, ge=0)
    tts_first_audio_ms: int = Field(default=40, ge=0)

    # Words that every utterance of the caller is taken for, without recognition (for benchmarks).
    stt_words: str = Field(default="", max_length=500)

    # The time for the model's answers: now in this zone (empty: the machine's), or always this instant.
    timezone: str = ""
    clock: datetime | None = None

    # Silence that ends a turn when the client asks for less: a shorter one would end it at a comma.
    turn_silence_ms: int = Field(default=400, ge=60)
    warm_recognisers: int = Field(default=2, ge=0)
    max_stt_sessions: int = Field(default=16, ge=1)
    max_connections: int = Field(default=256, ge=1)

    @field_validator("timezone")
    @classmethod
    def _timezone_exists(cls, name: str) -> str:
        if name and name not in available_timezones():
            raise ValueError("unknown time zone; use one such as Europe/Berlin")
        return name

    @classmethod
    def load(cls, given: Mapping[str, object]) -> "Settings":
        """Read the environment, or exit with 2 and a line that names the variable and the fix.

        Args:
            given: Fields that override the environment.
        """
        try:
            return cls(**given)  # pyright: ignore[reportArgumentType]
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            _end(f"SANDBOX_{first['loc'][0]}".upper(), f"{first['msg']}{_advice(first['input'])}")
        except SettingsError as error:  # a list that is not valid JSON
            found = re.search(r'field "(\w+)"', str(error))
            _end(f"SANDBOX_{found.group(1) if found else 'settings'}".upper(), "not valid JSON")

    def now(self) -> datetime:
        """The local time for the model's answers."""
        zone = ZoneInfo(self.timezone) if self.timezone else None
        if self.clock is not None:
            return self.clock.astimezone(zone) if zone and self.clock.tzinfo else self.clock
        return datetime.now(zone).astimezone(zone)


def _advice(given: Any) -> str:
    if not str(given).startswith(_INJECTED):
        return ""
    return "; Kubernetes and Docker links set it for a service named sandbox: give that another name or set it yourself"


def _end(variable: str, problem: str) -> NoReturn:
    sys.stderr.write(f"sandbox: bad settings: {variable}: {problem}. Correct it, or unset it.\n")
    raise SystemExit(EXIT_BAD_SETTINGS)
