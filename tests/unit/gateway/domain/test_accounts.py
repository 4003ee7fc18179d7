"""The account of a start without a `userId`: readers see the name, and an erasure leaves a pseudonym."""

import dataclasses
from collections.abc import AsyncIterator

import httpx
import pytest

from contracts.api import StartRequest
from contracts.events import SessionRequested
from contracts.words import without_words
from gateway.domain import start
from gateway.domain.accounts import PREFIX, Accounts, shown_user_id
from gateway.domain.read_model import SessionState, fold, fold_all, session_keys, session_view
from gateway.domain.session_filter import SessionFilter
from tests.support.events import NOW, SESSION, billed, ended, erased
from tests.support.gateway.world import World

ACCOUNTS = Accounts("a-secret-of-at-least-32-bytes-for-tests")
ANN = ACCOUNTS.of_name("Ann")


def requested(accounts: Accounts = ACCOUNTS, **fields: object) -> SessionRequested:
    body = StartRequest.model_validate({"userName": "Ann", **fields})
    return start.requested(body, SESSION, NOW, accounts=accounts)


@pytest.fixture
async def keyed(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway with ACCOUNT_KEY."""
    app = world.app()
    app.state.services = dataclasses.replace(app.state.services, accounts=ACCOUNTS)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1") as api:
        yield api


def test_one_name_has_one_account_that_only_the_key_makes() -> None:
    assert requested().user_id == ANN
    assert ANN.startswith(PREFIX)
    assert len(ANN) <= 128
    assert len({ANN, ACCOUNTS.of_name("ann"), Accounts("another-secret-of-at-least-32-bytes").of_name("Ann")}) == 3
    assert "secret" not in repr(ACCOUNTS)


def test_without_a_key_or_with_a_user_id_the_account_is_as_it_was() -> None:
    assert (requested(Accounts()).user_id, requested(Accounts()).user_id_derived) == ("Ann", False)
    assert (requested(userId="u-7").user_id, requested(userId="u-7").user_id_derived) == ("u-7", False)


def test_readers_see_the_name_until_it_is_erased() -> None:
    state = fold_all([requested(), ended(), billed()])
    assert state is not None

    assert shown(state) == ("Ann", "Ann", True)

    assert shown(fold(state, erased())) == (ANN, ANN, False)


def shown(state: SessionState) -> tuple[str, str, bool]:
    """`userId` in Redis and in the API, and whether the list of Ann's sessions has it."""
    keys, view = session_keys(state), session_view(state)
    assert keys is not None
    assert view is not None
    return keys.fields["userId"], view.user_id, SessionFilter(user="Ann").matches(state)


def test_the_name_is_in_none_of_the_facts() -> None:
    assert "Ann" not in without_words(requested(), sealed="x").model_dump_json()


def test_a_repeated_start_is_the_same_start_after_the_key_was_set() -> None:
    before, after = requested(Accounts()), requested()

    assert start.is_same_start(after, before)
    assert shown_user_id(before) == shown_user_id(after)


async def test_a_start_is_logged_with_the_pseudonym_and_answered_with_the_name(
    keyed: httpx.AsyncClient, world: World
) -> None:
    answer = await keyed.post("/orchestrator/session/start", json={"userName": "Ann", "sessionId": SESSION})

    assert answer.status_code == 200
    logged = next(event for event in world.log.events if isinstance(event, SessionRequested))
    assert (logged.user_id, logged.user_name) == (ANN, "Ann")
    token = await keyed.post("/api/token", json={"userId": "Ann", "sessionId": SESSION})
    assert token.status_code == 200


async def test_a_bill_names_the_user_until_the_name_is_erased(keyed: httpx.AsyncClient, world: World) -> None:
    world.billing.settled, world.billing.account = {SESSION}, ANN
    world.log.events = [requested()]
    route = f"/billing/sessions/{SESSION}"

    assert (await keyed.get(route)).json()["userId"] == "Ann"

    world.log.events = [without_words(requested(), sealed="x")]
    assert (await keyed.get(route)).json()["userId"] == ANN

    world.log.is_away = True
    assert (await keyed.get(route)).json()["userId"] == ANN


@pytest.mark.parametrize("route", ["/billing/users/Ann", "/billing/users?user=Ann"])
async def test_bills_are_found_by_the_name(keyed: httpx.AsyncClient, world: World, route: str) -> None:
    world.billing.settled, world.billing.account = {SESSION}, ANN

    found = (await keyed.get(route)).json()

    assert world.billing.users == [("Ann", ANN)]
    assert {found["userId"], *(bill["userId"] for bill in found["items"])} == {"Ann"}


async def test_without_a_key_billing_is_asked_for_the_name_alone(api: httpx.AsyncClient, world: World) -> None:
    await api.get("/billing/users/Ann")

    assert world.billing.users == [("Ann", None)]


async def test_an_erasure_leaves_no_name_as_the_account(keyed: httpx.AsyncClient, world: World) -> None:
    world.log.events = [requested(), ended(), billed()]

    answer = await keyed.delete(f"/v1/sessions/{SESSION}")

    assert (answer.status_code, answer.json()["accountIsName"]) == (200, False)
