"""A start whose client waits for the agent: with the answer, with a stream, or with a request that follows."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import Mock

import httpx
import pytest

from chassis.web import WebServer
from contracts.errors import Refused
from contracts.events import Event, Outcome, SessionRequested
from gateway.app import stop_serving
from gateway.domain.waiting import AwaitedStage, failure
from gateway.routes.event_streams import EventStreams
from gateway.routes.waits import Waits
from tests.support.asgi import scope
from tests.support.events import SESSION, assigned, ended, queued, ready, requested, speaking, turn
from tests.support.gateway.fakes import FULL_QUEUE, FakeLog
from tests.support.gateway.world import World
from tests.support.waiting import until

START = "/orchestrator/session/start"
FOLLOW = f"/v1/sessions/{SESSION}/start"
STREAM = {"Accept": "text/event-stream"}


def events_of(answer: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    """The events of a stream, comments left out."""
    blocks = [block.split("\n") for block in answer.text.strip().split("\n\n") if not block.startswith(":")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def then(world: World, *events: Event) -> None:
    """What happens once a start is in the log."""

    async def happen(event: Event) -> None:
        world.log.events.extend(each.model_copy(update={"session_id": event.session_id}) for each in events)

    world.log.opening = happen


def nats_leaves_after_the_start(world: World) -> None:
    publish = world.log.open

    async def publish_and_leave(event: Event, _secret: str = "") -> int:
        seq = await publish(event)
        world.log.is_away = True
        return seq

    world.log.open = publish_and_leave  # type: ignore[method-assign]


async def test_a_stream_begins_with_the_token_and_ends_with_the_agents_voice(
    api: httpx.AsyncClient, world: World
) -> None:
    then(world, ready(), speaking())

    answer = await api.post(START, json={"userName": "Ann"}, headers=STREAM)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert answer.headers["cache-control"] == "no-store"
    [(first, accepted), (second, joined), (third, heard)] = events_of(answer)
    assert (first, second, third) == ("accepted", "joined", "speaking")
    assert accepted["token"].startswith("ey")
    session_id = accepted["sessionId"]
    assert joined == {"sessionId": session_id, "stage": "joined", "stageMs": {"join": 120}}
    assert heard == {"sessionId": session_id, "stage": "speaking", "stageMs": {"join": 120, "heard": 180}}


async def test_a_stream_that_waits_for_joined_ends_there(api: httpx.AsyncClient, world: World) -> None:
    then(world, ready(), speaking())

    answer = await api.post(START, json={"userName": "Ann", "wait": "joined"}, headers=STREAM)

    assert [name for name, _ in events_of(answer)] == ["accepted", "joined"]


async def test_a_stream_tells_why_the_agent_does_not_come(api: httpx.AsyncClient, world: World) -> None:
    then(world, ended(outcome=Outcome.FAILED, reason="start_timeout"))

    answer = await api.post(START, json={"userName": "Ann"}, headers=STREAM | {"X-Request-Id": "mine-1"})

    [_, (name, problem)] = events_of(answer)
    assert (name, problem["code"], problem["fault"]) == ("failed", "agent_start_timeout", "platform")
    assert problem["request_id"] == "mine-1"
    assert problem["retryable"] is True


async def test_a_stream_stays_alive_and_ends_at_its_deadline(api: httpx.AsyncClient, world: World) -> None:
    world.log.goes_on = True

    answer = await api.post(START, json={"userName": "Ann", "deadlineMs": 300}, headers=STREAM)

    assert answer.text.count(": ping\n\n") >= 2
    assert [name for name, _ in events_of(answer)] == ["accepted", "failed"]
    assert events_of(answer)[1][1]["code"] == "start_pending"


async def test_a_refusal_before_the_session_exists_is_no_stream(api: httpx.AsyncClient) -> None:
    answer = await api.post(START, json={"userName": ""}, headers=STREAM)

    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


async def test_an_answer_cannot_wait_for_a_caller_who_has_no_token(api: httpx.AsyncClient, world: World) -> None:
    answer = await api.post(START, json={"userName": "Ann", "wait": "speaking"})

    assert (answer.status_code, answer.json()["code"]) == (422, "token_first")
    assert [error["field"] for error in answer.json()["errors"]] == ["wait"]
    assert "text/event-stream" in answer.json()["fix"]
    assert "/api/token" in answer.json()["fix"]
    assert world.rooms.made == 0


@pytest.mark.parametrize("deadline_ms", [99, 60_001, 0, -1, "soon"])
async def test_a_deadline_out_of_bounds_is_named(api: httpx.AsyncClient, deadline_ms: object) -> None:
    answer = await api.post(START, json={"userName": "Ann", "deadlineMs": deadline_ms})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "deadlineMs")


async def test_a_start_that_was_accepted_can_be_followed(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [requested(), ready(), speaking()]

    joined = await api.get(FOLLOW)
    heard = await api.get(FOLLOW, params={"wait": "speaking", "deadlineMs": 500})
    stream = await api.get(FOLLOW, params={"wait": "speaking"}, headers=STREAM)

    assert joined.json() == {"sessionId": SESSION, "stage": "joined", "stageMs": {"join": 120}}
    assert heard.json() == {"sessionId": SESSION, "stage": "speaking", "stageMs": {"join": 120, "heard": 180}}
    assert [name for name, _ in events_of(stream)] == ["joined", "speaking"]


async def test_a_session_that_nobody_started_cannot_be_followed(api: httpx.AsyncClient) -> None:
    assert (await api.get(FOLLOW)).json()["code"] == "unknown_session"
    assert (await api.get("/v1/sessions/nonsense/start")).json()["code"] == "invalid_session_id"
    assert (await api.get(FOLLOW, params={"wait": "accepted"})).json()["code"] == "invalid_request"


async def test_following_ends_at_its_deadline_and_names_the_session(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [requested()]
    world.log.goes_on = True

    answer = await api.get(FOLLOW, params={"deadlineMs": 100})

    assert (answer.status_code, answer.json()["code"], answer.json()["session_id"]) == (504, "start_pending", SESSION)
    assert answer.headers["Retry-After"] == "1"


async def test_a_node_of_an_older_version_says_by_its_first_turn_that_it_speaks(
    api: httpx.AsyncClient, world: World
) -> None:
    world.log.events = [requested(), ready(), turn(heard="Hi Ann!")]

    answer = await api.get(FOLLOW, params={"wait": "speaking"})

    assert answer.json()["stageMs"] == {"join": 120}


@pytest.mark.parametrize(
    ("outcome", "reason", "status", "code", "fault"),
    [
        (Outcome.REJECTED, "queue_full", 429, "queue_full", "capacity"),
        (Outcome.REJECTED, "no_nodes", 503, "no_capacity", "capacity"),
        (Outcome.REJECTED, "max_bots", 503, "no_capacity", "capacity"),
        (Outcome.REJECTED, "queue_deadline", 503, "no_capacity", "capacity"),
        (Outcome.FAILED, "no_capacity", 503, "no_capacity", "capacity"),
        (Outcome.REJECTED, "nodes_failing", 503, "no_capacity", "capacity"),
        (Outcome.FAILED, "nodes_failing", 503, "no_capacity", "capacity"),
        (Outcome.FAILED, "attempts_failed", 503, "start_failed", "platform"),
        (Outcome.FAILED, "start_timeout", 503, "agent_start_timeout", "platform"),
        (Outcome.FAILED, "provider_failed:stt", 503, "provider_unavailable", "provider"),
        (Outcome.FAILED, "agent_failed", 503, "start_failed", "platform"),
        (Outcome.NO_SHOW, "caller_never_joined", 409, "caller_never_joined", "client"),
        (Outcome.COMPLETED, "requested", 409, "session_ended", "client"),
        (Outcome.COMPLETED, "credit_spent", 402, "insufficient_credit", "client"),
    ],
)
def test_each_end_before_the_agent_is_a_problem_of_its_own(
    outcome: Outcome, reason: str, status: int, code: str, fault: str
) -> None:
    refused = failure(ended(outcome=outcome, reason=reason))

    assert (refused.problem.status, refused.problem.code, refused.problem.fault) == (status, code, fault)
    assert reason in refused.detail
    assert (refused.retry_after_s is not None) is refused.problem.retryable


async def test_where_the_queue_may_be_full_a_refusal_is_a_429(api: httpx.AsyncClient, world: World) -> None:
    world.queue.state = FULL_QUEUE
    then(world, ended(0, 0, outcome=Outcome.REJECTED, reason="queue_full"))
    open_ = world.log.open

    async def first_the_request(event: Event, _secret: str = "") -> int:
        seq = await open_(event)
        world.log.events.sort(key=lambda each: not isinstance(each, SessionRequested))
        return seq

    world.log.open = first_the_request  # type: ignore[method-assign]

    answer = await api.post(START, json={"userName": "Ann"})

    assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json()["session_id"] == world.log.requests()[0].session_id


@pytest.mark.parametrize("word", [queued(), assigned()])
async def test_where_the_queue_may_be_full_a_start_that_may_wait_is_accepted(
    api: httpx.AsyncClient, world: World, word: Event
) -> None:
    world.queue.state = FULL_QUEUE

    async def scheduler() -> None:
        for _ in range(1000):
            await asyncio.sleep(0.001)
            if world.log.requests():
                break
        world.log.events.append(word.model_copy(update={"session_id": world.log.requests()[0].session_id}))

    playing = asyncio.create_task(scheduler())
    answer = await api.post(START, json={"userName": "Ann"})
    await playing

    assert answer.status_code == 200


async def test_without_pressure_a_start_asks_nothing_more(api: httpx.AsyncClient, world: World) -> None:
    async def asked(*_: object) -> None:
        raise AssertionError("an ordinary start reads nothing back")

    world.log.latest = asked  # type: ignore[method-assign]
    world.log.last = asked  # type: ignore[method-assign,assignment]

    assert (await api.post(START, json={"userName": "Ann"})).status_code == 200


async def test_more_waiting_requests_than_places_are_refused_before_anything_is_made(
    api: httpx.AsyncClient, world: World
) -> None:
    world.log.events = [requested()]
    world.log.goes_on = True
    waiting = [asyncio.create_task(api.get(FOLLOW, params={"deadlineMs": 400})) for _ in range(3)]
    await asyncio.sleep(0.05)

    stream = await api.post(START, json={"userName": "Ann"}, headers=STREAM)
    plain = await api.post(START, json={"userName": "Ann"})

    assert (stream.status_code, stream.json()["code"]) == (503, "too_many_waiting")
    assert plain.status_code == 200
    assert len(world.log.requests()) == 2
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {504}
    assert (await api.get(FOLLOW, params={"deadlineMs": 100})).json()["code"] == "start_pending", (
        "places are free again"
    )


async def test_the_scheduler_is_heard_until_the_deadline_and_no_longer(api: httpx.AsyncClient, world: World) -> None:
    world.queue.state = FULL_QUEUE
    latest, reads = world.log.latest, 0

    async def count(session_id: str) -> Event | None:
        nonlocal reads
        reads += 1
        return await latest(session_id)

    world.log.latest = count  # type: ignore[method-assign]

    answer = await api.post(START, json={"userName": "Ann", "deadlineMs": 100})

    assert (answer.status_code, answer.json()["code"]) == (504, "start_pending")
    assert answer.json()["session_id"] == world.log.requests()[0].session_id
    assert answer.json()["retryable"] is True
    assert "Retry-After" in answer.headers
    assert reads <= 4  # after 5, 15, 35 and 75 ms


@pytest.mark.parametrize(
    ("word", "status", "code"),
    [
        (ended(0, 0, outcome=Outcome.REJECTED, reason="queue_full"), 429, "queue_full"),
        (queued(), 200, None),
    ],
)
async def test_a_scheduler_that_speaks_late_is_still_heard(
    api: httpx.AsyncClient, world: World, word: Event, status: int, code: str | None
) -> None:
    """On a busy machine its first word takes more than a second; a 200 before it may be false."""
    world.queue.state = FULL_QUEUE

    async def scheduler() -> None:
        await asyncio.sleep(1.2)
        world.log.events.append(word.model_copy(update={"session_id": world.log.requests()[0].session_id}))

    playing = asyncio.create_task(scheduler())
    answer = await api.post(START, json={"userName": "Ann", "deadlineMs": 20_000})
    await playing

    assert (answer.status_code, answer.json().get("code")) == (status, code)


async def test_a_start_that_waits_is_accepted_once_no_scheduler_leads(api: httpx.AsyncClient, world: World) -> None:
    world.queue.state = FULL_QUEUE

    async def leave() -> None:
        await asyncio.sleep(0.1)
        world.queue.state = None

    leaving = asyncio.create_task(leave())
    answer = await api.post(START, json={"userName": "Ann", "deadlineMs": 20_000})
    await leaving

    assert answer.status_code == 200


async def test_the_repetition_of_a_start_without_the_schedulers_word_waits_for_it_too(
    api: httpx.AsyncClient, world: World
) -> None:
    world.queue.state = FULL_QUEUE
    start = {"json": {"userName": "Ann", "deadlineMs": 100}, "headers": {"Idempotency-Key": "k"}}

    early = [await api.post(START, **start) for _ in range(2)]
    session_id = world.log.requests()[0].session_id
    world.log.events.append(queued().model_copy(update={"session_id": session_id}))
    late = await api.post(START, **start)

    assert [answer.status_code for answer in early] == [504, 504]
    assert {answer.json()["session_id"] for answer in early} == {session_id}
    assert (late.status_code, late.json()["sessionId"]) == (200, session_id)


async def test_a_start_that_nats_leaves_before_the_schedulers_word_is_pending_not_accepted(
    api: httpx.AsyncClient, world: World
) -> None:
    world.queue.state = FULL_QUEUE
    nats_leaves_after_the_start(world)

    answer = await api.post(START, json={"userName": "Ann", "deadlineMs": 200})

    assert (answer.status_code, answer.json()["code"]) == (504, "start_pending")
    assert answer.json()["session_id"] == world.log.requests()[0].session_id


async def test_starts_that_wait_for_the_schedulers_word_take_no_place_and_read_a_few_at_a_time(
    api: httpx.AsyncClient, world: World
) -> None:
    world.queue.state = FULL_QUEUE
    latest, reading, most = world.log.latest, 0, 0

    async def slow(session_id: str) -> Event | None:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        try:
            await asyncio.sleep(0.02)
            return await latest(session_id)
        finally:
            reading -= 1

    world.log.latest = slow  # type: ignore[method-assign]

    starts = (api.post(START, json={"userName": f"User {n}", "deadlineMs": 3000}) for n in range(60))
    answers = await asyncio.gather(*starts)

    # on a busy machine some are not yet accepted at their deadline
    assert {answer.json()["code"] for answer in answers} <= {"start_pending", "deadline_exceeded"}
    assert 1 < most <= 32


@pytest.mark.parametrize("headers", [{}, STREAM])
async def test_a_wait_that_nats_ends_names_the_session(
    api: httpx.AsyncClient, world: World, headers: dict[str, str]
) -> None:
    nats_leaves_after_the_start(world)

    answer = await api.post(START, json={"userName": "Ann", "wait": "joined"}, headers=headers)

    problem = events_of(answer)[1][1] if headers else answer.json()
    assert (problem["code"], problem["session_id"]) == ("bus_unavailable", world.log.requests()[0].session_id)


async def test_a_wait_that_ends_just_now_does_not_hinder_the_stop(world: World) -> None:
    """Its timeout has expired, and what it follows is still being closed."""
    closing, closed = asyncio.Event(), asyncio.Event()

    class SlowToClose(FakeLog):
        @asynccontextmanager
        async def follow(
            self, session_id: str, *events: type[Event], since: int | None = None, past: bool = True
        ) -> AsyncGenerator[AsyncIterator[Event]]:
            async with super().follow(session_id, *events, since=since, past=past) as found:
                try:
                    yield found
                finally:
                    closing.set()
                    await closed.wait()

    log = SlowToClose(requested())
    log.goes_on = True

    async def tell(_stage: AwaitedStage, _stage_ms: Mapping[str, int]) -> None:
        raise AssertionError

    until = asyncio.get_running_loop().time()
    ending = asyncio.create_task(world.waits.follow("joined", SESSION, log, until=until + 0.01, tell=tell))
    await closing.wait()

    world.waits.stop()

    closed.set()
    with pytest.raises(Refused, match="gateway_stopping"):
        await ending


@pytest.mark.parametrize(
    ("method", "path", "body"), [("POST", START, b'{"userName": "Ann", "wait": "joined"}'), ("GET", FOLLOW, b"")]
)
async def test_a_client_that_leaves_releases_its_place(world: World, method: str, path: str, body: bytes) -> None:
    world.log.events = [requested()]
    world.log.goes_on = True
    came: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    came.put_nowait({"type": "http.request", "body": body})
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = {"host": "localhost", "content-type": "application/json", "content-length": str(len(body))}
    waiting = asyncio.create_task(world.app()(scope(path, method=method, headers=headers), came.get, send))
    await until(lambda: world.waits._permits)
    came.put_nowait({"type": "http.disconnect"})

    await asyncio.wait_for(waiting, 1)

    assert world.waits._permits == 0
    assert sent[0]["status"] == 499


async def test_the_server_stops_whatever_becomes_of_those_who_wait() -> None:
    class Failing(Waits):
        def stop(self) -> None:
            raise RuntimeError("a bug")

    server = Mock(spec=WebServer)

    with pytest.raises(RuntimeError, match="a bug"):
        await stop_serving(Failing(limit=1), EventStreams(limit=1), server)

    server.stop.assert_awaited_once_with()


@pytest.mark.parametrize("headers", [{}, STREAM])
async def test_a_gateway_that_stops_tells_those_who_wait(
    api: httpx.AsyncClient, world: World, headers: dict[str, str]
) -> None:
    world.log.goes_on = True
    start = {"userName": "Ann", "wait": "joined"}
    waiting = asyncio.create_task(api.post(START, json=start, headers=headers))
    await asyncio.sleep(0.1)

    world.waits.stop()
    answer = await asyncio.wait_for(waiting, 2)
    late = await api.post(START, json=start)

    problem = events_of(answer)[1][1] if headers else answer.json()
    assert (problem["code"], problem["retryable"]) == ("gateway_stopping", True)
    assert problem["session_id"] == world.log.requests()[0].session_id
    assert (late.status_code, late.json()["code"]) == (503, "gateway_stopping")
