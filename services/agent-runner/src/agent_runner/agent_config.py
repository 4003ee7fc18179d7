"""The agent's parameters: providers, models, voices, timings. Each is one environment variable.

The variable is the field's name in capitals; an empty one counts as unset. `chassis.settings.load` reads them; on an
invalid value it exits and prints the variable's name and the fix.
"""

import wave
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)
from pydantic_settings import NoDecode, SettingsConfigDict

from agent_runner.domain.credit import CreditWarning
from agent_runner.domain.lines import Lines, lines_of
from agent_runner.domain.model_names import ReasoningEffort, effort, is_openais_reasoning_model, thinks
from agent_runner.domain.speakable import is_speakable
from agent_runner.endpoints import Endpoint, endpoints, is_at_groq
from agent_runner.floor_settings import FloorSettings
from agent_runner.front_end_settings import FrontEndSettings
from agent_runner.stt_settings import Name, Share, SttSettings, from_text
from agent_runner.tool_settings import ToolSettings
from chassis.shared_settings import SpokenLines, TurnBudget
from chassis.urls import ServerUrl
from contracts.deadlines import LAST_WORDS_S

ASSEMBLY_URL: Final = "wss://streaming.assemblyai.com/v3/ws"
GROQ_URL: Final = "https://api.groq.com/openai/v1"
INWORLD_URL: Final = "wss://api.inworld.ai/tts/v1/voice:streamBidirectional"
INWORLD_HTTP_URL: Final = "https://api.inworld.ai"

VOICE_SPEEDS: Final = MappingProxyType(
    {"Craig": 1.2, "Edward": 1.0, "Olivia": 1.0, "Wendy": 1.2, "Priya": 1.0, "Ashley": 1.0}
)
"""Speaking rate of each voice that we have listened to."""

DEFAULT_SPEED: Final = 1.0

LLM_MODELS: Final = ("llama-3.3-70b-versatile", "openai/gpt-oss-120b", "openai/gpt-oss-20b")
"""Groq serves the first one to accounts with a committed spend alone, since 2026-08-16."""

NO_KEY: Final = "none"
"""Sent to a server that needs no key: the client library insists on one."""

