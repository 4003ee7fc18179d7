"""What the gateway's `ReadModel` and `ReadModelWriter` promise, by their fake and by Redis."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from contracts.events import Event
from gateway.adapters.redis_projection import RedisProjection
from gateway.adapters.redis_read_model import RedisReadModel
from gateway.domain.read_model import SessionState, Status, fold_all
from gateway.ports import PositionMoved, ReadModel, ReadModelUnavailable, ReadModelWriter
from tests.support.events import assigned, ended, ready, requested, started
from tests.support.gateway.fakes import FakeReadModel
from tests.support.servers import RedisServer


@dataclass
class Model:
    """Both sides of the read model, and the loss of its server."""

    read: ReadModel
    writer: ReadModelWriter
    go_away: Callable[[], None]


@pytest.fixture
def fake() -> Model:
    model = FakeReadModel()
    return Model(model, model, lambda: setattr(model, "is_away", True))


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Model]:
    read = RedisReadModel(redis_server.url, deadline_s=1)
    writer = RedisProjection(redis_server.url, deadline_s=1, ttl_s=10**9, user_ttl_s=10**9)
    yield Model(read, writer, redis_server.kill9)
    await read.close()
    await writer.close()


@pytest.fixture(params=["fake", "redis"])
def model(request: pytest.FixtureRequest) -> Model:
    return request.getfixturevalue(request.param)


def state(session_id: str, *more: Event) -> SessionState:
    state = fold_all([requested(session_id), *more])
    assert state is not None
    return state


WAITING = state("session_waiting")
LIVE = state("session_live", *(make(session_id="session_live") for make in (assigned, ready, started)))
OVER = state("session_over", ended(session_id="session_over"))


async def test_what_is_written_is_read_with_its_position(model: Model) -> None:
    assert (await model.writer.position(), await model.read.get(LIVE.session_id)) == (None, None)
    await model.writer.write([WAITING, LIVE, OVER], {"Ann": {"updatedAt": "9999999999"}}, at=None, then="7")

    assert await model.writer.position() == "7"
    assert await model.read.get(LIVE.session_id) == LIVE
    assert await model.writer.states([OVER.session_id, "session_none"]) == {OVER.session_id: OVER}
    assert {s.session_id for s in (await model.read.page(frozenset(), limit=9, cursor=None)).sessions} == {
        one.session_id for one in (WAITING, LIVE, OVER)
    }
    ended_ones = await model.read.page(frozenset({Status.ENDED}), limit=9, cursor=None)
    assert (list(ended_ones.sessions), ended_ones.next_cursor) == ([OVER], None)
    counted = await model.read.count()
    assert (counted.get(WAITING.status, 0), counted.get(LIVE.status, 0)) == (1, 1)


async def test_a_writer_whose_position_moved_writes_nothing(model: Model) -> None:
    await model.writer.write([WAITING], {}, at=None, then="7")
    with pytest.raises(PositionMoved):
        await model.writer.write([OVER], {}, at="6", then="8")
    assert (await model.writer.position(), await model.read.get(OVER.session_id)) == ("7", None)


async def test_every_method_names_a_store_that_is_away(model: Model) -> None:
    model.go_away()
    calls: tuple[Awaitable[object], ...] = (
        model.read.get(LIVE.session_id),
        model.read.page(frozenset(), limit=9, cursor=None),
        model.read.count(),
        model.writer.position(),
        model.writer.states([LIVE.session_id]),
        model.writer.write([LIVE], {}, at=None, then="7"),
        model.writer.mirror_pool(frozenset()),
    )
    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(answer) for answer in answers] == [ReadModelUnavailable] * len(calls)
    assert not (await model.read.check()).ok
