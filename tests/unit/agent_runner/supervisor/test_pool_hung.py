"""What a job gets when an idle worker has missed two beats."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from agent_runner.domain.pulse import LOOK_S, silence_step
from agent_runner.link.messages import BEAT_S, Ready
from agent_runner.supervisor.pool import Taken
from tests.support.agent_runner.fakes import FakeWorker
from tests.support.agent_runner.node_scene import NodeScene


class Scene(NodeScene):
    """A node with three slots and two workers ready."""

    def silence(self, seconds: float, *beating: FakeWorker) -> None:
        """Looks, with words from some of the workers only."""
        for _ in range(round(seconds / LOOK_S)):
            self.now += LOOK_S
            self.pool.look(LOOK_S)
            for worker in beating:
                worker.say(Ready(pid=worker.pid))

    async def take(self) -> "asyncio.Task[Taken]":
        """A job asks for a worker."""
        self.pool.change_slots(jobs=1)
        taking = asyncio.create_task(self.pool.take(1))
        await self.settle()
        return taking


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene.with_two_ready(slots=3) as scene:
        yield scene


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
