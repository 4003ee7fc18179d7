"""Waiting for something that a condition announces."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def announced(
    news: asyncio.Condition,
    found: Callable[[], T | None],
    deadline_s: float,
    what: str,
    *,
    evidence: Callable[[], str],
    check: Callable[[], None] = lambda: None,
) -> T:
    """Return the first result of `found`, which is asked again at each news.

    Args:
        check: Asked before each wait; it may raise.

    Raises:
        AssertionError: Nothing was found in time; the message has `what` and the evidence.
    """
    try:
        async with asyncio.timeout(deadline_s), news:
            while (result := found()) is None:
                check()
                await news.wait()
            return result
    except TimeoutError:
        raise AssertionError(f"no {what} within {deadline_s:g} s\n{evidence()}") from None
