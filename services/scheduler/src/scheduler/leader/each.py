"""Bounds repairs: how many run at once, and how many belong to one round."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

_AT_ONCE: Final = 8  # calls to LiveKit, or to nodes that answer

T = TypeVar("T")


async def each(things: Iterable[T], repair: Callable[[T], Awaitable[None]], *, at_once: int = _AT_ONCE) -> None:
    """Repair every thing, `at_once` at a time; raises the first failure after all have run."""
    limit = asyncio.Semaphore(at_once)

    async def one(thing: T) -> None:
        async with limit:
            await repair(thing)

    for result in await asyncio.gather(*(one(thing) for thing in things), return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


class Rotation:
    """Takes at most `most` things in a round; the next round continues behind them, so that each gets its turn."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._next = 0

    def of(self, things: Sequence[T]) -> list[T]:
        """This round's things."""
        start = self._next % max(1, len(things))
        self._next = start + self._most
        return [*things[start:], *things[:start]][: self._most]
