"""What a failed request to a language model means: whose fault it is, and whether a smaller one would do."""

# pyright: standard

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, Literal

from openai import APIError, APIStatusError, APITimeoutError

Fault = Literal["refused", "model_gone", "slow", "unwell"]

_MODEL_GONE: Final = frozenset({"model_not_found", "model_decommissioned"})
_REFUSED: Final = frozenset({401, 402, 403})
_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 2.0  # a longer Retry-After counts as slow

_TOO_LARGE: Final = re.compile(
    "context_length_exceeded"  # OpenAI, Groq
    "|exceed_context_size_error|exceeds? the available context size"  # llama.cpp; Ollama quotes it
    "|ContextWindowExceededError|exceed context limit|prompt is too long"  # LiteLLM, and what it quotes
    "|maximum context length|longer than the maximum model length|too long to fit into the model"  # vLLM
    "|longer than the model's context length"  # SGLang
    "|context length of only|n_keep .{0,40}n_ctx",  # LM Studio
    re.IGNORECASE,
)


def is_too_large(error: Exception) -> bool:
    """Whether the server refused the request for its size, before or within its answer."""
    if not isinstance(error, APIError):
        return False
    if isinstance(error, APIStatusError) and error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return True
    body = error.body
    # Other fields, such as Groq's `failed_generation`, quote the conversation.
    told = [body.get(name) for name in ("code", "type", "message")] if isinstance(body, Mapping) else [body]
    return any(isinstance(text, str) and _TOO_LARGE.search(text) for text in told)


def fault_of(error: Exception) -> Fault:
    if is_too_large(error):  # another model may take more
        return "slow"
    if isinstance(error, APIStatusError):
        if error.code in _MODEL_GONE or error.status_code == HTTPStatus.NOT_FOUND:
            return "model_gone"
        if error.status_code in _REFUSED:
            return "refused"
        is_rationed = error.status_code == HTTPStatus.TOO_MANY_REQUESTS
        if is_rationed or _asks_to_wait_s(error) > _LONGEST_PAUSE_S:  # each model has its own rate limit
            return "slow"
    return "slow" if isinstance(error, APITimeoutError | TimeoutError) else "unwell"


def pause_s(error: Exception) -> float:
    """Seconds until the next request to the same server."""
    return max(_PAUSE_S, min(_asks_to_wait_s(error), _LONGEST_PAUSE_S))


def _asks_to_wait_s(error: Exception) -> float:
    if isinstance(error, APIStatusError):
        try:
            return float(error.response.headers.get("retry-after", 0))
        except ValueError:  # a date
            return 0.0
    return 0.0
