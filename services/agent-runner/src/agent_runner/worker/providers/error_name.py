"""Errors without their texts, which may quote the conversation."""

# pyright: standard

from openai import APIStatusError
from pipecat.frames.frames import ErrorFrame


def error_name(frame: ErrorFrame) -> str:
    """The kind of error, its exception and the cause of that."""
    kind = "unknown" if frame.category is None else frame.category.value
    raised = [] if frame.exception is None else [frame.exception, frame.exception.__cause__]
    return ": ".join([kind, *(type(error).__name__ for error in raised if error is not None)])


def named(error: Exception) -> str:
    """The exception's class and, if a server answered, its status and code."""
    if not isinstance(error, APIStatusError):
        return type(error).__name__
    return " ".join([type(error).__name__, str(error.status_code), *([str(error.code)] if error.code else [])])
