"""The settings of speech to text (AssemblyAI): among the agent's parameters."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, StringConstraints, model_validator
from pydantic_settings import BaseSettings

Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]{0,99}$")]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Ms: TypeAlias = Annotated[int, Field(ge=0, le=60_000)]


def from_text(value: object) -> object:
    """Convert a number or boolean from the environment's text: pydantic compares a Literal without converting."""
    if not isinstance(value, str):
        return value
    return int(value) if value.isdecimal() else {"true": True, "1": True}.get(value.lower(), value)


class SttSettings(BaseSettings):
    """What AssemblyAI is asked for. Silences are ms."""

    stt_sample_rate: Annotated[Literal[8000, 16000], BeforeValidator(from_text)] = Field(
        default=16000, description="8000 or 16000, the rates that Silero supports"
    )
    stt_encoding: Literal["pcm_s16le"] = Field(
        default="pcm_s16le", description="pcm_s16le, the only supported encoding"
    )
    stt_model: Name = Field(default="universal-3-6-pro", description="an AssemblyAI streaming model")
    stt_vad_threshold: Share | None = Field(default=None, description="0..1; Universal-3 models only")
    stt_end_of_turn_confidence_threshold: Share | None = Field(
        default=None, description="0..1; Pipecat sets 1.0 itself on universal-streaming models"
    )
    stt_min_turn_silence: Ms | None = Field(
        default=None, description="ms; unset: 100, and 160 on universal-streaming models"
    )
    stt_max_turn_silence: Ms | None = Field(default=None, description="ms; equals the minimum on Universal-3 models")
    stt_format_turns: bool = Field(default=True, description="true or false")
    stt_formatted_finals: bool = Field(default=True, description="true or false")
    stt_word_finalization_max_wait_time: Ms | None = Field(default=None, description="ms")
    stt_keyterms_prompt: tuple[str, ...] = Field(
        default=(), max_length=100, description='a JSON array of words to expect, such as ["Greenroom"]'
    )
    stt_language_detection: bool | None = Field(default=None, description="true or false")
    stt_voice_focus: Literal["near-field", "far-field"] | None = Field(
        default=None,
        description="near-field (headset, handset) or far-field (laptop, room): AssemblyAI suppresses other voices and "
        "noise, and may lose a quiet caller; Universal-3 models only. The VAD still hears them. Unset: off",
    )
    stt_voice_focus_threshold: Share | None = Field(
        default=None, description="0..1: how much STT_VOICE_FOCUS suppresses; unset: AssemblyAI's own"
    )
    stt_silence_s: float = Field(
        default=4,
        gt=0,
        le=60,
        description="seconds without a word after the caller spoke until the agent asks to hear it again",
    )

    @model_validator(mode="after")
    def _focuses_on_a_voice(self) -> Self:
        if self.stt_voice_focus_threshold is not None and self.stt_voice_focus is None:
            raise ValueError("STT_VOICE_FOCUS_THRESHOLD: set STT_VOICE_FOCUS, too")
        return self
