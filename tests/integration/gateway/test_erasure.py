"""What is said stands sealed in the log, and an erased session's words are nowhere: on real NATS and Redis."""

import asyncio
from typing import Any

import httpx
import pytest

from chassis.nats import Bus
from chassis.words import seal
from contracts.events import SessionBilled, SessionErased, SessionRequested, TurnFinished
from contracts.registry import QueueState
from contracts.streams import KEYS, QUEUE
from contracts.subjects import session_event
from gateway.domain.accounts import Accounts
from tests.integration.gateway.playing import a_running_call, an_end, publish
from tests.support.events import NOW, turn
from tests.support.servers import Gateway, NatsServer, RedisServer
from tests.support.stores import files_hold, nats_holds, redis_holds, words_in
from tests.support.waiting import until

START = "/orchestrator/session/start"
WORDS = ("Zaphodine", "Trillian's towel", "Babelfish", "Magrathea", "Vogonpoem", "Pangalactic", "Ravenous")
ACCOUNT_KEY = "k" * 32
BODY = {
    "userName": "Zaphodine",
    "userId": "account-7",
    "openingLine": "Hello Zaphodine, here is Trillian's towel.",
    "systemPrompt": "You sell a Babelfish.",
    "metadata": {"planet": "Magrathea"},
}


async def start(api: httpx.AsyncClient, **more: Any) -> str:
    answer = await api.post(START, json=BODY | more)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["sessionId"])


async def secret_of(bus: Bus, session_id: str) -> str:
    entry = await bus.bucket(KEYS).get(session_id)
    assert entry is not None
    assert entry.value is not None
    return entry.value.secret


def said(session_id: str) -> TurnFinished:
    return turn(1, 1, session_id=session_id, user="A Vogonpoem?", heard="One Pangalactic beast. Ravenous!")


async def is_over(bus: Bus, session_id: str, *, secret: str) -> None:
    """Publish the rest of the session as the other services do."""
    bill = SessionBilled(session_id=session_id, time=NOW, seconds=61, minutes=2, credits=2)
    await publish(bus, *a_running_call(session_id), seal(said(session_id), secret), *an_end(session_id), bill)


async def listed(api: httpx.AsyncClient) -> list[dict[str, Any]]:
    return (await api.get("/v1/sessions", params={"user": "Zaphodine"})).json()["items"]


async def shows(redis_url: str, *words: str) -> None:
    async def has_them() -> bool:
        return words_in(await redis_holds(redis_url), *words) == set(words)

    await until(has_them, 5)


async def test_an_erased_sessions_words_are_in_no_store_and_the_facts_stay(
    api: httpx.AsyncClient, bus: Bus, gateway: Gateway, redis_server: RedisServer, redis: Any, nats_server: NatsServer
) -> None:
    session_id = await start(api)
    assert (await api.delete(f"/v1/sessions/{session_id}")).json()["code"] == "session_running"
    secret = await secret_of(bus, session_id)
    await is_over(bus, session_id, secret=secret)
    await until(lambda: words_in(files_hold(nats_server.store), secret), 5)
    await shows(redis_server.url, "Zaphodine", "Magrathea")

    before = await nats_holds(bus)
    assert not words_in(before, *WORDS), "nothing is in the clear even before"
    assert words_in(before, "account-7")
    transcript = (await api.get(f"/v1/sessions/{session_id}/transcript.txt")).text
    assert words_in(transcript.encode(), "Vogonpoem", "Pangalactic") == {"Vogonpoem", "Pangalactic"}
    timeline = (await api.get(f"/v1/sessions/{session_id}/timeline")).json()

    answer = await api.delete(f"/v1/sessions/{session_id}")

    assert answer.json() == {
        "sessionId": session_id,
        "erased": True,
        "erasedAt": answer.json()["erasedAt"],
        "accountIsName": False,
        "redisCleaned": True,
        "logUntil": None,
    }
    assert await secret_of(bus, session_id) == ""
    assert not words_in(files_hold(nats_server.store), secret), "NATS' disk has no bit of the key"
    assert not words_in(await redis_holds(redis_server.url), *WORDS)
    assert not words_in(await nats_holds(bus), *WORDS)
    detail = (await api.get(f"/v1/sessions/{session_id}")).json()
    assert (detail["erased"], detail["userName"], detail["metadata"], detail["credits"]) == (True, "", {}, 2)
    assert (await api.get(f"/v1/sessions/{session_id}/transcript")).json()["turns"][0]["user"] is None
    after = (await api.get(f"/v1/sessions/{session_id}/timeline")).json()
    assert [(e["kind"], e["at"]) for e in after["entries"]][:-1] == [(e["kind"], e["at"]) for e in timeline["entries"]]

    await redis.flushall()
    gateway.restart()
    await until(lambda: redis.exists(f"session:{session_id}"), 10)
    assert not words_in(await redis_holds(redis_server.url), *WORDS), "a rebuild finds no words either"

    for _ in range(3):
        nats_server.restart()  # kill -9
        await bus.bucket(KEYS).put("session_young", b"{}", deadline_s=8)
        assert await secret_of(bus, session_id) == "", "an overwritten key does not come back"
        assert not words_in(files_hold(nats_server.store), secret)
    assert (await api.delete(f"/v1/sessions/{session_id}")).json() == answer.json()


