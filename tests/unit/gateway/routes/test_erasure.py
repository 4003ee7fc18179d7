"""DELETE /v1/sessions/{id}."""

from datetime import timedelta

import httpx
import pytest

from contracts.errors import KEYS_FULL, Refused
from contracts.events import Event, SessionErased
from contracts.words import without_words
from gateway.domain.erasure import readable_until
from gateway.domain.read_model import fold, fold_all, session_view, user_config
from gateway.domain.transcript import as_text, transcript
from gateway.ports import NatsUnavailable
from gateway.routes import erasure
from tests.support.events import NOW, SESSION, assigned, at, billed, ended, erased, requested, started, turn
from tests.support.gateway.world import World

ROUTE = f"/v1/sessions/{SESSION}"
OVER: tuple[Event, ...] = (requested(), assigned(), started(), turn(n=1, user="Hi", heard="Hello"), ended(), billed())


@pytest.fixture(autouse=True)
def no_long_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """No projector follows."""
    monkeypatch.setattr(erasure, "_READ_MODEL_WAIT_S", 0.05)


@pytest.mark.parametrize(("events", "state"), [(OVER[:4], "has not ended"), (OVER[:5], "is not billed yet")])
async def test_a_session_without_its_bill_is_refused(
    api: httpx.AsyncClient, world: World, events: tuple[Event, ...], state: str
) -> None:
    world.log.events = list(events)

    answer = await api.delete(ROUTE)

    assert (answer.status_code, answer.json()["code"], answer.json()["retryable"]) == (409, "session_running", False)
    assert state in answer.json()["detail"]
    assert world.log.events == list(events)
    assert not world.words.erased


@pytest.mark.parametrize(("hours", "status"), [(5.9, 409), (6.1, 200)])
async def test_a_session_that_gets_no_bill_can_be_erased_some_hours_after_its_end(
    api: httpx.AsyncClient, world: World, hours: float, status: int
) -> None:
    world.log.events = [event.model_copy(update={"time": NOW - timedelta(hours=hours)}) for event in OVER[:5]]

    answer = await api.delete(ROUTE)

    assert answer.status_code == status
    assert world.words.erased == ({SESSION} if status == 200 else set())
    assert status == 200 or "or from 2026-11-24T12:06:00Z on" in answer.json()["detail"]


async def test_an_unknown_session_is_a_404(api: httpx.AsyncClient) -> None:
    assert (await api.delete(ROUTE)).json()["code"] == "unknown_session"


async def test_an_erasure_is_logged_and_erases_the_key_and_the_seat(api: httpx.AsyncClient, world: World) -> None:
    world.log.events, world.seats.taken = list(OVER), {SESSION: "Ann"}
    world.words.secrets = {SESSION: "secret"}

    answer = await api.delete(ROUTE)

    assert answer.status_code == 200
    assert answer.json()["erased"] is True
    assert [type(e) for e in world.log.events[len(OVER) :]] == [SessionErased]
    assert (world.words.secrets, world.words.erased, world.seats.taken) == ({}, {SESSION}, {SESSION: ""})


async def test_the_answer_says_how_long_the_log_holds_words_that_were_never_sealed(
    api: httpx.AsyncClient, world: World
) -> None:
    world.log.events = list(OVER)

    answer = await api.delete(ROUTE)

    assert answer.json()["logUntil"] == (at(2) + timedelta(days=7)).isoformat().replace("+00:00", "Z")


async def test_a_repetition_answers_with_the_first_time_and_finishes_what_was_left(
    api: httpx.AsyncClient, world: World
) -> None:
    world.log.events = list(OVER)
    world.words.refusal = NatsUnavailable("NATS does not answer.")
    assert (await api.delete(ROUTE)).status_code == 503
    world.words.refusal = None

    first, again = await api.delete(ROUTE), await api.delete(ROUTE)

    assert first.json() == again.json()
    assert world.words.erased == {SESSION}
    assert sum(isinstance(e, SessionErased) for e in world.log.events) == 1


async def test_a_start_with_an_erased_sessions_id_is_refused(api: httpx.AsyncClient, world: World) -> None:
    world.words.erased.add(SESSION)

    answer = await api.post("/orchestrator/session/start", json={"userName": "Ann", "sessionId": SESSION})

    assert (answer.status_code, answer.json()["code"]) == (409, "session_id_taken")
    assert SESSION not in world.rooms.open


