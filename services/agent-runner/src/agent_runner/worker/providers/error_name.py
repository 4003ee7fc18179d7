"""Errors without their texts, which may quote the conversation."""

# pyright: standard

import re
from typing import Final

from openai import APIStatusError
from pipecat.frames.frames import ErrorFrame

from agent_runner.worker.providers.ways import Way
from contracts.failed_requests import FailedRequest

_CODE: Final = re.compile(r"\w{1,60}")


def error_name(frame: ErrorFrame, asked: Way | None = None) -> str:
    """The kind of error, its exception and the cause of that.

    Args:
        asked: The language model that the failed request asked; it is named, with the status of the answer.
    """
    kind = "unknown" if frame.category is None else frame.category.value
    raised = [] if frame.exception is None else [frame.exception, frame.exception.__cause__]
    errors = [error for error in raised if error is not None]
    names = [kind, *(type(error).__name__ for error in errors)]
    if asked is not None and errors:
        status = errors[-1].status_code if isinstance(errors[-1], APIStatusError) else None
        names[-1] = str(FailedRequest(names[-1], status, asked.model, asked.endpoint.host))
    return ": ".join(names)


def named(error: Exception) -> str:
    """The exception's class and, if a server answered, its status, and its code unless that is a text."""
    if not isinstance(error, APIStatusError):
        return type(error).__name__
    code = str(error.code or "")
    return " ".join([type(error).__name__, str(error.status_code), *([code] if _CODE.fullmatch(code) else [])])
