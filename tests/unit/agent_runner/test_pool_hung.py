"""What a job gets when an idle worker has missed two beats."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from agent_runner.domain.link import BEAT_S, Ready
from agent_runner.domain.pool import PoolLimits
from agent_runner.domain.pulse import LOOK_S, silence_step
from agent_runner.handlers.pool import Pool, Taken

from tests.unit.agent_runner.supervisor_fakes import FakeForks, FakeWorker


class Scene:
    """A node with three slots and two workers ready."""

    def __init__(self) -> None:
        self.now = 100.0
        self.forks = FakeForks()
        limits = PoolLimits(slots=3, target=2, max_age_s=3600, start_s=20, silence_s=5)
        self.pool = Pool(self.forks, limits, on_change=lambda: None, clock=lambda: self.now)
        self._running = asyncio.ensure_future(self.pool.run())

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    def silence(self, seconds: float, *beating: FakeWorker) -> None:
        """Looks, with words from some of the workers only."""
        for _ in range(round(seconds / LOOK_S)):
            self.now += LOOK_S
            self.pool.look(LOOK_S)
            for worker in beating:
                worker.say(Ready(pid=worker.pid))

    async def take(self) -> "asyncio.Task[Taken]":
        """A job asks for a worker."""
        self.pool.claim()
        taking = asyncio.create_task(self.pool.take(1))
        await self.settle()
        return taking

    def close(self) -> None:
        self._running.cancel()


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    await scene.settle()
    scene.forks.get_ready()
    yield scene
    scene.close()


async def test_a_job_that_finds_only_silent_workers_gets_a_fork_at_once_in_the_place_of_one(scene: Scene) -> None:
    first, second = scene.forks.workers
    scene.silence(2 * BEAT_S)

    taking = await scene.take()

    assert (first.killed, second.killed) == (True, False)
    forked = scene.forks.workers[2]
    forked.say(Ready(pid=forked.pid))
    taken = await taking
    assert (taken.process, taken.path) == (forked, "fork")


async def test_a_job_gets_the_worker_that_is_not_silent_and_the_other_has_time_to_speak(scene: Scene) -> None:
    first, second = scene.forks.workers
    scene.silence(2 * BEAT_S, second)

    taken = await (await scene.take())

    assert (taken.process, taken.path) == (second, "warm")
    assert not first.killed


async def test_no_worker_is_replaced_for_a_silence_that_may_have_been_the_supervisors(scene: Scene) -> None:
    first, second = scene.forks.workers
    scene.silence(BEAT_S)
    scene.now += 60
    scene.pool.look(silence_step(60))

    taken = await (await scene.take())

    assert (taken.process, taken.path) == (first, "warm")
    assert not second.killed
    scene.silence(2 * BEAT_S)
    await scene.take()
    assert second.killed, "since then it was its own"
