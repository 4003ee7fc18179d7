"""`POST /orchestrator/session/start`: what remains after each failure."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest

from contracts.errors import LIVEKIT_UNAVAILABLE, Refused
from contracts.events import Event, Outcome, SessionRequested
from contracts.registry import IdempotentStart
from gateway.ports import KeyedEntry
from tests.support.events import SESSION, assigned, ended, ready, requested, turn
from tests.support.gateway.fakes import FULL_LOG
from tests.support.gateway.world import API_SECRET, World

START = "/orchestrator/session/start"


async def test_a_start_leaves_a_room_and_one_request_and_answers_with_a_token(
    api: httpx.AsyncClient, world: World
) -> None:
    answer = await api.post(START, json={"userName": "Ann"})

    body = answer.json()
    session_id = "session_1795521600123_000000000001"
    assert answer.status_code == 200
    assert body == {
        "success": True,
        "sessionId": session_id,
        "token": body["token"],
        "serverUrl": "wss://livekit.example",
        "roomName": session_id,
        "message": "Session created. Voice agent is being spawned.",
    }
    assert world.rooms.open == {session_id}
    assert [r.session_id for r in world.log.requests()] == [session_id]


async def test_the_token_opens_this_room_only_and_carries_session_and_user(api: httpx.AsyncClient) -> None:
    body = (await api.post(START, json={"userName": "Ann", "userId": "ann-1"})).json()

    claims = jwt.decode(
        body["token"], API_SECRET, algorithms=["HS256"], options={"verify_exp": False, "verify_nbf": False}
    )
    assert claims["sub"] == f"caller:{body['sessionId']}"
    assert json.loads(claims["metadata"]) == {"sessionId": body["sessionId"], "userId": "ann-1"}
    assert claims["exp"] - claims["nbf"] == 1860
    assert claims["video"] == {
        "roomJoin": True,
        "room": body["sessionId"],
        "canPublish": True,
        "canPublishSources": ["microphone"],
        "canSubscribe": True,
        "canPublishData": True,
        "canUpdateOwnMetadata": False,
    }


async def test_the_alias_is_the_same(api: httpx.AsyncClient) -> None:
    assert (await api.post("/api/session/start", json={"userName": "Ann"})).status_code == 200


async def test_when_the_request_cannot_be_published_the_room_is_deleted(api: httpx.AsyncClient, world: World) -> None:
    world.log.refuses_writes = True

    answer = await api.post(START, json={"userName": "Ann"})

    assert (answer.status_code, answer.json()["code"], world.rooms.made) == (503, "bus_unavailable", 1)
    assert world.rooms.open == set()
    assert int(answer.headers["Retry-After"]) >= 1


async def test_when_the_room_cannot_be_made_nothing_is_published(api: httpx.AsyncClient, world: World) -> None:
    world.rooms.failure = Refused(LIVEKIT_UNAVAILABLE, "LiveKit did not answer.")

    answer = await api.post(START, json={"userName": "Ann"})

    assert (answer.status_code, answer.json()["code"]) == (503, "livekit_unavailable")
    assert world.log.events == []


async def test_the_same_key_and_body_get_the_very_same_answer(api: httpx.AsyncClient, world: World) -> None:
    answers = [
        await api.post(START, json={"userName": "Ann"}, headers={"Idempotency-Key": "k/1 *>".replace(" ", "")})
        for _ in range(3)
    ]

    assert answers[0].status_code == 200
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert len(world.log.requests()) == 1
    assert world.rooms.made == 1


async def test_the_same_key_with_another_body_is_refused(api: httpx.AsyncClient, world: World) -> None:
    await api.post(START, json={"userName": "Ann"}, headers={"Idempotency-Key": "k1"})

    answer = await api.post(START, json={"userName": "Bob"}, headers={"Idempotency-Key": "k1"})

    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_mismatch")
    assert len(world.log.requests()) == 1


async def test_a_key_whose_first_try_failed_gets_its_session_at_the_next(api: httpx.AsyncClient, world: World) -> None:
    world.log.refuses_writes = True
    await api.post(START, json={"userName": "Ann"}, headers={"Idempotency-Key": "k1"})
    world.log.refuses_writes = False

    answer = await api.post(START, json={"userName": "Ann"}, headers={"Idempotency-Key": "k1"})

    assert answer.json()["sessionId"] == world.keys.sessions()[0]
    assert world.rooms.open == {world.keys.sessions()[0]}


@pytest.mark.parametrize("key", ["", "two words", "x" * 129, "tab\there"])
async def test_a_key_of_odd_characters_is_refused_by_name(api: httpx.AsyncClient, key: str) -> None:
    answer = await api.post(START, json={"userName": "Ann"}, headers={"Idempotency-Key": key})

    assert (answer.status_code, answer.json()["errors"][0]["field"].lower()) == (422, "idempotency-key")


async def test_an_own_unused_id_is_taken(api: httpx.AsyncClient, world: World) -> None:
    answer = await api.post(START, json={"userName": "Ann", "sessionId": "session_mine"})

    assert answer.json()["sessionId"] == answer.json()["roomName"] == "session_mine"
    assert world.rooms.open == {"session_mine"}


async def test_an_own_id_that_was_used_is_refused_and_its_room_left_alone(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [requested(), ended()]

    answer = await api.post(START, json={"userName": "Ann", "sessionId": SESSION})

    assert (answer.status_code, answer.json()["code"]) == (409, "session_id_taken")
    assert world.rooms.made == 0


async def test_an_own_id_that_has_a_bill_is_refused_although_the_log_has_forgotten_it(
    api: httpx.AsyncClient, world: World
) -> None:
    world.billing.settled = {"session_weekly"}

    answer = await api.post(START, json={"userName": "Ann", "sessionId": "session_weekly"})

    assert (answer.status_code, answer.json()["code"]) == (409, "session_id_taken")
    assert world.rooms.made == 0
    assert world.log.requests() == []


async def test_an_own_id_of_which_the_log_holds_only_the_end_is_refused(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [ended()]

    answer = await api.post(START, json={"userName": "Ann", "sessionId": SESSION})

    assert (answer.status_code, answer.json()["code"]) == (409, "session_id_taken")
    assert world.rooms.made == 0


@pytest.mark.parametrize("fault", ["is_away", "is_silent"])
async def test_an_own_id_is_taken_while_billing_does_not_answer(
    api: httpx.AsyncClient, world: World, fault: str
) -> None:
    setattr(world.billing, fault, True)

    answer = await api.post(START, json={"userName": "Ann", "sessionId": "session_mine"})

    assert answer.status_code == 200
    assert [r.session_id for r in world.log.requests()] == ["session_mine"]


async def test_billing_is_not_asked_about_an_id_of_our_own(api: httpx.AsyncClient, world: World) -> None:
    for headers in ({}, {"Idempotency-Key": "k1"}):
        assert (await api.post(START, json={"userName": "Ann"}, headers=headers)).status_code == 200

    assert world.billing.asked == []


@pytest.mark.parametrize(
    "body", [{"creditLimit": 5}, {"maxMinutes": 5}, {"creditLimit": 5.0}, {"creditLimit": 5, "maxMinutes": 5}]
)
async def test_a_sessions_limit_is_recorded_and_shown_by_either_name(
    api: httpx.AsyncClient, world: World, body: dict[str, object]
) -> None:
    session_id = (await api.post(START, json={"userName": "Ann", **body})).json()["sessionId"]

    assert [r.credit_limit_minutes for r in world.log.requests()] == [5]
    assert (await api.get(f"/sessions/{session_id}")).json()["grantedMinutes"] == 5


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"openingline": "Hi"}, "openingline", "Names are case-sensitive"),
        ({"language": "x y"}, "language", "send a BCP 47"),
    ],
)
async def test_a_wrong_field_says_what_to_change(
    api: httpx.AsyncClient, body: dict[str, object], field: str, says: str
) -> None:
    (error,) = (await api.post(START, json={"userName": "Ann", **body})).json()["errors"]

    assert error["field"] == field
    assert says in error["message"]
    assert "Value error" not in error["message"]


async def test_two_limits_that_differ_are_refused_and_both_are_named(api: httpx.AsyncClient, world: World) -> None:
    answer = await api.post(START, json={"userName": "Ann", "creditLimit": 5, "maxMinutes": 6})

    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["field"]) == (422, "maxMinutes")
    assert "creditLimit is 5 and maxMinutes is 6" in error["message"]
    assert world.rooms.made == 0


async def test_a_key_does_not_open_anothers_session(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [requested()]

    for _ in range(2):
        answer = await api.post(
            START, json={"userName": "Eve", "sessionId": SESSION}, headers={"Idempotency-Key": "k1"}
        )
        assert (answer.status_code, answer.json()["code"]) == (409, "session_id_taken")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "userName"),
        ({"userName": ""}, "userName"),
        ({"userName": "x" * 129}, "userName"),
        ({"userName": "a\nb"}, "userName"),
        ({"userName": "Ann", "vioceId": "Ashley"}, "vioceId"),
        ({"userName": "Ann", "voiceId": "../etc"}, "voiceId"),
        ({"userName": "Ann", "systemPrompt": "x" * 32_001}, "systemPrompt"),
        ({"userName": "Ann", "openingLine": " "}, "openingLine"),
        ({"userName": "Ann", "openingLine": "…"}, "openingLine"),
        ({"userName": "Ann", "openingLine": "***"}, "openingLine"),
        ({"userName": "Ann", "openingLine": "\u200b"}, "openingLine"),
        ({"userName": "Ann", "language": "German"}, "language"),
        ({"userName": "Ann", "language": "de_DE"}, "language"),
        ({"userName": "Ann", "interruptible": "no"}, "interruptible"),
        ({"userName": "Ann", "wait": "forever"}, "wait"),
        ({"userName": "Ann", "metadata": {"k": 1}}, "metadata.k"),
        ({"userName": "Ann", "creditLimit": 0}, "creditLimit"),
        ({"userName": "Ann", "creditLimit": 1.5}, "creditLimit"),
        ({"userName": "Ann", "creditLimit": "5"}, "creditLimit"),
        ({"userName": "Ann", "creditLimit": True}, "creditLimit"),
        ({"userName": "Ann", "maxMinutes": 1_000_001}, "maxMinutes"),
        ({"userName": "Ann", "maxMinutes": -1}, "maxMinutes"),
    ],
)
async def test_a_field_that_cannot_be_taken_is_named(
    api: httpx.AsyncClient, world: World, body: dict[str, object], field: str
) -> None:
    answer = await api.post(START, json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert field in [e["field"] for e in answer.json()["errors"]]
    assert world.rooms.made == 0


@pytest.mark.parametrize("session_id", ["", "a b", "session_", "session_a/b", "session_" + "x" * 73, "session_ä", 5])
async def test_an_id_with_odd_characters_is_named(api: httpx.AsyncClient, session_id: object) -> None:
    answer = await api.post(START, json={"userName": "Ann", "sessionId": session_id})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_session_id")
    assert [e["field"] for e in answer.json()["errors"]] == ["sessionId"]


@pytest.mark.parametrize("content", [b"{", b"[]", b'"x"', b"", b"\xff\xfe"])
async def test_a_body_that_is_no_json_object_is_malformed(api: httpx.AsyncClient, content: bytes) -> None:
    answer = await api.post(START, content=content, headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_body")


async def test_a_body_too_large_is_refused_with_the_limit(api: httpx.AsyncClient) -> None:
    answer = await api.post(START, json={"userName": "Ann", "systemPrompt": "x" * 70_000})

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert "65536" in answer.json()["detail"]


async def test_an_unknown_voice_is_refused_before_anything_is_made(api: httpx.AsyncClient, world: World) -> None:
    world.voices.voices = frozenset({"Ashley"})

    answer = await api.post(START, json={"userName": "Ann", "voiceId": "Nobody"})

    assert (answer.status_code, answer.json()["code"], world.rooms.made) == (422, "unknown_voice", 0)


async def test_a_start_that_waits_answers_with_the_stages(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [ready(session_id="session_mine"), turn(session_id="session_mine", heard="Hi Ann!")]

    answer = await api.post(START, json={"userName": "Ann", "sessionId": "session_mine", "wait": "speaking"})

    assert (answer.status_code, answer.json()["stageMs"]) == (200, {"join": 120})


async def test_a_start_that_waits_in_vain_says_why(api: httpx.AsyncClient, world: World) -> None:
    rejected = ended(session_id="session_mine", outcome=Outcome.REJECTED, reason="every node was full")
    world.log.on_publish = {SessionRequested: rejected}

    answer = await api.post(START, json={"userName": "Ann", "sessionId": "session_mine", "wait": "joined"})

    assert (answer.status_code, answer.json()["code"]) == (503, "no_capacity")
    assert "every node was full" in answer.json()["detail"]
    assert "Retry-After" in answer.headers


async def test_a_start_that_hears_nothing_is_pending_and_names_its_session(api: httpx.AsyncClient) -> None:
    answer = await api.post(START, json={"userName": "Ann", "sessionId": "session_mine", "wait": "joined"})

    assert (answer.status_code, answer.json()["code"]) == (504, "start_pending")
    assert "session_mine" in answer.json()["detail"]


async def test_every_problem_carries_the_requests_id(client: Callable[..., httpx.AsyncClient]) -> None:
    async with client() as api:
        answer = await api.post(START, json={}, headers={"X-Request-Id": "mine-1"})

    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["request_id"], answer.headers["x-request-id"]) == ("mine-1", "mine-1")


async def test_a_start_gets_the_room_in_which_an_agent_waits(api: httpx.AsyncClient, world: World) -> None:
    world.prejoined.offer(session_ahead=None)

    first = (await api.post(START, json={"userName": "Ann", "openingLine": "Hi!", "voiceId": "Craig"})).json()
    second = (await api.post(START, json={"userName": "Ann"})).json()

    assert first["sessionId"] == first["roomName"] == "session_ahead"
    assert second["sessionId"] != "session_ahead"
    request = world.log.requests()[0]
    assert (request.session_id, request.opening_line, request.voice_id) == ("session_ahead", "Hi!", "Craig")
    assert world.rooms.open == {"session_ahead", second["sessionId"]}  # made again, should LiveKit have lost it


async def test_a_start_with_an_id_of_its_own_or_another_region_takes_no_room(
    api: httpx.AsyncClient, world: World
) -> None:
    world.prejoined.offer(session_ahead="eu")

    await api.post(START, json={"userName": "Ann", "sessionId": "session_mine"})
    await api.post(START, json={"userName": "Ann", "metadata": {"region": "us"}})
    assert world.prejoined.taken == []

    await api.post(START, json={"userName": "Ann", "metadata": {"region": "eu"}})
    assert world.prejoined.taken == ["session_ahead"]


async def test_the_id_of_a_room_that_waits_is_nobodys_own(api: httpx.AsyncClient, world: World) -> None:
    world.prejoined.offer(session_ahead=None)

    thief = await api.post(START, json={"userName": "Eve", "sessionId": "session_ahead"})
    rightful = await api.post(START, json={"userName": "Ann"})

    assert (thief.status_code, thief.json()["code"]) == (409, "session_id_taken")
    assert (rightful.status_code, rightful.json()["sessionId"]) == (200, "session_ahead")
    assert [request.user_name for request in world.log.requests()] == ["Ann"]


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "bobs"}])
async def test_a_room_whose_deleted_key_came_back_gives_no_access_to_the_session_that_took_it(
    api: httpx.AsyncClient, world: World, headers: dict[str, str]
) -> None:
    world.prejoined.offer(session_ahead=None)
    ann = (await api.post(START, json={"userName": "Ann"})).json()
    world.prejoined.offer(session_ahead=None)  # as after a SIGKILL of NATS

    bob = await api.post(START, json={"userName": "Bob"}, headers=headers)

    assert ann["sessionId"] == "session_ahead"
    assert (bob.status_code, bob.json()["sessionId"] == "session_ahead") == (200, False)
    assert [request.user_name for request in world.log.requests()] == ["Ann", "Bob"]


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "bobs"}])
async def test_a_returned_key_of_a_room_whose_session_is_just_being_requested_gives_another_session(
    api: httpx.AsyncClient, world: World, headers: dict[str, str]
) -> None:
    world.prejoined.offer(session_ahead=None)

    async def ann_is_faster(_: Event) -> None:
        world.log.opening = None
        await world.log.open(requested("session_ahead", "ann"))

    world.log.opening = ann_is_faster
    bob = await api.post(START, json={"userName": "Bob"}, headers=headers)
    again = await api.post(START, json={"userName": "Bob"}, headers=headers)

    assert (bob.status_code, bob.json()["sessionId"] == "session_ahead") == (200, False)
    assert (again.json()["sessionId"] == bob.json()["sessionId"]) is bool(headers)
    assert [request.user_name for request in world.log.requests()][:2] == ["ann", "Bob"]


async def test_a_repetition_that_is_faster_than_the_first_attempt_opens_the_same_prejoined_session(
    api: httpx.AsyncClient, world: World
) -> None:
    world.prejoined.offer(session_ahead=None)
    mine: dict[str, Any] = {"json": {"userName": "Ann"}, "headers": {"Idempotency-Key": "anns"}}
    repetitions: list[httpx.Response] = []

    async def the_repetition_is_faster(_: Event) -> None:
        world.log.opening = None
        repetitions.append(await api.post(START, **mine))

    world.log.opening = the_repetition_is_faster
    first = await api.post(START, **mine)
    later = await api.post(START, **mine)

    assert [answer.json()["sessionId"] for answer in (first, *repetitions, later)] == ["session_ahead"] * 3
    assert [request.session_id for request in world.log.requests()] == ["session_ahead"]
    assert world.rooms.open == {"session_ahead"}


async def test_a_repeated_start_takes_no_second_room(api: httpx.AsyncClient, world: World) -> None:
    world.prejoined.offer(session_a=None, session_b=None)

    answers = [await api.post(START, json={"userName": "Ann"}, headers={"Idempotency-Key": "k"}) for _ in range(3)]

    assert len({answer.text for answer in answers}) == 1
    assert world.prejoined.taken == ["session_a"]
    assert world.rooms.open == {"session_a"}


async def test_the_room_that_a_slower_try_of_the_same_start_took_is_closed(
    api: httpx.AsyncClient, world: World
) -> None:
    world.prejoined.offer(session_a=None, session_b=None)
    world.rooms.open = {"session_a", "session_b"}
    both = asyncio.Barrier(2)
    find = world.keys.find

    async def at_once(name: str, kind: type[IdempotentStart]) -> KeyedEntry[IdempotentStart] | None:
        found = await find(name, kind)
        await both.wait()
        return found

    world.keys.find = at_once  # type: ignore[method-assign]

    answers = await asyncio.gather(
        *(api.post(START, json={"userName": "Ann"}, headers={"Idempotency-Key": "k"}) for _ in range(2))
    )

    assert len({answer.text for answer in answers}) == 1
    assert world.rooms.open == {answers[0].json()["sessionId"]}
    assert len(world.log.requests()) == 1


async def test_a_key_that_was_used_for_another_body_takes_no_room(api: httpx.AsyncClient, world: World) -> None:
    await api.post(START, json={"userName": "Ann"}, headers={"Idempotency-Key": "k"})
    world.prejoined.offer(session_a=None)

    answer = await api.post(START, json={"userName": "Bob"}, headers={"Idempotency-Key": "k"})

    assert answer.json()["code"] == "idempotency_mismatch"
    assert world.prejoined.taken == []


async def test_while_the_log_is_full_of_unbilled_calls_only_repetitions_of_starts_are_answered(
    api: httpx.AsyncClient, world: World
) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await api.post(START, json={"userName": "Ann"}, headers=headers)
    world.log.events.append(assigned(session_id=first.json()["sessionId"]))
    world.prejoined.offer(session_a=None)
    world.queue.state = FULL_LOG

    again = await api.post(START, json={"userName": "Ann"}, headers=headers)
    other = await api.post(START, json={"userName": "Bob"})

    assert again.json() == first.json()
    assert (other.status_code, other.json()["code"], other.json()["fault"]) == (503, "log_full", "platform")
    assert int(other.headers["Retry-After"]) >= 1
    assert "runbooks/full-disk.md" in other.json()["fix"]
    assert len(world.rooms.open) == 1, "no room is left behind"
    assert world.prejoined.taken == []


async def test_while_the_log_is_full_a_refused_start_takes_no_room_no_key_and_no_seat(
    api: httpx.AsyncClient, world: World
) -> None:
    taken = await api.post(START, json={"userName": "Ann", "sessionId": "session_1"})
    seats = dict(world.seats.taken)
    world.prejoined.offer(session_a=None)
    world.queue.state = FULL_LOG

    keyed = await api.post(START, json={"userName": "Bob"}, headers={"Idempotency-Key": "k2"})
    chosen = await api.post(START, json={"userName": "Bob", "sessionId": "session_2"})
    again = await api.post(START, json={"userName": "Ann", "sessionId": "session_1"})

    assert taken.status_code == 200
    assert [answer.json()["code"] for answer in (keyed, chosen)] == ["log_full", "log_full"]
    assert again.json()["code"] == "session_id_taken", "waiting for room would not help"
    assert world.prejoined.taken == []
    assert world.keys.sessions() == []
    assert world.seats.taken == seats
