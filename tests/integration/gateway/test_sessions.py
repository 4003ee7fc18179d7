"""Starts, ends and tokens through a real gateway process on real NATS, Redis and LiveKit."""

import asyncio
import base64
import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import jwt
import pytest

from chassis.nats import Bus
from contracts.subjects import ALL_ROOMS
from tests.integration.gateway.playing import (
    END,
    START,
    a_running_call,
    an_end,
    publish,
    requests_in,
    rooms,
    scheduler_that_ends,
)
from tests.support.events import turn
from tests.support.servers import API_KEY, API_SECRET, Gateway, LiveKitServer, NatsServer, RedisServer, free_port
from tests.support.waiting import until
from tests.support.words import with_their_words


async def test_a_start_leaves_a_room_and_the_request_in_the_log(
    api: httpx.AsyncClient, bus: Bus, livekit_server: LiveKitServer
) -> None:
    session_id = (await api.post(START, json={"userName": "Ann"})).json()["sessionId"]

    [room] = await rooms(livekit_server, session_id)
    [request] = await with_their_words(bus, await requests_in(bus))
    assert (room.max_participants, room.empty_timeout, room.departure_timeout) == (100, 90_030, 7_200)
    assert (request.session_id, request.user_name) == (session_id, "Ann")


async def test_one_key_sent_ten_times_at_once_starts_one_session(api: httpx.AsyncClient, bus: Bus) -> None:
    answers = await asyncio.gather(
        *(api.post(START, json={"userName": "Ann"}, headers={"Idempotency-Key": "k1"}) for _ in range(10))
    )

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1, "the very same answer"
    assert len(await requests_in(bus)) == 1


async def test_of_several_starts_with_one_own_id_one_wins(api: httpx.AsyncClient, bus: Bus) -> None:
    answers = await asyncio.gather(
        *(api.post(START, json={"userName": f"User {n}", "sessionId": "session_mine"}) for n in range(5))
    )

    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"session_id_taken"}
    assert len(await requests_in(bus)) == 1


async def test_a_key_outlives_a_gateway_that_was_killed(api: httpx.AsyncClient, gateway: Gateway, bus: Bus) -> None:
    first = await api.post(START, json={"userName": "Ann"}, headers={"Idempotency-Key": "k1"})
    gateway.restart()

    again = await api.post(START, json={"userName": "Ann"}, headers={"Idempotency-Key": "k1"})

    assert again.json() == first.json()
    assert len(await requests_in(bus)) == 1


async def test_an_end_answers_with_the_bills_durations_and_twice_the_same(api: httpx.AsyncClient, bus: Bus) -> None:
    session_id = (await api.post(START, json={"userName": "Ann"})).json()["sessionId"]
    await publish(bus, *a_running_call(session_id))

    async with scheduler_that_ends(bus, billable_ms=61_999):
        first = await api.post(END, json={"sessionId": session_id})
        again = await api.post("/api/session/end", json={"sessionId": session_id})

    ended_at = first.json()["details"]["ended_at"]
    assert first.json()["details"] == {
        "session_id": session_id,
        "celery_task_revoked": True,
        "process_killed": True,
        "redis_cleaned": True,
        "durationSeconds": 61,
        "durationMinutes": 2,
        "outcome": "completed",
        "reason": "requested",
        "ended_at": ended_at,
        "errors": [],
    }
    assert abs(datetime.now(UTC) - datetime.fromisoformat(ended_at)) < timedelta(minutes=1)
    assert again.json() == first.json()


async def test_the_transcript_is_read_from_the_log_while_the_call_runs(api: httpx.AsyncClient, bus: Bus) -> None:
    session_id = (await api.post(START, json={"userName": "Ann", "language": "en-GB"})).json()["sessionId"]
    await publish(bus, *a_running_call(session_id), turn(1, 1, session_id=session_id, user="Rain?", heard="No, sun."))

    answer = await api.get(f"/v1/sessions/{session_id}/transcript")
    text = await api.get(f"/v1/sessions/{session_id}/transcript.txt")

    assert [(t["user"], t["agent"]) for t in answer.json()["turns"]] == [("Rain?", "No, sun.")]
    assert text.text.startswith(f"Session {session_id}, language en-GB\n\n")
    assert [line[10:] for line in text.text.splitlines()[2:]] == ["caller  Rain?", "agent   No, sun."]


