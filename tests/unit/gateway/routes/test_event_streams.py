"""Streams of events: what they tell, how they end, and that nothing stays open behind them."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
from fastapi.sse import EventSourceResponse

from contracts.errors import Refused
from contracts.events import Event
from gateway.domain.access import AccessRules, parse_keys
from gateway.domain.logged import FellBehind
from gateway.routes.event_streams import EventStreams
from gateway.routes.live import LiveSessions, Stream
from tests.support.asgi import scope
from tests.support.events import SESSION, assigned, at, billed, ended, ready, requested, started, tick, turn
from tests.support.gateway.fakes import FakeWatch
from tests.support.gateway.world import KEY, World
from tests.support.waiting import until

OTHER = "session_b"
CALL: list[Event] = [requested(), assigned(), ready(), started()]
Events = list[tuple[str, str, Any]]


def events_of(text: str) -> Events:
    """Event, id and data of each."""
    found: Events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
    return found


def comments_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(":")]


async def read(api: httpx.AsyncClient, path: str, ms: int = 150, **headers: str) -> httpx.Response:
    return await api.get(
        path, params={"deadlineMs": ms}, headers={name.replace("_", "-"): v for name, v in headers.items()}
    )


PATH = f"/v1/sessions/{SESSION}/events"


async def test_a_stream_begins_with_what_the_log_has_and_tells_what_comes(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [requested(OTHER), *CALL]
    reading = asyncio.create_task(read(api, PATH))
    await until(lambda: world.log.watchers)
    await asyncio.sleep(0.02)
    world.log.events += [turn(session_id=OTHER), turn(heard="Hi!")]

    answer = await reading

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [(kind, seq) for kind, seq, _ in events_of(answer.text)] == [
        ("requested", "2"),
        ("assigned", "3"),
        ("agent_ready", "4"),
        ("started", "5"),
        ("turn", "7"),
    ]
    assert events_of(answer.text)[1][2]["title"] == "The scheduler gave the call to node n1"
    assert answer.text.startswith("retry: ")
    assert world.log.watchers == 0


async def test_the_bill_of_a_call_whose_node_died_is_told_as_in_the_timeline(
    api: httpx.AsyncClient, world: World
) -> None:
    """Its faults are known by ticks only, which the log's tail does not have."""
    world.log.events = [*CALL]
    reading = asyncio.create_task(read(api, PATH, ms=2_000))
    await until(lambda: world.log.watchers)
    await asyncio.sleep(0.02)
    world.log.events += [tick(60_000, fault_ms=4_000), ended(), billed()]

    told = events_of((await reading).text)[-1]

    entries = (await api.get(f"/v1/sessions/{SESSION}/timeline")).json()["entries"]
    assert told[0] == "billed"
    assert told[2]["detail"]["faultMs"] == 4_000
    assert told[2] == entries[-1]


