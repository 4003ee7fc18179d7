"""Why a provider failed, as a clause of a sentence about it."""

from collections.abc import Mapping
from typing import Final

from contracts.failed_requests import FailedRequest

_EXHAUSTED: Final = "its retries are exhausted"
_BY_STATUS: Final[Mapping[int, str]] = {
    401: "it refused the key",
    402: "it wants a payment",
    403: "it refused the key",
    408: "it did not answer in time",
    429: "its rate limit is reached",
}
_BY_ERROR: Final[Mapping[str, str]] = {
    "APIConnectionError": "it could not be reached",
    "APITimeoutError": "it did not answer in time",
    "TimeoutError": "it did not answer in time",
    "EmptyAnswer": "its answers were empty",
}


def failure_words(detail: str) -> str:
    """Why a provider is unusable; where the fault does not tell, what holds for each fault."""
    return known_failure(detail) or _EXHAUSTED


def known_failure(detail: str) -> str:
    """Why a request failed; empty if the fault does not tell."""
    request = FailedRequest.of(detail)
    if request is None:
        return ""
    if request.status is None:
        return _BY_ERROR.get(request.error, "")
    return f"{_status_words(request.status, request.model)} ({request.status})"


def tool_failure(error: str) -> str:
    """Why a call of a tool failed; empty: no answer came, or an older agent-runner did not tell."""
    if error in ("", "timeout"):
        return ""
    if error.isdecimal():
        return f"it answered with status {error}"
    if error == "too_long":
        return "its answer was too long"
    if " " in error:
        return error
    if error.startswith("ClientConnector"):  # aiohttp's, before the request is sent
        return f"it could not be reached ({error})"
    return f"the connection broke ({error})"


def _status_words(status: int, model: str) -> str:
    if status == 404:
        return f"it has no model {model}, or the address is wrong"
    if status >= 500:
        return "its server failed"
    return _BY_STATUS.get(status, "it refused the request")
