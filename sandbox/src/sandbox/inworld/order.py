"""An order for speech: voice, model, audio format; with Inworld's refusals."""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from sandbox.inworld.voices import MODELS, SPEAKERS, Speaker

RATES = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
LONGEST_TEXT = 2_000
LANGUAGE = r"^(ar-SA|de-DE|en-US|es-ES|fr-FR|he-IL|hi-IN|it-IT|ja-JP|ko-KR|nl-NL|pl-PL|pt-BR|ru-RU|zh-CN)$"
INVALID, NOT_FOUND, EXHAUSTED, UNAUTHENTICATED = 3, 5, 8, 16


class OrderRefused(Exception):
    """Inworld's error: a gRPC code and a message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class _Body(BaseModel):
    """Names as on the wire; unused fields are accepted and ignored."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, extra="allow", frozen=True)


class AudioConfig(_Body):
    audio_encoding: str = "LINEAR16"
    sample_rate_hertz: int = 48_000
    speaking_rate: Annotated[float, Field(ge=0.5, le=1.5)] = 1.0


class Order(_Body):
    """The common part of a WebSocket context and an HTTP request."""

    voice_id: Annotated[str, Field(min_length=1)]
    model_id: Annotated[str, Field(min_length=1)]
    audio_config: AudioConfig = AudioConfig()
    language: Annotated[str, Field(pattern=LANGUAGE)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    timestamp_type: str = "TIMESTAMP_TYPE_UNSPECIFIED"
    auto_mode: bool = False
    max_buffer_delay_ms: Annotated[int, Field(ge=0)] = 3_000
    buffer_char_threshold: Annotated[int, Field(ge=1)] = 250

    @property
    def speaker(self) -> Speaker:
        return SPEAKERS[self.voice_id]

    @property
    def wants_words(self) -> bool:
        return self.timestamp_type == "WORD"

    @property
    def in_wav(self) -> bool:
        return self.audio_config.audio_encoding == "LINEAR16"


class SpokenOrder(Order):
    """An HTTP request: the order and its text."""

    text: Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]


T = TypeVar("T", bound=Order)


def order(body: Any) -> Order:
    """Parse the `create` of a context; raises `OrderRefused`."""
    return _known(_read(Order, body))


def spoken_order(body: Any) -> SpokenOrder:
    """Parse an HTTP request; raises `OrderRefused`."""
    found = _read(SpokenOrder, body)
    _known(found)
    return found


def _read(kind: type[T], body: Any) -> T:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "request"
        raise OrderRefused(INVALID, f"{place}: {first['msg']}") from None


def _known(found: Order) -> Order:
    audio = found.audio_config
    if found.model_id not in MODELS:
        raise OrderRefused(INVALID, f"Unknown model: {found.model_id}")
    if found.voice_id not in SPEAKERS:
        raise OrderRefused(NOT_FOUND, f"Unknown voice: {found.voice_id} not found!")
    if audio.audio_encoding not in ("PCM", "LINEAR16"):
        raise OrderRefused(
            INVALID, f"Unsupported audio encoding: {audio.audio_encoding} (the sandbox has PCM and LINEAR16)"
        )
    if audio.sample_rate_hertz not in RATES:
        raise OrderRefused(INVALID, f"Invalid sample rate: {audio.sample_rate_hertz}")
    return found
