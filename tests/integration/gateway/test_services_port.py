"""What the gateway's `Rooms`, `Billing` and `Voices` promise, by their fakes and by LiveKit and servers over HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from billing.domain.ledger import settle
from billing.domain.rating import Tariff
from billing.domain.usage import usage
from billing.routes.bills import Bills
from chassis import problem
from chassis.health import Health
from chassis.web import WebServer
from contracts.errors import LIVEKIT_UNAVAILABLE, Refused
from contracts.rooms import room_shape
from gateway.adapters.billing_http import BillingHttp
from gateway.adapters.inworld_voices import InworldVoices
from gateway.adapters.livekit_rooms import LiveKitRooms
from gateway.ports import Billing, Rooms, Voices
from tests.support.billing import fakes as billing_fakes
from tests.support.billing.logs import call
from tests.support.events import SESSION
from tests.support.gateway.fakes import FakeBilling, FakeRooms, FakeVoices
from tests.support.servers import API_KEY, API_SECRET, LiveKitServer

OTHER = "session_other"


@dataclass
class Services:
    """The ports, a bill for `SESSION`, and the loss of all servers."""

    rooms: Rooms
    billing: Billing
    voices: Voices
    bill: Callable[[], Awaitable[None]]
    go_away: Callable[[], Awaitable[None]]


@pytest.fixture
def fakes() -> Services:
    rooms, billing = FakeRooms(), FakeBilling()

    async def bill() -> None:
        billing.settled.add(SESSION)

    async def go_away() -> None:
        rooms.failure = Refused(LIVEKIT_UNAVAILABLE, "LiveKit is away.")
        billing.is_away = True

    return Services(rooms, billing, FakeVoices(frozenset({"Ashley"})), bill, go_away)


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Services]:
    log = billing_fakes.FakeLog([*call(61_000)])
    ledger, livekit = billing_fakes.FakeLedger(), LiveKitServer(tmp_path / "livekit")

    async def voices(_: Request) -> JSONResponse:
        return JSONResponse({"voices": [{"voiceId": "Ashley"}]})

    health = Health("billing")
    health.is_serving()
    routes = [*Bills(ledger, log).routes(), *health.routes(), Route("/voices/v1/voices", voices)]
    app = Starlette(routes=routes)
    problem.install(app)
    web = WebServer(app, host="127.0.0.1", port=0, drain_timeout_s=1)

    async def bill() -> None:
        await ledger.record(settle(usage(SESSION, log.records), Tariff()))

    async with AsyncExitStack() as stack:
        stack.enter_context(livekit)
        await web.start()
        stack.push_async_callback(web.stop)
        url = f"http://127.0.0.1:{web.port}"
        shape, keys = room_shape(30), (API_KEY, API_SECRET)
        rooms = LiveKitRooms(livekit.url, *keys, shape=shape, deadline_s=2, deployment="here")
        await rooms.open()
        stack.push_async_callback(rooms.close)
        billing, listed = BillingHttp(url, deadline_s=2), InworldVoices(url, "key", ttl_s=60, deadline_s=2)
        stack.push_async_callback(billing.close)
        stack.push_async_callback(listed.close)

        async def go_away() -> None:
            livekit.kill9()
            await web.stop()

        yield Services(rooms, billing, listed, bill, go_away)


@pytest.fixture(params=["fakes", "servers"])
def services(request: pytest.FixtureRequest) -> Services:
    return request.getfixturevalue(request.param)


async def test_a_room_is_new_once_until_it_is_deleted(services: Services) -> None:
    rooms = services.rooms
    first, again = await rooms.create(SESSION), await rooms.create(SESSION)
    assert (first.is_new, again.is_new) == (True, False)
    assert first.has_our_settings
    assert again.has_our_settings
    assert await rooms.identities(SESSION) == await rooms.identities(OTHER) == frozenset()

    for _ in range(2):
        await rooms.delete(SESSION)

    assert (await rooms.create(SESSION)).is_new
    assert (await rooms.check()).ok


async def test_a_bill_is_there_once_its_session_is_settled(services: Services) -> None:
    with pytest.raises(Refused) as early:
        await services.billing.session(SESSION)
    await services.bill()

    assert early.value.problem.code == "not_billed_yet"
    assert (await services.billing.session(SESSION)).session_id == SESSION
    assert (await services.billing.check()).ok


async def test_the_voices_are_known(services: Services) -> None:
    assert await services.voices.known() == {"Ashley"}


async def test_a_service_that_is_away_is_named(services: Services) -> None:
    await services.go_away()
    codes: list[str] = []
    calls = (services.rooms.create, services.rooms.delete, services.rooms.identities, services.billing.session)
    for ask in calls:
        with pytest.raises(Refused) as refused:
            await ask(SESSION)
        codes.append(refused.value.problem.code)

    assert codes == ["livekit_unavailable"] * 3 + ["billing_unavailable"]
    assert not (await services.rooms.check()).ok
    assert not (await services.billing.check()).ok
