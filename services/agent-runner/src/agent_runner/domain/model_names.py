"""What a language model's name tells of the parameters that it takes."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

ReasoningEffort: TypeAlias = Literal["none", "default", "low", "medium", "high"]

_OPENAIS: Final = re.compile(r"(?:^|/)(?:o[1-9]|gpt-5)\b", re.I)
_THINKS: Final = re.compile(rf"gpt-oss|qwen-?3|deepseek-r|\br1\b|magistral|thinking|reason|{_OPENAIS.pattern}", re.I)
_THINKS_ALWAYS: Final = re.compile("gpt-oss", re.I)
_EFFORTS_AT_GROQ: Final[Mapping[str, tuple[ReasoningEffort, ...]]] = MappingProxyType(
    {"openai/gpt-oss": ("low", "medium", "high"), "qwen/qwen3": ("none", "default")}
)
"""What Groq accepts by the beginning of a name, the one for a voice first; it refuses the field for other models."""


def thinks(model: str) -> bool:
    """Whether a model of this name thinks before it answers, unless it is told not to."""
    return _THINKS.search(model) is not None


def is_openais_reasoning_model(model: str) -> bool:
    """Whether it is an o-model or a GPT-5 model.

    They refuse `max_tokens`, temperature, `top_p` and the penalties (OpenAI's guide to reasoning models).
    """
    return _OPENAIS.search(model) is not None


def effort(model: str, wanted: ReasoningEffort | None, *, is_groq: bool) -> ReasoningEffort | None:
    """The reasoning effort to send: the wanted one if the model takes it. None: send none.

    Without a wanted one, Groq's models think as little as they can and other servers are sent none. gpt-oss cannot
    do without thoughts: it gets `low` for `none` and `default`.
    """
    if is_groq:
        known = next((efforts for name, efforts in _EFFORTS_AT_GROQ.items() if model.startswith(name)), None)
        if known is None:
            return None
        if wanted in known:
            return wanted
        return "default" if "default" in known and wanted is not None else known[0]
    return "low" if wanted in ("none", "default") and _THINKS_ALWAYS.search(model) else wanted
