"""Waiting for other tasks and processes, which tell a test nothing when they are ready."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any


async def until(look: Callable[[], Any], within_s: float = 30.0, what: str = "", *, every_s: float = 0.02) -> Any:
    """Return the first true value of `look`, which may be a coroutine function.

    Raises:
        AssertionError: `look` gave no true value within `within_s`; the message has `what`, or the last value.
    """
    found: Any = None
    try:
        async with asyncio.timeout(within_s):
            while True:
                found = look()
                if inspect.isawaitable(found):
                    found = await found
                if found:
                    return found
                await asyncio.sleep(every_s)
    except TimeoutError:
        raise AssertionError(f"not within {within_s:g} s: {what or f'{look} gave {found!r}'}") from None
