"""A wait that is cancelled as its result comes is cancelled."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from chassis.cancellation import mend_wait_for, wait_for


async def by_asyncio(result: asyncio.Future[int], timeout: float) -> int:
    """As libraries wait."""
    mend_wait_for()
    return await asyncio.wait_for(result, timeout)


@pytest.mark.parametrize("wait", [wait_for, by_asyncio])
async def test_a_cancellation_that_comes_together_with_the_result_is_not_lost(
    wait: Callable[[asyncio.Future[int], float], Coroutine[Any, Any, int]],
) -> None:
    result: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(wait(result, 5))
    await asyncio.sleep(0)

    result.set_result(1)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize("timeout", [0, 0.01])
async def test_what_is_late_is_cancelled_and_a_timeout(timeout: float) -> None:
    late = asyncio.ensure_future(asyncio.sleep(5))
    with pytest.raises(TimeoutError):
        await wait_for(late, timeout)
    assert late.cancelled()


@pytest.mark.parametrize("timeout", [None, 0, 5])
async def test_a_result_that_is_there_is_given_out(timeout: float | None) -> None:
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    ready.set_result(7)
    assert await wait_for(ready, timeout) == 7