_PENALTY: Final = "-2 to 2; Groq accepts and ignores it, other servers get it only if it is set here and not 0"
_API_DEFAULTS: Final = MappingProxyType(
    {"temperature": 1.0, "top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
)
"""What OpenAI's interface assumes without the field."""

Key: TypeAlias = Annotated[SecretStr, Field(min_length=1, max_length=500)]
WebSocketUrl: TypeAlias = Annotated[ServerUrl, StringConstraints(pattern=r"^wss?://[^\s?#]+$")]
HttpUrl: TypeAlias = Annotated[ServerUrl, StringConstraints(pattern=r"^https?://[^\s?#]+$")]
Penalty: TypeAlias = Annotated[float, Field(ge=-2, le=2)]
Speed: TypeAlias = Annotated[float, Field(ge=0.5, le=1.5)]


def _listed(value: object) -> object:
    """Names separated by commas."""
    if not isinstance(value, str):
        return value
    return tuple(name for part in value.split(",") if (name := part.strip()))


def _playable(file: Path) -> Path:
    try:
        with wave.open(str(file)) as found:
            if (found.getnchannels(), found.getsampwidth()) != (1, 2):
                raise ValueError("the recording must be mono with samples of 16 bits")
            if found.getnframes() > LAST_WORDS_S * found.getframerate():
                raise ValueError(f"the recording must be {LAST_WORDS_S:g} s long at most")
    except (OSError, EOFError, wave.Error) as error:
        raise ValueError("it is not a readable WAV file") from error
    return file


class AgentConfig(SttSettings, ToolSettings, FloorSettings, FrontEndSettings, SpokenLines, TurnBudget):
    """The agent's configuration. Units: `_s` and VAD, smart-turn and timeout fields are seconds, silences are ms."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    # Providers. For the sandbox set its addresses here.
    assembly_api_key: Key = Field(description="your AssemblyAI API key")
    groq_api_key: Key = Field(description="your Groq API key")
    inworld_api_key: Key = Field(description="your Inworld API key (the Base64 one)")
    assembly_base_url: WebSocketUrl = Field(default=ASSEMBLY_URL, description="ws(s)://... of AssemblyAI's streaming")
    groq_base_url: HttpUrl = Field(default=GROQ_URL, description="http(s)://.../openai/v1 of Groq")
    llm_base_url: HttpUrl | None = Field(
        default=None,
        description="http(s)://host/v1 of any server with OpenAI's interface (vLLM, Ollama, llama.cpp, LiteLLM), asked "
        "instead of Groq; then set LLM_MODELS, too. GROQ_API_KEY is not sent there",
    )
    llm_api_key: Key | None = Field(default=None, description="the key of LLM_BASE_URL; unset: the server needs none")
    inworld_base_url: WebSocketUrl = Field(default=INWORLD_URL, description="ws(s)://... of Inworld's streaming TTS")
    inworld_http_url: HttpUrl = Field(default=INWORLD_HTTP_URL, description="http(s)://... of Inworld's voice list")

    # Fallbacks: a second key, a second address, or both. An unset one equals the first.
    assembly_fallback_api_key: Key | None = Field(default=None, description="another AssemblyAI API key; unset: none")
    assembly_fallback_base_url: WebSocketUrl | None = Field(default=None, description="ws(s)://... ; unset: the same")
    groq_fallback_api_key: Key | None = Field(default=None, description="another Groq API key; unset: none")
    groq_fallback_base_url: HttpUrl | None = Field(default=None, description="http(s)://... ; unset: the same")
    inworld_fallback_api_key: Key | None = Field(default=None, description="another Inworld API key; unset: none")
    inworld_fallback_base_url: WebSocketUrl | None = Field(default=None, description="ws(s)://... ; unset: the same")

    # The language model (Groq, or the server at LLM_BASE_URL).
    llm_models: Annotated[tuple[Name, ...], NoDecode, BeforeValidator(_listed)] = Field(
        default=LLM_MODELS,
        min_length=1,
        max_length=10,
        description="models in order of preference, separated by commas; Groq's that your account does not list are "
        "dropped when the node starts",
    )
    llm_model: Name | None = Field(default=None, description="a model to ask before LLM_MODELS")
    llm_fallback_model: Name | None = Field(
        default=None, description="the second model; with LLM_MODEL it replaces LLM_MODELS"
    )
    llm_reasoning_effort: ReasoningEffort | None = Field(
        default=None,
        description="none, default, low, medium or high; unset: low for Groq's gpt-oss, none for its qwen3",
    )
    llm_streaming: Annotated[Literal[True], BeforeValidator(from_text)] = Field(
        default=True, description="true; speech starts with the first sentence"
    )
    llm_max_tokens: int = Field(default=200, ge=1, le=8192, description="tokens of an answer, 1 to 8192")
    llm_reasoning_tokens: int = Field(
        default=600,
        ge=0,
        le=32_768,
        description="tokens that a reasoning model may think beside LLM_MAX_TOKENS; Groq counts requested tokens "
        "against the account's tokens per minute, too few cut answers",
    )
    llm_open_thoughts: bool | None = Field(
        default=None,
        description="true: answers begin with thoughts that </think> ends and no <think> opens, and are held until "
        "then; false: they do not; unset: the model's name tells, or its first such answer, which is spoken whole",
    )
    llm_context_tokens: int = Field(
        default=4000,
        ge=0,
        le=1_000_000,
        description="tokens of the conversation in a request, beside the system prompt; older turns are summarised: "
        "fewer cost less of the account's tokens per minute, more remember details; 0: no limit",
    )
    llm_temperature: float = Field(default=0.7, ge=0, le=2, description="0 to 2")
    llm_top_p: Share = Field(default=0.9, description="0 to 1")
    llm_presence_penalty: Penalty = Field(default=0.1, description=_PENALTY)
    llm_frequency_penalty: Penalty = Field(default=0.1, description=_PENALTY)
    llm_read_timeout_s: float = Field(
        default=5, gt=0, le=60, description="seconds without data from Groq until a retry"
    )
    llm_total_timeout_s: float = Field(default=20, gt=0, le=120, description="seconds for one answer, retries included")

    max_answer_s: float = Field(
        default=30,
        ge=0,
        le=600,
        description="seconds of speech after which an answer ends with its sentence; a longer one bores; 0: no limit",
    )

    # Text to speech (Inworld).
    tts_model: Name = Field(default="inworld-tts-1.5-max", description="an Inworld model")
    tts_streaming: Annotated[Literal[True], BeforeValidator(from_text)] = Field(
        default=True, description="true; audio comes over one WebSocket"
    )
    tts_sample_rate: Annotated[Literal[16000, 24000, 48000], BeforeValidator(from_text)] = Field(
        default=24000, description="16000, 24000 or 48000"
    )
    tts_temperature: float = Field(default=1.1, ge=0, le=2, description="0 to 2")
    tts_connect_idle: bool = Field(
        default=True, description="true: an idle worker holds a connection to Inworld, which charges nothing for it"
    )
    tts_silence_s: float = Field(
        default=3, gt=0, le=30, description="seconds without audio for a sentence until it is sent again"
    )
    tts_cache_mb: int = Field(
        default=50,
        ge=0,
        le=10_000,
        description="MB of opening and bridge lines to cache as audio, so that a repeated line starts at once; 0: none",
    )
    voice_speeds: dict[str, Speed] = Field(
        default_factory=lambda: dict(VOICE_SPEEDS),
        description='a JSON object of voice and speaking rate 0.5 to 1.5, such as {"Craig": 1.2}, which overrides '
        "the defaults of these voices alone",
    )

    # Turn taking.
    vad_confidence: Share = Field(default=0.7, description="0 to 1; Silero's confidence that a sound is speech")
    vad_start_secs: float = Field(default=0.2, gt=0, le=5, description="seconds of speech that start a turn")
    vad_stop_secs: float = Field(default=0.2, gt=0, le=5, description="seconds of silence that may end one")
    vad_min_volume: Share = Field(default=0.6, description="0 to 1")
    smart_turn: bool = Field(
        default=True, description="true: a model detects the end of the caller's turn; false: silence ends it"
    )
    smart_turn_stop_secs: float = Field(
        default=3, gt=0, le=30, description="seconds of silence that end a turn which the model calls incomplete"
    )
    aggregation_timeout: float = Field(
        default=0.2,
        ge=0,
        le=30,
        description="seconds of silence before a finished turn is answered: more lets the caller add a sentence, and "
        "delays each answer; with SMART_TURN a time up to VAD_STOP_SECS changes nothing",
    )
    user_turn_stop_timeout: float = Field(
        default=5, gt=0, le=60, description="seconds after which a turn ends if nothing else has ended it"
    )

    max_turn_s: float = Field(
        default=120,
        ge=0,
        le=3600,
        description="seconds until a turn that has not ended is ended and answered; 0: never",
    )
    user_idle_prompt_s: float = Field(
        default=20,
        ge=0,
        le=3600,
        description="seconds of the caller's silence until the agent asks; 0: never; less asks callers who think",
    )
    user_idle_prompt: str | None = Field(
        default=None,
        min_length=1,
        max_length=500,
        description="the agent's question after USER_IDLE_PROMPT_S, in every language; unset: the language's",
    )
    user_idle_end_s: float = Field(
        default=60,
        ge=0,
        le=3600,
        description="seconds of the caller's silence until the call ends; 0: never, and who walks away is billed until "
        "SESSION_TIMEOUT",
    )
    user_idle_goodbye: str | None = Field(
        default=None,
        max_length=500,
        description="the agent's words before that end, in every language; unset: the language's",
    )

    # The worker.
    apology: str | None = Field(
        default=None,
        max_length=500,
        description="the agent's last words after a provider failure, in every language; unset: the language's",
    )
    apology_file: Annotated[Path, AfterValidator(_playable)] | None = Field(
        default=None,
        description="a WAV file (mono, 16 bit, at most 5 s) with that sentence, played when no rendering exists; "
        "unset: three tones",
    )
    credit_warning: str | None = Field(
        default=None,
        min_length=1,
        max_length=500,
        description="the agent's words before a session's limit of minutes, in every language; unset: the language's; "
        "the word none: no warning",
    )
    credit_warning_s: float = Field(
        default=20, gt=0, le=600, description="seconds of billed time from that warning to the limit"
    )
    worker_memory_mb: int = Field(default=600, ge=0, description="MB of data a worker may hold; 0 for no limit")
    log_format: Literal["json", "console"] = Field(default="json", description="json or console")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="DEBUG, INFO, WARNING or ERROR; DEBUG logs what is said into the session's file"
    )
    otel_exporter_otlp_endpoint: HttpUrl | None = Field(
        default=None, description="http(s)://host:4318 of an OTLP collector; unset for none"
    )
    otel_transcripts: bool = Field(default=False, description="true puts prompts and transcripts into traces")

    def lines_in(self, language: str | None) -> Lines:
        """All that the agent says by itself in a session of this language; None: it named none."""
        by_name = {
            "apology": self.apology,
            "credit_warning": self.credit_warning,
            "idle_prompt": self.user_idle_prompt,
            "idle_goodbye": self.user_idle_goodbye,
        }
        return lines_of(language, self.spoken_lines, by_name)

    @model_validator(mode="after")
    def _lines_have_words(self) -> Self:
        for language, lines in self.spoken_lines.items():
            for name, text in lines.items():
                if not is_speakable(text):
                    raise ValueError(f"SPOKEN_LINES: nothing of the line {name} of {language} can be spoken")
        return self

    @model_validator(mode="after")
    def _has_a_model(self) -> Self:
        if not self.models:
            raise ValueError("LLM_MODELS: name the models of the server at LLM_BASE_URL")
        return self

    def warning_in(self, language: str | None) -> CreditWarning:
        """The words before a session's limit, and their time."""
        text = self.lines_in(language).credit_warning
        return CreditWarning("" if text.lower() == "none" else text, self.credit_warning_s)

    @property
    def stt_endpoints(self) -> tuple[Endpoint, ...]:
        """AssemblyAI's, in order of preference."""
        return endpoints(
            self.assembly_base_url,
            self.assembly_api_key,
            self.assembly_fallback_base_url,
            self.assembly_fallback_api_key,
        )

    @property
    def llm_endpoints(self) -> tuple[Endpoint, ...]:
        """Groq's or the other server's, in order of preference."""
        if self.llm_base_url is not None:
            key = self.llm_api_key.get_secret_value() if self.llm_api_key else NO_KEY
            return (Endpoint(self.llm_base_url, key, is_at_groq(self.llm_base_url)),)
        found = endpoints(
            self.groq_base_url, self.groq_api_key, self.groq_fallback_base_url, self.groq_fallback_api_key
        )
        # GROQ_BASE_URL may lead to another server, too; Groq's path tells a proxy of Groq from it.
        return tuple(
            replace(one, is_groq=is_at_groq(one.url) or one.url.rstrip("/").endswith("/openai/v1")) for one in found
        )

    @property
    def models(self) -> tuple[str, ...]:
        """The language models, in order of preference."""
        listed = self.llm_models
        if self.llm_base_url is not None and "llm_models" not in self.model_fields_set:
            listed = ()
        if self.llm_model and self.llm_fallback_model:
            listed = ()
        elif self.llm_fallback_model:
            listed = listed[:1]
        named = (self.llm_model, *(listed if not self.llm_model else ()), self.llm_fallback_model, *listed)
        return tuple(dict.fromkeys(name for name in named if name))

    @property
    def tts_endpoints(self) -> tuple[Endpoint, ...]:
        """Inworld's, in order of preference."""
        return endpoints(
            self.inworld_base_url, self.inworld_api_key, self.inworld_fallback_base_url, self.inworld_fallback_api_key
        )

    def speed_of(self, voice_id: str) -> float:
        """The speaking rate of a voice, 0.5 to 1.5; a voice that is not in the map speaks at 1.0."""
        return self.voice_speeds.get(voice_id, VOICE_SPEEDS.get(voice_id, DEFAULT_SPEED))

    def reasoning_effort_of(self, model: str, *, is_groq: bool) -> ReasoningEffort | None:
        """The reasoning effort to send; None for servers and models that refuse the parameter."""
        return effort(model, self.llm_reasoning_effort, is_groq=is_groq)

    def sampling_of(self, model: str, *, is_groq: bool) -> dict[str, float]:
        """The sampling fields to send.

        Servers other than Groq get no field at its default of the interface, and no penalty that the deployment has
        not set: some refuse a request with any field that they do not implement.
        """
        if is_openais_reasoning_model(model):
            return {}
        fields = {name: float(getattr(self, f"llm_{name}")) for name in _API_DEFAULTS}
        if is_groq:
            return fields
        return {
            name: value
            for name, value in fields.items()
            if value != _API_DEFAULTS[name] and ("penalty" not in name or f"llm_{name}" in self.model_fields_set)
        }

    def token_limit_field_of(self, model: str, *, is_groq: bool) -> Literal["max_completion_tokens", "max_tokens"]:
        """The field of the limit.

        Groq counts thoughts in both and has deprecated `max_tokens`; other servers may know no other.
        """
        return "max_completion_tokens" if is_groq or is_openais_reasoning_model(model) else "max_tokens"

    def token_limit_of(self, model: str, *, is_groq: bool) -> int:
        """The most tokens to ask for: of the answer, and of a reasoning model's thoughts."""
        has_thoughts = thinks(model) and self.reasoning_effort_of(model, is_groq=is_groq) != "none"
        return self.llm_max_tokens + (self.llm_reasoning_tokens if has_thoughts else 0)
