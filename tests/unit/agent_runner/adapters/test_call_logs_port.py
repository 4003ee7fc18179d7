"""What `ports.CallLogs` promises, by its fake and by the copier to Redis, for which no server is needed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent_runner.adapters.redis_call_logs import RedisCallLogs
from agent_runner.ports import CallLogs
from tests.support.agent_runner.fakes import FakeCallLogs

SESSION = "session_1"
AWAY = "redis://127.0.0.1:1/0"

pytestmark = pytest.mark.parametrize("make", [FakeCallLogs, lambda: RedisCallLogs(AWAY)], ids=["fake", "redis"])
Make = Callable[[], CallLogs]


async def test_a_session_is_followed_until_each_of_its_jobs_has_left_it(tmp_path: Path, make: Make) -> None:
    logs, file = make(), tmp_path / "session_1.log"
    assert not await follows(logs, file)
    logs.follow(SESSION, file)
    logs.follow(SESSION, file)
    logs.leave(SESSION)
    assert await follows(logs, file), "the newer epoch still writes"
    logs.leave(SESSION)
    await follows(logs, file)
    assert not await follows(logs, file)


async def test_a_session_that_is_not_followed_can_be_left(tmp_path: Path, make: Make) -> None:
    logs, file = make(), tmp_path / "session_1.log"
    logs.leave(SESSION)
    logs.follow(SESSION, file)
    assert await follows(logs, file)


async def follows(logs: CallLogs, file: Path) -> bool:
    """Whether a line that is written now is copied."""
    if isinstance(logs, FakeCallLogs):
        return SESSION in logs.followed
    assert isinstance(logs, RedisCallLogs)
    with file.open("a") as log:
        log.write("a line\n")
    await logs.carry()
    return bool(logs.waiting(SESSION))
