"""What `Forks` and `WorkerProcess` promise, by their fakes and by the forkserver with real processes."""

import pytest

from agent_runner.link.messages import End, Ready
from agent_runner.ports import Forks
from tests.support.agent_runner.fakes import Ear, FakeForks
from tests.support.waiting import until


@pytest.fixture
def fake() -> FakeForks:
    return FakeForks()


@pytest.fixture(params=["fake", "forkserver"])
def any_forks(request: pytest.FixtureRequest) -> Forks:
    return request.getfixturevalue(request.param)


async def test_a_worker_gets_ready_and_is_gone_once(any_forks: Forks) -> None:
    first, second = Ear(), Ear()
    workers = [await any_forks.fork(listener) for listener in (first, second)]
    if isinstance(any_forks, FakeForks):
        any_forks.get_ready()
    await until(lambda: first.heard and second.heard)
    assert [listener.heard[0] for listener in (first, second)] == [Ready(pid=worker.pid) for worker in workers]
    assert [worker.is_gone for worker in workers] == [False, False]

    for _ in range(2):
        workers[0].kill()
    await until(lambda: first.gone_at)
    workers[0].send(End())

    assert (workers[0].is_gone, workers[1].is_gone) == (True, False)
    assert (len(first.gone_at), len(second.gone_at)) == (1, 0)
    workers[1].kill()
    await until(lambda: second.gone_at)
