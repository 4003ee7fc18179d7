"""The parts of the bus that need no server."""

import asyncio
import time

import nats.errors
import pytest
from chassis.nats.connection.connection import inbox_prefix
from chassis.nats.jetstream.messages import ascii_header, stream_of
from chassis.nats.messaging.guard import guard
from chassis.nats.messaging.locks import KeyedLocks
from nats.js.errors import ServiceUnavailableError


def test_an_inbox_prefix_is_a_subject() -> None:
    assert inbox_prefix("agent-runner") == "_INBOX_agent-runner"
    assert inbox_prefix("a.b *>") == "_INBOX_a_b___"


def test_a_subject_has_its_stream() -> None:
    assert stream_of("voice.v1.session.tick.session_1") == "SESSIONS"
    assert stream_of("voice.v1.session.*.session_1") == "SESSIONS"
    assert stream_of("voice.v1.room.room_finished.session_1") == "ROOMS"
    assert stream_of("dead.voice.v1.session.tick.session_1") == "DEAD"
    with pytest.raises(ValueError, match="no stream"):
        stream_of("voice.v1.node.n1.end")


def test_a_header_is_one_line_of_ascii() -> None:
    assert ascii_header("line\r\nInjected: yes ✓") == "line Injected: yes \\u2713"
    assert len(ascii_header("x" * 10_000)) == 500


async def test_a_lock_is_given_in_order_of_asking_and_forgotten() -> None:
    locks = KeyedLocks()
    order: list[int] = []

    async def work(n: int) -> None:
        async with locks.held("a"):
            order.append(n)
            await asyncio.sleep(0.001)

    async with locks.held("b"):  # another key does not wait
        await asyncio.gather(*(work(n) for n in range(20)))
    assert order == list(range(20))
    assert len(locks) == 0


async def test_a_lock_whose_waiter_gives_up_is_forgotten() -> None:
    locks = KeyedLocks()
    async with locks.held("a"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), locks.held("a"):
                raise AssertionError
    assert len(locks) == 0


class Subscription:
    """A fetch that fails, or answers, on command."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)

    async def fetch(self, _batch: int, _timeout: float | None, _heartbeat: float | None) -> list[object]:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return [answer]


class Guarded:
    def __init__(self, *answers: object) -> None:
        self.subscription = Subscription(*answers)
        self.stopping = asyncio.Event()
        self.repaired = self.progressed = 0
        guard(self.subscription, self._repair, self._progress, self.stopping)

    async def _repair(self) -> None:
        self.repaired += 1

    def _progress(self) -> None:
        self.progressed += 1

    async def fetch(self) -> list[object]:
        return await self.subscription.fetch(1, 2, None)


async def test_the_guard_passes_messages_on_and_counts_them_as_progress() -> None:
    guarded = Guarded("message", TimeoutError())
    assert await guarded.fetch() == ["message"]
    with pytest.raises(nats.errors.TimeoutError):
        await guarded.fetch()
    assert (guarded.progressed, guarded.repaired) == (2, 0)


@pytest.mark.parametrize(
    ("error", "seen", "repaired"),
    [
        (ServiceUnavailableError(), ServiceUnavailableError, 1),
        (nats.errors.ConnectionClosedError(), nats.errors.ConnectionClosedError, 0),
        (nats.errors.OutboundBufferLimitError(), nats.errors.TimeoutError, 0),
        (RuntimeError("anything"), nats.errors.TimeoutError, 0),
    ],
)
async def test_an_error_that_comes_at_once_is_slowed_down(
    error: Exception, seen: type[Exception], repaired: int
) -> None:
    guarded = Guarded(error)
    started = time.monotonic()
    with pytest.raises(seen):
        await guarded.fetch()
    assert time.monotonic() - started > 0.2
    assert (guarded.progressed, guarded.repaired) == (0, repaired)


async def test_a_stopping_consumer_fetches_nothing_more() -> None:
    guarded = Guarded("message")
    guarded.stopping.set()
    with pytest.raises(nats.errors.TimeoutError):
        await guarded.fetch()
    assert guarded.subscription.answers == ["message"]
