"""How servers with OpenAI's interface refuse a request, and which errors OpenAI's client makes of that."""

import json
from typing import Any, Final

import httpx
from openai import APIStatusError, AsyncOpenAI

_LLAMA: Final = {
    "error": {
        "code": 400,
        "message": "request (26528 tokens) exceeds the available context size (16384 tokens), try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 26528,
        "n_ctx": 16384,
    }
}


def _told(message: str, kind: str | None = "BadRequestError", code: int | str | None = 400) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


TOO_LARGE: Final[dict[str, dict[str, Any]]] = {
    "Groq": _told(
        "Please reduce the length of the messages or completion.", "invalid_request_error", "context_length_exceeded"
    ),
    "vLLM": _told(
        "This model's maximum context length is 8192 tokens. However, your request has 9100 input tokens. "
        "Please reduce the length of the input messages."
    ),
    "vLLM, with the limit of the answer": _told(
        "'max_tokens' or 'max_completion_tokens' is too large: 800. This model's maximum context length is 4096 "
        "tokens and your request has 3778 input tokens (800 > 4096 - 3778)."
    ),
    "vLLM, the engine": _told(
        "The decoder prompt (length 5951) is longer than the maximum model length of 4096. Make sure that "
        "`max_model_len` is no smaller than the number of text tokens."
    ),
    "vLLM before 0.10": {
        "object": "error",
        "message": "This model's maximum context length is 6048 tokens. However, you requested 6616 tokens (568 in the "
        "messages, 6048 in the completion). Please reduce the length of the messages or completion.",
        "type": "BadRequestError",
        "param": None,
        "code": 400,
    },
    "llama.cpp": _LLAMA,
    "Ollama": _told(json.dumps(_LLAMA), "invalid_request_error", None),
    "LiteLLM": _told(
        "litellm.ContextWindowExceededError: litellm.BadRequestError: ContextWindowExceededError: OpenAIException - "
        "Input tokens exceed the configured limit of 272000 tokens.\nReceived Model Group=any",
        None,
        "400",
    ),
    "LiteLLM, in front of another": _told(
        "litellm.BadRequestError: AnthropicException - input length and `max_tokens` exceed context limit: "
        "179413 + 32768 > 200000, decrease input length or `max_tokens` and try again",
        None,
        "400",
    ),
    "SGLang": {
        "object": "error",
        "message": "The input (61709 tokens) is longer than the model's context length (40960 tokens).",
        "type": "BadRequestError",
        "param": None,
        "code": 400,
    },
    "LM Studio": {
        "error": "Trying to keep the first 10136 tokens when context the overflows. However, the model is loaded with "
        "context length of only 7866 tokens, which is not enough."
    },
}

OTHERS: Final[dict[str, dict[str, Any]]] = {
    "a call that quotes": {
        "error": {
            "message": "Failed to call a function.",
            "type": "invalid_request_error",
            "code": "tool_use_failed",
            "failed_generation": "What is the maximum context length?",
        }
    },
    "the limit of the answer alone": _told(
        "max_tokens is too large: 100000. This model supports at most 4096 completion tokens.", "invalid_request_error"
    ),
    "the rate": _told("Rate limit reached for this model. Please try again later.", "tokens", "rate_limit_exceeded"),
    "a page": {"detail": "Bad Request"},
}


def refused_by(status: int, body: dict[str, Any]) -> APIStatusError:
    """The error of OpenAI's client for such an answer."""
    answer: Any = httpx.Response(status, json=body, request=httpx.Request("POST", "http://server/v1/chat/completions"))
    return AsyncOpenAI(api_key="x")._make_status_error_from_response(answer)
