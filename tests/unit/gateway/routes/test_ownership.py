"""A caller's token is for the session's own user, before the start and during it."""

import dataclasses
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.support.events import SESSION, ended, requested
from tests.support.gateway.world import World

TOKEN, START = "/api/token", "/orchestrator/session/start"


@pytest.fixture
async def relaxed(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway with TOKEN_ANY_USER=true."""
    app = world.app()
    app.state.services = dataclasses.replace(app.state.services, token_any_user=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1") as api:
        yield api


async def ask(api: httpx.AsyncClient, user: str, session_id: str = SESSION) -> tuple[int, str]:
    answer = await api.post(TOKEN, json={"sessionId": session_id, "userId": user})
    return answer.status_code, answer.json().get("code", "")


async def begin(api: httpx.AsyncClient, **body: str) -> tuple[int, str]:
    answer = await api.post(START, json={"sessionId": SESSION, **body})
    return answer.status_code, answer.json().get("code", "")


@pytest.mark.parametrize("user", ["Ann", "ann-1"], ids=["the start's userName", "the start's userId"])
async def test_the_sessions_own_user_gets_a_token(api: httpx.AsyncClient, world: World, user: str) -> None:
    world.log.events = [requested()]

    assert await ask(api, user) == (200, "")


@pytest.mark.parametrize("user", ["mallory", "ann", "Ann-1", "Ann ann-1"])
async def test_a_second_visitor_cannot_take_over_a_live_call(api: httpx.AsyncClient, world: World, user: str) -> None:
    world.log.events = [requested()]

    answer = await api.post(TOKEN, json={"sessionId": SESSION, "userId": user})

    assert (answer.status_code, answer.json()["code"]) == (403, "not_session_owner")
    assert "token" not in answer.json()
    assert "ann-1" not in answer.text, "whose it is, is not told"


async def test_a_stranger_is_not_told_what_became_of_a_session(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [requested()]
    runs = (await api.post(TOKEN, json={"sessionId": SESSION, "userId": "mallory"})).json()
    world.log.events.append(ended())
    over = (await api.post(TOKEN, json={"sessionId": SESSION, "userId": "mallory"})).json()
    await ask(api, "Ann", "session_other")
    reserved = (await api.post(TOKEN, json={"sessionId": "session_other", "userId": "mallory"})).json()

    for body in (runs, over, reserved):
        del body["request_id"]
    reserved["detail"] = reserved["detail"].replace("session_other", SESSION)
    assert runs == over == reserved


async def test_a_token_before_the_start_keeps_the_session_for_its_user(api: httpx.AsyncClient, world: World) -> None:
    assert await ask(api, "mallory") == (200, "")

    assert await begin(api, userName="Ann", userId="ann-1") == (409, "session_id_taken")
    assert world.rooms.open == set(), "the token of the first would have opened it"
    assert await ask(api, "Ann") == (403, "not_session_owner")
    assert await begin(api, userName="mallory") == (200, "")


@pytest.mark.parametrize("user", ["Ann", "ann-1"])
async def test_a_client_that_asks_for_its_token_first_starts_as_ever(api: httpx.AsyncClient, user: str) -> None:
    assert await ask(api, user) == (200, "")
    assert await begin(api, userName="Ann", userId="ann-1") == (200, "")
    assert await ask(api, "Ann") == (200, "")


async def test_a_start_on_its_way_keeps_the_session_too(api: httpx.AsyncClient, world: World) -> None:
    """Between a start's look at the log and its `requested`, a token for another user would slip in."""
    await world.seats.take(SESSION, "Ann")

    assert await ask(api, "mallory") == (403, "not_session_owner")


async def test_a_start_that_the_log_has_by_now_is_seen(api: httpx.AsyncClient, world: World) -> None:
    async def slow(session_id: str, user: str) -> str:
        world.log.events.append(requested())  # of a gateway before this rule, or with TOKEN_ANY_USER
        return user

    world.seats.take = slow  # type: ignore[method-assign]

    assert await ask(api, "mallory") == (403, "not_session_owner")


async def test_a_room_joined_ahead_has_no_token_before_its_start(api: httpx.AsyncClient, world: World) -> None:
    world.prejoined.offer(**{SESSION: None})

    assert await ask(api, "Ann") == (403, "not_session_owner")


async def test_without_nats_no_token_is_given_on_trust(api: httpx.AsyncClient, world: World) -> None:
    world.log.is_away = True

    assert await ask(api, "Ann") == (503, "bus_unavailable")


async def test_a_backend_that_checks_itself_may_lift_the_rule(relaxed: httpx.AsyncClient, world: World) -> None:
    assert await ask(relaxed, "somebody") == (200, "")
    assert await begin(relaxed, userName="Ann") == (200, "")
    assert await ask(relaxed, "another") == (200, "")
    assert world.seats.taken == {}
    world.prejoined.offer(session_ahead=None)
    assert await ask(relaxed, "Ann", "session_ahead") == (403, "not_session_owner"), "it has no session yet"