async def test_a_full_store_of_keys_refuses_a_start_by_its_name_and_leaves_no_room(
    api: httpx.AsyncClient, world: World
) -> None:
    world.words.refusal = Refused(KEYS_FULL, "no space", retry_after_s=60)

    answer = await api.post("/orchestrator/session/start", json={"userName": "Ann"})

    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "keys_full", "60")
    assert not world.rooms.open
    assert not world.log.events


@pytest.mark.parametrize("is_in_log", [True, False])
@pytest.mark.parametrize("is_in_redis", [True, False])
async def test_the_users_configuration_goes_if_either_store_has_the_name(
    api: httpx.AsyncClient, world: World, *, is_in_log: bool, is_in_redis: bool
) -> None:
    state = fold_all(OVER)
    assert state is not None
    world.log.events = list(OVER) if is_in_log else []
    world.read_model.stored = {SESSION: state} if is_in_redis else {}
    world.read_model.configs = {"Ann": user_config(requested())}
    is_known = is_in_log or is_in_redis

    answer = await api.delete(ROUTE)

    assert answer.status_code == (200 if is_known else 404)
    assert bool(world.read_model.configs) is not is_known
    assert any(isinstance(event, SessionErased) for event in world.log.events) is is_known


async def test_without_redis_nothing_is_announced(api: httpx.AsyncClient, world: World) -> None:
    world.log.events, world.read_model.is_away = list(OVER), True

    answer = await api.delete(ROUTE)

    assert (answer.status_code, answer.json()["code"]) == (503, "redis_unavailable")
    assert world.log.events == list(OVER)


async def test_the_answer_says_when_the_read_model_has_not_followed(api: httpx.AsyncClient, world: World) -> None:
    state = fold_all(OVER)
    assert state is not None
    world.log.events, world.read_model.stored = list(OVER), {SESSION: state}
    assert (await api.delete(ROUTE)).json()["redisCleaned"] is False

    world.read_model.stored = {SESSION: fold(state, erased())}

    assert (await api.delete(ROUTE)).json()["redisCleaned"] is True


@pytest.mark.parametrize(("user_id", "is_name"), [("Ann", True), ("account-7", False)])
async def test_the_answer_says_that_the_account_is_the_name_also_when_repeated(
    api: httpx.AsyncClient, world: World, user_id: str, *, is_name: bool
) -> None:
    start = requested(user_id=user_id)
    world.log.events = [start, *OVER[1:]]
    first = await api.delete(ROUTE)
    world.log.events[0] = without_words(start, sealed="x")

    again = await api.delete(ROUTE)

    assert (first.json()["accountIsName"], again.json()["accountIsName"]) == (is_name, is_name)


def test_the_read_model_keeps_the_facts_of_an_erased_session_in_any_order() -> None:
    forth, back = fold_all([*OVER, erased()]), fold_all([erased(), *OVER])

    assert forth is not None
    assert forth == back
    assert forth.requested is not None
    assert (forth.requested.user_name, forth.requested.system_prompt, forth.requested.metadata) == ("", "", {})
    assert (forth.requested.voice_id, forth.ended, forth.billed) == ("Ashley", ended(), billed())
    views = [session_view(state) for state in (forth, fold_all(OVER)) if state is not None]
    assert [view.erased for view in views if view is not None] == [True, False]


def test_the_transcript_of_an_erased_session_has_times_and_no_words() -> None:
    said = transcript([*OVER, erased()])

    assert said is not None
    assert (said.erased, [(t.n, t.user, t.agent) for t in said.turns]) == (True, [(1, None, None)])
    assert as_text(said) == f"Session {SESSION}\n\nThe words of this session were erased.\n"


def test_a_transcript_whose_key_is_lost_says_so() -> None:
    log = [requested(sealed="x"), turn(n=1).model_copy(update={"sealed": "x"}), ended()]

    lost, gone, read = transcript(log), transcript([*log, erased()]), transcript(OVER)

    assert lost is not None
    assert gone is not None
    assert read is not None
    assert (lost.unreadable, gone.unreadable, read.unreadable) == (True, False, False)
    assert "Words are missing: no key opens them.\n" in as_text(lost)


def test_a_sealed_session_leaves_nothing_readable() -> None:
    sealed = requested(user_name="", opening_line="", system_prompt="", sealed="x")

    assert readable_until([sealed, turn(n=1), ended()], timedelta(days=7)) is None
    assert readable_until([sealed, turn(n=1, user="Hi")], timedelta(days=7)) == at(2) + timedelta(days=7)