async def test_a_stream_goes_on_after_the_last_event_that_the_client_has(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [*CALL]

    answer = await read(api, PATH, Last_Event_ID="3")

    assert [seq for _, seq, _ in events_of(answer.text)] == ["4"]


async def test_a_log_that_was_created_again_is_told_from_its_beginning(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [*CALL]

    answer = await read(api, PATH, Last_Event_ID="900")

    assert [seq for _, seq, _ in events_of(answer.text)] == ["1", "2", "3", "4"]


async def test_a_stream_ends_with_the_bill(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [*CALL]
    reading = asyncio.create_task(api.get(PATH))
    await until(lambda: world.log.watchers)
    world.log.events += [ended(), billed()]

    answer = await asyncio.wait_for(reading, 2)

    assert [kind for kind, _, _ in events_of(answer.text)][-2:] == ["ended", "billed"]


async def test_a_finished_session_is_told_at_once_and_a_client_that_has_all_gets_204(
    api: httpx.AsyncClient, world: World
) -> None:
    world.log.events = [*CALL, ended(), billed()]

    whole, rest = await api.get(PATH), await api.get(PATH, headers={"Last-Event-ID": "6"})

    assert [seq for _, seq, _ in events_of(whole.text)] == ["1", "2", "3", "4", "5", "6"]
    assert (rest.status_code, rest.text) == (204, "")


async def test_without_a_bill_a_stream_ends_half_a_minute_after_the_end(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [*CALL, ended(after=-31)]

    answer = await asyncio.wait_for(api.get(PATH), 2)

    assert [kind for kind, _, _ in events_of(answer.text)][-1] == "ended"


async def test_an_unknown_session_has_no_stream(api: httpx.AsyncClient, world: World) -> None:
    answer = await read(api, PATH)

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_session")
    assert world.log.watchers == 0


async def test_an_idle_stream_is_kept_alive_and_ends_at_its_deadline(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [*CALL]

    answer = await read(api, PATH, 180)

    assert len([each for each in comments_of(answer.text) if each == ": ping"]) >= 2
    assert comments_of(answer.text)[-1] == ": deadlineMs has passed"


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "9" * 19])
async def test_an_invalid_last_event_id_is_named(api: httpx.AsyncClient, value: str) -> None:
    answer = await read(api, PATH, Last_Event_ID=value)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "Last-Event-ID")


async def test_a_client_that_fell_behind_is_closed_with_the_reason(api: httpx.AsyncClient, world: World) -> None:
    world.log.events, world.log.is_behind = [*CALL], True

    answer = await read(api, PATH, 5_000)

    assert "read too slowly" in comments_of(answer.text)[-1]
    assert len(events_of(answer.text)) == 4, "what it can resume from"


async def test_more_streams_than_the_limit_are_refused_with_the_reason(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [*CALL]
    reading = [asyncio.create_task(read(api, PATH, 400)) for _ in range(3)]
    await until(lambda: world.log.watchers == 3)

    refused = await read(api, PATH)
    answers = await asyncio.gather(*reading)
    again = await read(api, PATH)

    assert (refused.status_code, refused.json()["code"]) == (503, "too_many_streams")
    assert "3 streams" in refused.json()["detail"]
    assert refused.headers["retry-after"]
    assert [answer.status_code for answer in (*answers, again)] == [200] * 4


@pytest.mark.parametrize("path", [PATH, "/v1/events"])
async def test_a_gateway_that_stops_ends_its_streams_and_opens_no_more(
    api: httpx.AsyncClient, world: World, path: str
) -> None:
    world.log.events = [*CALL]
    reading = asyncio.create_task(api.get(path))
    await until(lambda: world.log.watchers)
    await asyncio.sleep(0.02)

    world.streams.stop()
    answer = await asyncio.wait_for(reading, 2)
    late = await read(api, path)

    assert comments_of(answer.text)[-1] == ": this gateway stops; connect again"
    assert (late.status_code, late.json()["code"]) == (503, "gateway_stopping")


@pytest.mark.parametrize("path", [PATH, "/v1/events"])
async def test_a_client_that_leaves_releases_everything(world: World, path: str) -> None:
    world.log.events = [*CALL]
    came: asyncio.Queue[Any] = asyncio.Queue()
    came.put_nowait({"type": "http.request", "body": b""})

    async def send(message: Any) -> None:
        del message

    streaming = asyncio.create_task(world.app()(scope(path), came.get, send))
    await until(lambda: world.log.watchers)
    await asyncio.sleep(0.05)
    came.put_nowait({"type": "http.disconnect"})
    await asyncio.wait_for(streaming, 2)

    await until(lambda: world.log.watchers == 0)
    assert world.streams._open == 0
    assert not world.streams._waiting


# --- every session ----------------------------------------------------------------------------------------------------


async def test_the_live_stream_begins_with_the_open_sessions(api: httpx.AsyncClient, world: World) -> None:
    world.show(*CALL)
    world.show(requested(OTHER), ended(session_id=OTHER))

    answer = await read(api, "/v1/events")

    assert [(kind, data["sessionId"], data["status"]) for kind, _, data in events_of(answer.text)] == [
        ("session", SESSION, "active")
    ]


async def test_it_begins_with_what_the_read_model_does_not_show_yet(api: httpx.AsyncClient, world: World) -> None:
    world.show(*CALL[:2])
    world.log.events = [*CALL, requested(OTHER), requested("session_c"), ended(session_id="session_c")]

    answer = await read(api, "/v1/events")

    assert {(data["sessionId"], data["status"]) for _, _, data in events_of(answer.text)} == {
        (SESSION, "active"),
        (OTHER, "requested"),
    }


async def test_each_change_is_told_once_for_all_of_its_events(api: httpx.AsyncClient, world: World) -> None:
    world.show(*CALL)
    world.log.events = [*CALL]
    reading = [asyncio.create_task(read(api, "/v1/events", 1_200)) for _ in range(2)]
    await until(lambda: world.log.watchers)
    await asyncio.sleep(0.05)
    world.log.events += [turn(n=1, stage_ms={"total": 900}), turn(n=2, stage_ms={"total": 800}), requested(OTHER)]

    for answer in await asyncio.gather(*reading):
        told = [(data["sessionId"], data["turns"]) for _, _, data in events_of(answer.text)]
        assert told == [(SESSION, 0), (SESSION, 2), (OTHER, 0)]


async def test_the_bill_of_a_session_that_ended_before_is_told(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [*CALL, ended()]
    reading = asyncio.create_task(read(api, "/v1/events", 400))
    await until(lambda: world.log.watchers)
    await asyncio.sleep(0.05)
    world.log.events.append(billed())

    assert [data["credits"] for _, _, data in events_of((await reading).text)] == [2]


async def test_without_redis_there_is_no_live_stream_and_then_there_is(api: httpx.AsyncClient, world: World) -> None:
    world.read_model.is_away = True
    refused = await read(api, "/v1/events")
    world.read_model.is_away = False
    world.show(*CALL)
    answer = await read(api, "/v1/events")

    assert (refused.status_code, refused.json()["code"]) == (503, "redis_unavailable")
    assert len(events_of(answer.text)) == 1


async def test_live_streams_begin_again_after_the_reader_fell_behind(api: httpx.AsyncClient, world: World) -> None:
    world.show(*CALL)
    reading = asyncio.create_task(read(api, "/v1/events", 5_000))
    await until(lambda: world.log.watchers)
    await asyncio.sleep(0.05)
    world.log.is_behind = True
    closed = await asyncio.wait_for(reading, 2)
    world.log.is_behind = False

    assert comments_of(closed.text)[-1].endswith("connect again")
    assert len(events_of((await read(api, "/v1/events")).text)) == 1


async def test_only_admins_see_nodes_in_streams(world: World) -> None:
    world.show(*CALL)
    world.log.events = [*CALL]
    rules = AccessRules(parse_keys([f"{KEY}[sessions]", f"{KEY[:-1]}a"]))
    transport = httpx.ASGITransport(app=world.app(rules))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as api:
        for path in (PATH, "/v1/events"):
            both = [read(api, path, X_API_Key=key) for key in (KEY, f"{KEY[:-1]}a")]
            shown, to_admin = [answer.text for answer in await asyncio.gather(*both)]

            assert '"n1"' not in shown
            assert '"n1"' in to_admin
            assert len(events_of(shown)) == len(events_of(to_admin))


async def test_a_slow_client_of_the_live_stream_has_a_bounded_queue() -> None:
    stream = Stream(b"begin", is_admin=False)
    for _ in range(30):
        stream.tell(b"part")

    with pytest.raises(FellBehind):
        await stream.next()


async def test_the_sessions_are_followed_only_while_a_stream_is_open(world: World) -> None:
    world.show(*CALL)
    live = LiveSessions(world.log, world.read_model, lambda: at(0), 1_200)

    async with live.follow(is_admin=True) as first, live.follow(is_admin=True) as second:
        assert (await first.next()) == (await second.next())
        assert world.log.watchers == 1

    await until(lambda: world.log.watchers == 0)


async def test_a_stream_that_begins_while_the_last_reader_still_stops_is_not_lost(world: World) -> None:
    world.show(*CALL)
    world.log.events = [*CALL]
    watch = world.log.watch

    @asynccontextmanager
    async def slow_to_stop(session_id: str | None = None) -> AsyncGenerator[FakeWatch]:
        async with watch(session_id) as found:
            try:
                yield found
            finally:
                await asyncio.sleep(0.05)  # the client of a store cleans up

    world.log.watch = slow_to_stop  # type: ignore[method-assign]
    live = LiveSessions(world.log, world.read_model, lambda: at(0), 1_200)
    async with live.follow(is_admin=True) as first:
        assert SESSION in (await first.next()).decode()

    async with live.follow(is_admin=True) as second:
        assert SESSION in (await second.next()).decode()
        await asyncio.sleep(0.1)
        world.log.events = [*CALL, ended()]
        assert "ended" in (await asyncio.wait_for(second.next(), 2)).decode()


async def test_a_stream_that_is_never_sent_leaves_no_place_taken() -> None:
    """The client left between the first event and the response."""

    class Nothing:
        async def next(self) -> bytes:
            return b"event: x\n\n"

    @asynccontextmanager
    async def source() -> AsyncGenerator[Nothing]:
        yield Nothing()

    streams = EventStreams(limit=1)
    answer = await streams.respond(source(), keepalive_s=1, deadline_ms=None)
    assert isinstance(answer, EventSourceResponse)
    with pytest.raises(Refused, match="too_many_streams"):
        await streams.respond(source(), keepalive_s=1, deadline_ms=None)

    del answer
    with suppress(TimeoutError):
        await until(lambda: streams._open == 0)
    assert streams._open == 0