async def test_without_a_scheduler_an_end_is_pending_after_three_seconds(api: httpx.AsyncClient) -> None:
    session_id = (await api.post(START, json={"userName": "Ann"})).json()["sessionId"]
    began = time.monotonic()

    answer = await api.post(END, json={"sessionId": session_id})

    assert (answer.status_code, answer.json()["code"]) == (504, "end_pending")
    assert 2.9 < time.monotonic() - began < 6


async def test_a_start_that_waits_answers_when_the_agent_is_there(api: httpx.AsyncClient, bus: Bus) -> None:
    waiting = asyncio.create_task(
        api.post(START, json={"userName": "Ann", "sessionId": "session_mine", "wait": "joined"})
    )
    await until(lambda: requests_in(bus), 10, "the start is requested")
    assert not waiting.done()
    await publish(bus, *a_running_call("session_mine"))

    answer = await asyncio.wait_for(waiting, 5)

    assert (answer.status_code, answer.json()["stageMs"]) == (200, {"join": 120})


async def test_an_ended_session_gets_no_token_and_its_id_is_spent(api: httpx.AsyncClient, bus: Bus) -> None:
    session_id = (await api.post(START, json={"userName": "Ann"})).json()["sessionId"]
    assert (await api.post("/api/token", json={"sessionId": session_id, "userId": "Ann"})).status_code == 200
    await publish(bus, *an_end(session_id))

    token = await api.post("/api/token", json={"sessionId": session_id, "userId": "Ann"})
    start = await api.post(START, json={"userName": "Ann", "sessionId": session_id})

    assert (token.status_code, token.json()["code"]) == (409, "session_ended")
    assert (start.status_code, start.json()["code"]) == (409, "session_id_taken")


async def test_livekits_own_webhooks_reach_the_log(tmp_path: Path, servers: dict[str, str], bus: Bus) -> None:
    port = free_port()
    with (
        LiveKitServer(tmp_path / "livekit", webhook_url=f"http://127.0.0.1:{port}/livekit/webhook") as livekit,
        Gateway(tmp_path / "gateway", servers | {"LIVEKIT_URL": livekit.url}, port=port) as gateway,
    ):
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as api:
            session_id = (await api.post(START, json={"userName": "Ann"})).json()["sessionId"]
        async with asyncio.timeout(10):
            async for stored in bus.replay(ALL_ROOMS):
                assert stored.event is not None
                assert (stored.event.session_id, stored.event.event) == (session_id, "room_started")
                assert stored.id == stored.event.id, "the webhook's own id"
                assert b"turnPassword" not in stored.data
                break


def exit_of(**environment: str) -> tuple[int, list[str], float]:
    """Exit code, what a person reads on stderr, and how long it took."""
    began = time.monotonic()
    variables = {
        "LIVEKIT_URL": "ws://127.0.0.1:9",
        "LIVEKIT_API_KEY": API_KEY,
        "LIVEKIT_API_SECRET": API_SECRET,
        "PORT": "0",
        "START_TIMEOUT_S": "2",
        **environment,
    }
    done = subprocess.run(
        ["env", *(f"{k}={v}" for k, v in variables.items()), sys.executable, "-m", "gateway.app"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    return done.returncode, lines, time.monotonic() - began


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"LIVEKIT_API_SECRET": ""}, "LIVEKIT_API_SECRET"),
        ({"LIVEKIT_URL": "livekit:7880"}, "LIVEKIT_URL"),
        ({"REDIS_URL": "localhost"}, "REDIS_URL"),
        ({"PORT": "http"}, "PORT"),
        ({"LIVEKIT_WEBHOOK_KEYS": "nosecret"}, "LIVEKIT_WEBHOOK_KEYS"),
        ({"HOST": "0.0.0.0"}, "GREENROOM_API_KEYS"),
        ({"GREENROOM_API_KEYS": "short"}, "GREENROOM_API_KEYS"),
    ],
)
def test_a_bad_setting_ends_the_start_with_one_line_that_names_it(environment: dict[str, str], named: str) -> None:
    code, lines, _ = exit_of(**environment)

    assert code == 2
    assert len(lines) == 1
    assert named in lines[0]
    assert API_SECRET not in lines[0]