@pytest.mark.parametrize("gateway_variables", [{}, {"ACCOUNT_KEY": ACCOUNT_KEY}], ids=["a name", "a pseudonym"])
async def test_the_name_goes_also_when_redis_lost_the_session_and_only_the_account_stays(
    api: httpx.AsyncClient, bus: Bus, redis_server: RedisServer, redis: Any, gateway_variables: dict[str, str]
) -> None:
    """Redis keeps a user's configuration longer than a session; this start has no `userId`."""
    is_name = not gateway_variables
    account = Accounts(gateway_variables.get("ACCOUNT_KEY", "")).of_name("Zaphodine")
    session_id = await start(api, userId=None)
    assert words_in(await nats_holds(bus), "Zaphodine", account) == {account}
    await is_over(bus, session_id, secret=await secret_of(bus, session_id))
    await until(lambda: redis.hexists(f"session:{session_id}", "conversationDuration"), 5)
    assert await redis.exists("user:Zaphodine:config")
    assert await redis.hget(f"session:{session_id}", "userId") == "Zaphodine", "while it has the name"
    assert [one["userId"] for one in await listed(api)] == ["Zaphodine"]
    await redis.delete(f"projection:session:{session_id}")

    answer = (await api.delete(f"/v1/sessions/{session_id}")).json()

    assert (answer["accountIsName"], answer["redisCleaned"]) == (is_name, True)
    assert not await redis.exists("user:Zaphodine:config")
    kept = await redis.hgetall(f"session:{session_id}")
    assert (kept["userId"], kept["userName"]) == (account, "")
    assert words_in(await redis_holds(redis_server.url), *WORDS) == ({"Zaphodine"} if is_name else set())
    assert words_in(await nats_holds(bus), *WORDS) == ({"Zaphodine"} if is_name else set())
    assert len(await listed(api)) == is_name, "whose list has it, unless the account is the name"


async def test_a_gateway_that_stops_in_the_middle_leaves_the_rest_to_the_projector(
    api: httpx.AsyncClient, bus: Bus, redis_server: RedisServer
) -> None:
    """The event is in the log; nothing else has happened."""
    session_id = await start(api)
    await is_over(bus, session_id, secret=await secret_of(bus, session_id))
    await shows(redis_server.url, "Zaphodine")

    await publish(bus, SessionErased(session_id=session_id, time=NOW))

    async def is_finished() -> bool:
        entry = await bus.bucket(KEYS).get(session_id)  # none between the erasure and the empty secret
        is_erased = entry is not None and entry.value is not None and not entry.value.secret
        return is_erased and not words_in(await redis_holds(redis_server.url), *WORDS)

    await until(is_finished, 5)


async def test_a_scheduler_that_cannot_open_words_gets_them_in_the_clear_and_the_answer_says_so(
    api: httpx.AsyncClient, bus: Bus
) -> None:
    await bus.bucket(QUEUE).put("starts", QueueState(waiting=0, max_queue=9, seq=0))
    await asyncio.sleep(0.3)

    session_id = await start(api)

    stored = await bus.last(session_event(SessionRequested.event, session_id))
    assert stored is not None
    assert isinstance(stored.event, SessionRequested)
    assert (stored.event.user_name, stored.event.sealed) == ("Zaphodine", "")
    await is_over(bus, session_id, secret="")
    erased = (await api.delete(f"/v1/sessions/{session_id}")).json()
    assert erased["logUntil"] > erased["erasedAt"]
    detail = (await api.get(f"/v1/sessions/{session_id}")).json()
    assert (detail["userName"], detail["openingLine"]) == ("", None)


async def test_starts_at_once_with_one_id_share_one_key_and_the_winners_words_open(
    api: httpx.AsyncClient, bus: Bus
) -> None:
    names = [f"User {n}" for n in range(5)]
    mine = BODY | {"userId": None, "sessionId": "session_mine"}

    answers = await asyncio.gather(*(api.post(START, json=mine | {"userName": name}) for name in names))

    [won] = [name for name, answer in zip(names, answers, strict=True) if answer.status_code == 200]
    token = await api.post("/api/token", json={"sessionId": "session_mine", "userId": won})
    other = await api.post("/api/token", json={"sessionId": "session_mine", "userId": "Somebody else"})
    assert (token.status_code, other.status_code) == (200, 403)
