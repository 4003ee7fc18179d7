"""The bound on calls in flight, against servers that are slow with many calls, or silent. In virtual time."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from gateway.adapters.in_flight import InFlight
from tests.support.virtual_time import VirtualTimeLoop, run

MOST, DEADLINE_S = 32, 2.0


class Server:
    """Takes 5 ms for each call that is in flight; while `silent` it answers none."""

    def __init__(self) -> None:
        self.calls = InFlight(MOST, DEADLINE_S)
        self.in_flight = self.most = 0
        self.silent = False
        self.order: list[int] = []

    async def call(self, number: int = 0) -> float:
        """Returns when the answer came."""
        async with self.calls.in_line(), asyncio.timeout(DEADLINE_S):
            self.order.append(number)
            self.in_flight += 1
            self.most = max(self.most, self.in_flight)
            try:
                await asyncio.sleep(1e9 if self.silent else 0.005 * self.in_flight)
            finally:
                self.in_flight -= 1
            self.calls.answered()
        return asyncio.get_running_loop().time()


def in_virtual_time(test: Callable[[Server], Awaitable[None]]) -> Callable[[], None]:
    def runs() -> None:
        async def main() -> None:
            await test(Server())

        run(main(), VirtualTimeLoop())

    runs.__name__ = test.__name__
    return runs


async def told(*calls: Awaitable[float]) -> Counter[str]:
    answers = await asyncio.gather(*calls, return_exceptions=True)
    return Counter(type(answer).__name__ for answer in answers)


@in_virtual_time
async def test_a_burst_waits_in_its_order_and_fails_none(server: Server) -> None:
    began = asyncio.get_running_loop().time()

    assert await told(*(server.call(n) for n in range(1_000))) == {"float": 1_000}

    assert (server.most, server.order) == (MOST, list(range(1_000)))
    waited_s = asyncio.get_running_loop().time() - began
    assert waited_s > DEADLINE_S, "the last waited longer than a call may take"


@in_virtual_time
async def test_behind_a_silent_server_nobody_waits_for_the_calls_before(server: Server) -> None:
    server.silent = True
    began = asyncio.get_running_loop().time()

    assert await told(*(server.call() for _ in range(1_000))) == {"TimeoutError": 1_000}

    assert asyncio.get_running_loop().time() - began <= 2 * DEADLINE_S


@in_virtual_time
async def test_a_server_that_falls_silent_fails_the_line_once_it_has_answered_nothing_for_so_long(
    server: Server,
) -> None:
    calls = [asyncio.create_task(server.call()) for _ in range(1_000)]
    await asyncio.sleep(1)
    server.silent = True

    answers = await told(*calls)

    assert answers["float"] > 5 * MOST
    assert answers["TimeoutError"] == 1_000 - answers["float"]
    assert asyncio.get_running_loop().time() <= 1_001.2 + 2 * DEADLINE_S


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.159, 0.16, 0.161])
def test_a_call_that_is_cancelled_in_the_line_or_once_it_is_in_flight_keeps_no_place(after_s: float) -> None:
    @in_virtual_time
    async def cancelled(server: Server) -> None:
        before = [asyncio.create_task(server.call()) for _ in range(MOST)]
        line = [asyncio.create_task(server.call()) for _ in range(3 * MOST)]
        await asyncio.sleep(after_s)
        for each in line:
            each.cancel()
        await asyncio.gather(*before, *line, return_exceptions=True)
        server.most = 0

        assert await told(*(server.call() for _ in range(2 * MOST))) == {"float": 2 * MOST}
        assert server.most == MOST

    cancelled()
