"""A log is read with many requests in flight, whatever the way to NATS takes."""

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from nats.js.errors import NotFoundError

from chassis.nats.connection.connection import Connection
from chassis.nats.connection.translation import translated
from chassis.nats.jetstream import read

SUBJECT = "voice.v1.session.turn.s1"
ROUND_TRIP_S = 0.02


class FarAway:
    """A stream with messages of one subject at these sequences, at the end of a slow connection."""

    def __init__(self, seqs: Sequence[int]) -> None:
        self._seqs = seqs
        self.js = SimpleNamespace(get_msg=self._get)

    async def _get(self, _stream: str, *, seq: int | None, subject: str, next: bool) -> Any:
        await asyncio.sleep(ROUND_TRIP_S)
        found = [at for at in self._seqs if at >= (seq or 0)]
        if not found:
            raise NotFoundError
        at = found[0] if next else found[-1]
        return SimpleNamespace(seq=at, subject=subject, time=datetime.now(UTC), data=b"", headers=None)

    async def ask(self, doing: str, call: Awaitable[Any], deadline_s: float | None = None) -> Any:
        try:
            async with asyncio.timeout(deadline_s):
                return await call
        except (NotFoundError, TimeoutError) as error:
            raise translated(error, doing, "nats://far") from error


@pytest.mark.parametrize(
    "seqs",
    [
        pytest.param([], id="none"),
        pytest.param([7], id="one"),
        pytest.param([1, 2], id="two"),
        pytest.param([*range(3, 20)], id="seventeen in a row"),
        pytest.param([*range(1, 1_000, 10)], id="a hundred"),
        pytest.param([1, *range(900, 930), 5_000], id="unevenly spread"),
    ],
)
async def test_all_messages_are_read_in_order_before_as_many_round_trips_have_passed(seqs: list[int]) -> None:
    connection: Connection | Any = FarAway(seqs)
    deadline_s = 75 * ROUND_TRIP_S
    found = await read.each(connection, "SESSIONS", SUBJECT, deadline_s=deadline_s)
    assert [raw.seq for raw in found] == seqs