def test_without_nats_it_does_not_start_and_says_so() -> None:
    code, lines, seconds = exit_of(NATS_URL=f"nats://127.0.0.1:{free_port()}")

    assert (code, len(lines)) == (1, 1)
    assert "NATS_URL" in lines[0]
    assert seconds < 15


def test_a_taken_port_is_named(nats_server: NatsServer, redis_server: RedisServer) -> None:
    code, lines, _ = exit_of(NATS_URL=nats_server.url, PORT=str(redis_server.port))

    assert (code, len(lines)) == (1, 1)
    assert f"port {redis_server.port}" in lines[0]
    assert "PORT" in lines[0]


def test_with_a_key_it_listens_anywhere_and_asks_for_it(tmp_path: Path, servers: dict[str, str]) -> None:
    key = "a-key-of-enough-characters"
    with Gateway(tmp_path / "gateway", servers | {"HOST": "0.0.0.0", "GREENROOM_API_KEYS": key}) as gateway:
        assert isinstance(gateway, Gateway)
        ask: Callable[..., httpx.Response] = httpx.post
        without = ask(gateway.url + START, json={"userName": "Ann"}, trust_env=False)
        with_it = ask(
            gateway.url + START, json={"userName": "Ann"}, headers={"Authorization": f"Bearer {key}"}, trust_env=False
        )
        assert (without.status_code, with_it.status_code) == (401, 200)
        assert key not in gateway.log.read_text()


def test_sigterm_ends_it_with_0(gateway: Gateway) -> None:
    process = gateway._process
    assert process is not None
    process.send_signal(signal.SIGTERM)

    assert process.wait(10) == 0


async def test_one_webhook_sent_twenty_times_is_one_event(api: httpx.AsyncClient, bus: Bus) -> None:
    body = json.dumps(
        {"id": "EV_1", "event": "room_finished", "createdAt": str(int(time.time())), "room": {"name": "session_mine"}}
    ).encode()
    claims = {
        "iss": API_KEY,
        "exp": int(time.time()) + 300,
        "sha256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
    }
    headers = {
        "Authorization": jwt.encode(claims, API_SECRET, algorithm="HS256"),
        "Content-Type": "application/webhook+json",
    }

    answers = [await api.post("/livekit/webhook", content=body, headers=headers) for _ in range(20)]

    assert {answer.status_code for answer in answers} == {200}
    found = [stored async for stored in bus.replay(ALL_ROOMS, until_caught_up=True)]
    assert len([stored for stored in found if stored.id == "EV_1"]) == 1


async def test_when_the_gateway_that_projects_is_killed_another_goes_on(
    tmp_path: Path, gateway: Gateway, servers: dict[str, str]
) -> None:
    with Gateway(tmp_path / "second", servers) as second:
        async with httpx.AsyncClient(base_url=second.url, trust_env=False) as api:
            gateway.kill9()
            session_id = (await api.post(START, json={"userName": "Ann"})).json()["sessionId"]
            until = time.monotonic() + 10  # the lease's 5 s, and a little
            while (await api.get("/sessions")).json()["items"] == []:
                assert time.monotonic() < until
                await asyncio.sleep(0.1)

            assert (await api.get("/sessions")).json()["items"][0]["sessionId"] == session_id
