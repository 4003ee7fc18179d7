"""The list of voices and billing, from servers that speak HTTP as theirs do."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chassis.problem import problem_response
from chassis.web import WebServer
from contracts.api import UserBill
from contracts.errors import INTERNAL, NOT_BILLED_YET, UNKNOWN_SESSION, ProblemType, Refused
from gateway.adapters.billing_http import BillingHttp
from gateway.adapters.inworld_voices import InworldVoices
from tests.support.bills import session_bill
from tests.support.servers import free_port

KEY = "aW53b3JsZA=="


@asynccontextmanager
async def serving(path: str, answer: Callable[[Request], Response]) -> AsyncIterator[str]:
    async def endpoint(request: Request) -> Response:
        return answer(request)

    server = WebServer(Starlette(routes=[Route(path, endpoint)]), host="127.0.0.1", port=0, drain_timeout_s=1)
    await server.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        await server.stop()


def voices_at(url: str, *, key: str | None = KEY, ttl_s: float = 60) -> InworldVoices:
    return InworldVoices(url, key, ttl_s=ttl_s, deadline_s=1)


class VoiceList:
    """Two pages of voices for a client with the key."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False

    def __call__(self, request: Request) -> Response:
        self.asked += 1
        if self.fails or request.headers["authorization"] != f"Basic {KEY}":
            return JSONResponse({"code": 16, "message": "unauthenticated"}, status_code=401)
        if request.query_params.get("pageToken") == "2":
            return JSONResponse({"voices": [{"voiceId": "Craig"}]})
        return JSONResponse({"voices": [{"voiceId": "Ashley"}, {"name": "odd"}], "nextPageToken": "2"})


@pytest.mark.parametrize("path", ["/voices/v1/voices", "/tts/v1/voices"])
async def test_all_pages_of_the_list_are_read_at_the_new_and_the_old_place(path: str) -> None:
    async with serving(path, VoiceList()) as url:
        assert await voices_at(url).known() == {"Ashley", "Craig"}


async def test_the_list_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = VoiceList()
    async with serving("/voices/v1/voices", provider) as url:
        voices = voices_at(url)
        await asyncio.gather(*(voices.known() for _ in range(5)))
        await voices.known()

    assert provider.asked == 2, "once for each page"


async def test_an_old_list_serves_while_no_new_one_can_be_had() -> None:
    provider = VoiceList()
    async with serving("/voices/v1/voices", provider) as url:
        voices = voices_at(url, ttl_s=0.05)
        await voices.known()
        provider.fails = True
        await asyncio.sleep(0.1)

        assert [await voices.known() for _ in range(2)] == [{"Ashley", "Craig"}] * 2
        await voices.close()


async def test_without_a_list_any_voice_is_known() -> None:
    async with serving("/voices/v1/voices", VoiceList()) as url:
        assert await voices_at(url, key="wrong").known() is None
        assert await voices_at(url, key=None).known() is None
    async with serving("/voices/v1/voices", lambda _: Response("<html>")) as url:
        assert await voices_at(url).known() is None
    async with serving("/voices/v1/voices", lambda _: JSONResponse([1])) as url:
        assert await voices_at(url).known() is None
    assert await voices_at(f"http://127.0.0.1:{free_port()}").known() is None


BILL = session_bill()


async def test_a_bill_comes_through_whole() -> None:
    async with serving(
        "/billing/sessions/{id}", lambda _: JSONResponse(BILL.model_dump(mode="json", by_alias=True))
    ) as url:
        assert await BillingHttp(url, deadline_s=1).session("session_a") == BILL


async def test_a_users_page_is_asked_for_by_name_limit_and_cursor() -> None:
    def answer(request: Request) -> Response:
        body = UserBill(
            user_id=request.path_params["user"],
            sessions=1,
            seconds=61,
            minutes=2,
            credits=2,
            items=[BILL],
            next_cursor=str(request.query_params),
        )
        return JSONResponse(body.model_dump(mode="json", by_alias=True))

    async with serving("/billing/users/{user}", answer) as url:
        page = await BillingHttp(url, deadline_s=1).user("Ann Ö & Co", limit=5, cursor="c=1")

    assert (page.user_id, page.next_cursor) == ("Ann Ö & Co", "limit=5&cursor=c%3D1")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (problem_response(Refused(UNKNOWN_SESSION, "no such session"), "r1"), "unknown_session"),
        (problem_response(Refused(INTERNAL, "a bug"), "r1"), "billing_unavailable"),
        (Response("<html>", status_code=502), "billing_unavailable"),
        (Response("{}", status_code=200), "billing_unavailable"),
    ],
)
async def test_billings_problems_keep_their_code_and_its_faults_are_billing_away(answer: Response, code: str) -> None:
    async with serving("/billing/sessions/{id}", lambda _: answer) as url:
        with pytest.raises(Refused) as refused:
            await BillingHttp(url, deadline_s=1).session("session_a")

    assert refused.value.problem.code == code


@pytest.mark.parametrize(("status", "ok", "detail"), [(200, True, ""), (503, False, "it answered 503")])
async def test_billing_says_whether_it_works(status: int, ok: bool, detail: str) -> None:
    async with serving("/ready", lambda _: Response("{}", status_code=status)) as url:
        found = await BillingHttp(url, deadline_s=1).check()

    assert (found.ok, found.detail) == (ok, detail)


async def test_a_billing_that_does_not_listen_does_not_work() -> None:
    async with serving("/ready", lambda _: Response("{}")) as url:
        pass

    assert (await BillingHttp(url, deadline_s=1).check()).detail == "ConnectError"


async def test_a_silent_billing_is_waited_for_no_longer_than_the_deadline() -> None:
    silent = await asyncio.start_server(lambda _r, _w: asyncio.sleep(60), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with asyncio.timeout(3):
        with pytest.raises(Refused) as refused:
            await BillingHttp(f"http://127.0.0.1:{port}", deadline_s=0.3).session("session_a")
    silent.close()

    assert refused.value.problem.code == "billing_unavailable"


@pytest.mark.parametrize(("kind", "code"), [(NOT_BILLED_YET, "not_billed_yet"), (INTERNAL, "billing_unavailable")])
async def test_billings_word_on_when_to_ask_again_is_passed_on(kind: ProblemType, code: str) -> None:
    refused = Refused(kind, "Not now.", retry_after_s=17)
    async with serving("/billing/sessions/session_a", lambda _: problem_response(refused, "r1")) as url:
        with pytest.raises(Refused) as passed_on:
            await BillingHttp(url, deadline_s=1).session("session_a")

    assert (passed_on.value.problem.code, passed_on.value.retry_after_s) == (code, 17)
