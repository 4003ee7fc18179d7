"""`Idempotency-Key` on the start, the end and the drain."""

from collections.abc import Callable
from hashlib import sha256

import httpx
import pytest

from contracts.events import EndRequested, Outcome
from contracts.registry import IdempotentStart
from gateway.domain.access import AccessRules, ApiKey
from gateway.domain.idempotency import first_form_name
from gateway.ports import NatsUnavailable
from tests.support.events import SESSION, ended, requested
from tests.support.gateway.builders import first_form
from tests.support.gateway.world import World

START, END = "/orchestrator/session/start", "/orchestrator/session/end"
KEY = {"Idempotency-Key": "k1"}
ANN = {"userName": "Ann"}


async def test_a_repeated_start_says_so_and_the_first_does_not(api: httpx.AsyncClient) -> None:
    first = await api.post(START, json=ANN, headers=KEY)
    again = await api.post("/api/session/start", json=ANN | {"wait": "accepted", "deadlineMs": 5000}, headers=KEY)

    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()


async def test_a_repeated_start_of_a_session_that_was_served_says_that_it_ended(
    api: httpx.AsyncClient, world: World
) -> None:
    session_id = (await api.post(START, json=ANN, headers=KEY)).json()["sessionId"]
    world.rooms.open.clear()
    world.log.events.append(ended(session_id=session_id))

    again = await api.post(START, json=ANN, headers=KEY)

    assert (again.status_code, again.json()["code"], again.json()["session_id"]) == (409, "session_ended", session_id)
    assert world.rooms.open == set()
    assert len(world.log.requests()) == 1


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.FAILED])
async def test_a_repeated_start_whose_session_came_to_nothing_starts_again(
    api: httpx.AsyncClient, world: World, outcome: Outcome
) -> None:
    first = (await api.post(START, json=ANN, headers=KEY)).json()["sessionId"]
    world.log.events.append(ended(0, 0, session_id=first, outcome=outcome, reason="queue_full"))

    again = await api.post(START, json=ANN, headers=KEY)
    replay = await api.post(START, json=ANN, headers=KEY)

    assert again.status_code == 200
    assert again.json()["sessionId"] != first
    assert "Idempotent-Replayed" not in again.headers
    assert (replay.json(), replay.headers["Idempotent-Replayed"]) == (again.json(), "true")


async def test_a_repeated_start_with_an_id_of_its_own_does_not_start_again(
    api: httpx.AsyncClient, world: World
) -> None:
    mine = ANN | {"sessionId": "session_mine"}
    await api.post(START, json=mine, headers=KEY)
    world.log.events.append(ended(0, 0, session_id="session_mine", outcome=Outcome.REJECTED))

    again = await api.post(START, json=mine, headers=KEY)

    assert (again.status_code, again.json()["code"]) == (409, "session_ended")


async def test_a_repeated_start_is_not_refused_for_what_changed_since(api: httpx.AsyncClient, world: World) -> None:
    first = await api.post(START, json=ANN | {"voiceId": "Craig"}, headers=KEY)
    world.voices.voices = frozenset({"Ashley"})

    again = await api.post(START, json=ANN | {"voiceId": "Craig"}, headers=KEY)
    other = await api.post(START, json=ANN | {"voiceId": "Craig"}, headers={"Idempotency-Key": "k2"})

    assert (again.status_code, again.json()) == (200, first.json())
    assert (other.status_code, other.json()["code"]) == (422, "unknown_voice")


async def test_a_start_that_was_refused_leaves_its_key_free(api: httpx.AsyncClient, world: World) -> None:
    world.voices.voices = frozenset({"Ashley"})
    refused = await api.post(START, json=ANN | {"voiceId": "Craig"}, headers=KEY)

    corrected = await api.post(START, json=ANN, headers=KEY)

    assert (refused.status_code, corrected.status_code) == (422, 200)


async def test_a_key_of_the_version_before_is_honoured(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [requested(SESSION)]
    old = IdempotentStart(session_id=SESSION, body_sha256=first_form({}))
    world.keys.entries[first_form_name("k1")] = old, 1

    same = await api.post(START, json=ANN, headers=KEY)
    other = await api.post(START, json={"userName": "Bob"}, headers=KEY)

    assert (same.status_code, same.json()["sessionId"]) == (200, SESSION)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_mismatch")


async def test_the_keys_of_two_api_keys_do_not_collide(client: Callable[..., httpx.AsyncClient]) -> None:
    names = ("a-key-of-enough-characters", "another-key-of-enough-characters")
    async with client(AccessRules(tuple(ApiKey(sha256(name.encode()).digest()) for name in names))) as api:
        answers = [await api.post(START, json=ANN, headers=KEY | {"X-API-Key": name}) for name in names]
        mine = await api.post(START, json=ANN, headers=KEY | {"X-API-Key": names[0]})

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["sessionId"] != answers[1].json()["sessionId"]
    assert mine.json() == answers[0].json()


async def test_a_full_store_is_not_called_an_outage(api: httpx.AsyncClient, world: World) -> None:
    world.keys.is_full = True

    keyed = await api.post(START, json=ANN, headers=KEY)
    keyless = await api.post(START, json=ANN)

    assert (keyed.status_code, keyed.json()["code"]) == (503, "idempotency_store_full")
    assert keyed.json()["fault"] == "capacity"
    assert int(keyed.headers["Retry-After"]) >= 1
    assert "IDEMPOTENCY_MAX_MB" in keyed.json()["fix"]
    assert keyless.status_code == 200


async def test_a_repeated_end_gives_the_very_same_answer(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [requested(), ended()]
    first = await api.post(END, json={"sessionId": SESSION}, headers=KEY)
    world.log.is_away = True  # the answer is kept, not made again

    again = await api.post("/api/session/end", json={"sessionId": SESSION}, headers=KEY)

    assert (first.status_code, again.status_code) == (200, 200)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first.json(), "true")
    assert "Idempotent-Replayed" not in first.headers


async def test_the_key_of_an_end_is_bound_to_its_session(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [requested(), ended(), requested("session_b"), ended(session_id="session_b")]
    await api.post(END, json={"sessionId": SESSION}, headers=KEY)

    other = await api.post(END, json={"sessionId": "session_b"}, headers=KEY)

    assert (other.status_code, other.json()["code"]) == (409, "idempotency_mismatch")


async def test_an_end_that_failed_is_tried_again_with_its_key(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [requested()]
    world.log.on_publish[EndRequested] = ended()
    world.log.refuses_writes = True
    failed = await api.post(END, json={"sessionId": SESSION}, headers=KEY)
    world.log.refuses_writes = False

    again = await api.post(END, json={"sessionId": SESSION}, headers=KEY)

    assert (failed.status_code, again.status_code) == (503, 200)
    assert "Idempotent-Replayed" not in again.headers


async def test_an_end_whose_answer_cannot_be_kept_is_answered_all_the_same(
    api: httpx.AsyncClient, world: World
) -> None:
    async def away(*_: object) -> None:
        raise NatsUnavailable("NATS does not answer.")

    world.log.events = [requested(), ended()]
    world.keys.replace = away  # type: ignore[method-assign,assignment]

    assert (await api.post(END, json={"sessionId": SESSION}, headers=KEY)).status_code == 200
