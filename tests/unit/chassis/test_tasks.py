"""Background tasks: nothing is lost, and the first of several decides."""

import asyncio

import pytest
import structlog

from chassis.tasks import Tasks, cancel, first_of


async def fail() -> None:
    raise ValueError("boom")


async def test_a_failure_is_logged_and_reported_with_the_tasks_name() -> None:
    failures: list[tuple[str, str]] = []
    tasks = Tasks(lambda name, error: failures.append((name, str(error))))

    with structlog.testing.capture_logs() as lines:
        await asyncio.wait([tasks.spawn(fail(), name="janitor")])

    assert failures == [("janitor", "boom")]
    assert [(line["event"], line["task"]) for line in lines] == [("task.failed", "janitor")]
    assert len(tasks) == 0


async def test_a_cancelled_task_has_not_failed() -> None:
    failures: list[str] = []
    tasks = Tasks(lambda name, _error: failures.append(name))
    tasks.spawn(asyncio.sleep(10))

    await tasks.cancel()

    assert (failures, len(tasks)) == ([], 0)


async def test_a_drain_waits_for_what_ends_in_time_and_cancels_the_rest() -> None:
    tasks = Tasks()
    short, long = tasks.spawn(asyncio.sleep(0.01)), tasks.spawn(asyncio.sleep(10))

    await tasks.drain(0.1)

    assert (short.cancelled(), long.cancelled()) == (False, True)


async def test_a_drain_without_tasks_returns() -> None:
    await Tasks().drain(10)


async def test_the_first_to_end_is_told_and_the_other_is_cancelled() -> None:
    never, now = asyncio.Event(), asyncio.Event()
    other = asyncio.ensure_future(never.wait())
    now.set()

    assert await first_of(other, now.wait()) == 1
    assert other.cancelled()


async def test_the_lowest_position_wins_when_several_ended() -> None:
    now = asyncio.Event()
    now.set()

    assert await first_of(now.wait(), now.wait()) == 0


async def test_after_the_timeout_there_is_no_first() -> None:
    assert await first_of(asyncio.Event().wait(), asyncio.Event().wait(), timeout_s=0.01) is None


async def test_the_failure_of_the_first_is_raised() -> None:
    with pytest.raises(ValueError, match="boom"):
        await first_of(asyncio.Event().wait(), fail())


async def test_a_shielded_future_survives() -> None:
    closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    assert await first_of(asyncio.sleep(0), asyncio.shield(closed)) == 0
    assert not closed.done()


async def test_a_cancelled_wait_cancels_what_it_waited_for() -> None:
    other = asyncio.ensure_future(asyncio.Event().wait())
    waiting = asyncio.ensure_future(first_of(other))
    await asyncio.sleep(0)

    await cancel(waiting)

    assert waiting.cancelled()
    assert other.cancelled()
