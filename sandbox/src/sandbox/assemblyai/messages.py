"""AssemblyAI's messages, as JSON-ready mappings, and the parameters of a session.

Source: captured from Pipecat's client, and AssemblyAI's page on session errors and closures.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from sandbox.speech.protocol import Word

INVALID = 3006
DURATION = 3007
EXPIRED = 3008
TOO_MANY = 3009
SERVER_ERROR = 3005

RATES = range(8_000, 48_001)
BYTES_PER_SAMPLE = {"pcm_s16le": 2, "pcm_mulaw": 1}
U3_PRO = ("u3-pro", "u3-rt-pro", "universal-3-5-pro", "universal-3-6")
MODELS = (*U3_PRO, "universal-streaming-english", "universal-streaming-multilingual", "whisper-rt")
DEFAULT_MODEL = "universal-streaming-english"
_LANGUAGE = re.compile(
    "af|ar|ca|da|de|en|es|et|fa|fi|fr|gl|he|hi|it|ja|ko|mr|nl|nn|no|pt|ro|ru|sv|tr|ur|vi|xh|yue|zh|zu"
)
_MOST_LANGUAGES = 10
_FOCUSES = ("near-field", "far-field")
_LONGEST_SILENCE_MS = 60_000
_QUESTION_WORDS = frozenset(
    {"what", "who", "where", "when", "why", "how", "which", "can", "could", "do", "does", "did", "is", "are", "will"}
)
_PROPER = {"i": "I", "i'm": "I'm", "i'd": "I'd", "i'll": "I'll", "i've": "I've"}


class BadParameter(Exception):
    """A parameter of the session is missing or wrong; the text is AssemblyAI's."""


@dataclass(frozen=True)
class Parameters:
    """The client's parameters of a session; silences in milliseconds, None for the service's default."""

    sample_rate: int
    encoding: str = "pcm_s16le"
    model: str = DEFAULT_MODEL
    format_turns: bool = False
    min_turn_silence: int | None = None
    max_turn_silence: int | None = None

    @property
    def is_u3_pro(self) -> bool:
        return self.model.startswith(U3_PRO)

    @property
    def turn_silence_ms(self) -> int:
        return self.max_turn_silence or self.min_turn_silence or 0

    def updated(self, message: Mapping[str, Any]) -> "Parameters":
        """Apply an UpdateConfiguration; raises `BadParameter`."""
        found = {
            name: message[name] for name in ("min_turn_silence", "max_turn_silence") if message.get(name) is not None
        }
        silences = {name: _integer(name, str(value), range(_LONGEST_SILENCE_MS + 1)) for name, value in found.items()}
        formatted = message.get("format_turns")
        return replace(self, **silences, format_turns=self.format_turns if formatted is None else bool(formatted))


def parameters(query: Mapping[str, str]) -> Parameters:
    """Parse the query of /v3/ws.

    Raises:
        BadParameter: A parameter is missing, unknown or out of range.
    """
    encoding = query.get("encoding", "pcm_s16le")
    if encoding not in BYTES_PER_SAMPLE:
        raise BadParameter(f"Invalid encoding: {encoding}. Expected one of {', '.join(BYTES_PER_SAMPLE)}")
    if "sample_rate" not in query:
        raise BadParameter("Missing required parameter: sample_rate")
    model = query.get("speech_model", DEFAULT_MODEL)
    if not model.startswith(MODELS):
        raise BadParameter(f"Invalid speech_model: {model}")
    silences = {
        name: _integer(name, query[name], range(_LONGEST_SILENCE_MS + 1))
        for name in ("min_turn_silence", "max_turn_silence")
        if name in query
    }
    if "language_codes" in query:
        _languages(_json_list("language_codes", query["language_codes"]))
    if "keyterms_prompt" in query:
        _json_list("keyterms_prompt", query["keyterms_prompt"])
    if (focus := query.get("voice_focus", "near-field")) not in _FOCUSES:
        raise BadParameter(f"Invalid voice_focus: {focus}. Expected one of {', '.join(_FOCUSES)}")
    if not _is_share(threshold := query.get("voice_focus_threshold", "0")):
        raise BadParameter(f"Invalid voice_focus_threshold: {threshold}. Expected between 0 and 1")
    return Parameters(
        sample_rate=_integer("sample_rate", query["sample_rate"], RATES),
        encoding=encoding,
        model=model,
        format_turns=query.get("format_turns", "").lower() == "true",
        **silences,
    )


def _integer(name: str, text: str, allowed: range) -> int:
    try:
        value = int(text)
    except ValueError:
        raise BadParameter(f"Invalid {name}: {text}. Expected an integer") from None
    if value not in allowed:
        raise BadParameter(f"Invalid {name}: {value}. Expected between {allowed[0]} and {allowed[-1]}")
    return value


def _is_share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


def _json_list(name: str, text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, list):
        raise BadParameter(f"Invalid {name}: expected a JSON array")
    return cast("list[Any]", value)


def _languages(codes: Sequence[Any]) -> None:
    if len(codes) > _MOST_LANGUAGES or not all(_LANGUAGE.fullmatch(str(code)) for code in codes):
        raise BadParameter(f"Invalid language_codes: expected at most {_MOST_LANGUAGES} supported languages")


def begin(session: str, expires_at: int) -> dict[str, Any]:
    return {"type": "Begin", "id": session, "expires_at": expires_at}


def speech_started(at_ms: int) -> dict[str, Any]:
    return {"type": "SpeechStarted", "timestamp": at_ms}


def turn(order: int, words: Sequence[Word], *, final: bool, formatted: bool) -> dict[str, Any]:
    """A Turn: a partial (`final` false, the last word is incomplete) or the end of one."""
    text = " ".join(word.text for word in words)
    return {
        "type": "Turn",
        "turn_order": order,
        "turn_is_formatted": formatted,
        "end_of_turn": final,
        "transcript": formatted_text(text) if formatted else text,
        "utterance": "",
        "end_of_turn_confidence": _mean(words) if final else 0.0,
        "words": [_word(word, final or word is not words[-1]) for word in words],
    }


def _word(word: Word, is_final: bool) -> dict[str, Any]:
    place = {"start": word.start_ms, "end": word.end_ms}
    return {**place, "text": word.text, "confidence": word.confidence, "word_is_final": is_final}


def _mean(words: Sequence[Word]) -> float:
    return round(sum(word.confidence for word in words) / len(words), 3) if words else 0.0


def formatted_text(text: str) -> str:
    """Add a capital letter, "I" and a closing mark, as the service formats a final."""
    words = [_PROPER.get(word, word) for word in text.split()]
    if not words:
        return ""
    mark = "?" if words[0] in _QUESTION_WORDS else "."
    line = " ".join(words)
    return line if line[-1] in ".?!。？！।" else f"{line[0].upper()}{line[1:]}{mark}"


def termination(audio_s: float, session_s: float) -> dict[str, Any]:
    """In whole seconds: AssemblyAI's own SDK fails on a fraction."""
    return {
        "type": "Termination",
        "audio_duration_seconds": round(audio_s),
        "session_duration_seconds": round(session_s),
    }


def error(code: int, text: str) -> dict[str, Any]:
    return {"type": "Error", "error_code": code, "error": text}
