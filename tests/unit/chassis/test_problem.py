"""Every error over HTTP is a problem with a code, a fix and the request's id."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import StreamingResponse

from chassis import problem
from chassis.edge import request_id
from contracts.errors import BUS_UNAVAILABLE, UNKNOWN_SESSION, Problem, Refused
from tests.support.asgi import scope


class Tool(BaseModel):
    model_config = ConfigDict(extra="forbid")

    timeout_s: float = 1


class Start(BaseModel):
    model_config = ConfigDict(extra="forbid")

    user_name: str = Field(alias="userName", min_length=1)
    max_minutes: int = Field(default=1, alias="maxMinutes")
    language: str | None = None
    tools: tuple[Tool, ...] | None = None


def app() -> FastAPI:
    app = FastAPI()
    problem.install(app, invalid=RequestValidationError, max_body_bytes=1000, deadline_s=0.5)

    async def start(body: Start) -> dict[str, str]:
        return {"user": body.user_name, "request": request_id()}

    async def refused() -> None:
        raise Refused(UNKNOWN_SESSION, "no session session_1", retry_after_s=3)

    async def away() -> None:
        raise Refused(BUS_UNAVAILABLE, "NATS is away")

    async def bug() -> None:
        raise RuntimeError("the secret sauce")

    async def slow() -> None:
        await asyncio.sleep(5)

    async def own_timeout() -> None:
        raise TimeoutError

    async def teapot() -> None:
        raise HTTPException(418, "no coffee")

    async def length(request: Request) -> int:
        return len(await request.body())

    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(4):
                await asyncio.sleep(0.2)
                yield b"x"

        return StreamingResponse(parts())

    app.post("/start")(start)
    app.post("/length")(length)
    for handler in (refused, away, bug, slow, own_timeout, teapot, stream):
        app.get(f"/{handler.__name__}")(handler)
    app.get("/sessions/{session_id}")(refused)
    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def told(answer: httpx.Response) -> Problem:
    assert answer.headers["content-type"] == "application/problem+json"
    found = Problem.model_validate_json(answer.content)
    assert found.status == answer.status_code
    assert found.request_id == answer.headers["x-request-id"]
    assert found.type == f"urn:greenroom:problem:{found.code}"
    assert found.fix
    return found


async def test_a_refusal_is_its_problem(client: httpx.AsyncClient) -> None:
    answer = await client.get("/refused")
    found = told(answer)
    assert (found.status, found.code, found.detail) == (404, "unknown_session", "no session session_1")
    assert answer.headers["retry-after"] == "3"


async def test_a_503_without_a_retry_time_says_one_second(client: httpx.AsyncClient) -> None:
    answer = await client.get("/away")
    assert (told(answer).code, answer.headers["retry-after"]) == ("bus_unavailable", "1")


async def test_a_bad_field_is_named_as_the_client_spelt_it(client: httpx.AsyncClient) -> None:
    answer = await client.post("/start", json={"userName": "", "maxMinutes": "many"})
    found = told(answer)
    assert (found.status, found.code) == (422, "invalid_request")
    assert [error.field for error in found.errors] == ["userName", "maxMinutes"]
    assert "Invalid fields: userName, maxMinutes." in found.detail


async def test_a_misspelt_field_is_told_the_one_that_was_meant(client: httpx.AsyncClient) -> None:
    body = {"userName": "Ann", "max_minuts": 3, "langauge": "de", "colour": "red", "tools": [{"timoutS": 1}]}

    found = told(await client.post("/start", json=body))

    assert (found.status, found.code) == (422, "invalid_request")
    assert found.fix.endswith(
        "Did you mean timeout_s for tools.0.timoutS, maxMinutes for max_minuts, language for langauge?"
    )
    said = {error.field: error.message for error in found.errors}
    assert "did you mean language?" in said["langauge"]
    assert "did you mean" not in said["colour"]
    assert "red" not in found.model_dump_json()


async def test_an_unknown_field_that_resembles_none_is_told_of_none(client: httpx.AsyncClient) -> None:
    found = told(await client.post("/start", json={"userName": "Ann", "x" * 500: 1, "": 2}))

    assert "ean" not in found.fix
    assert len(found.errors) == 2


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"nonsense"])
async def test_a_body_that_is_no_json(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/start", content=body, headers={"content-type": "application/json"})
    assert (told(answer).status, told(answer).code) == (400, "malformed_body")


@pytest.mark.parametrize(
    ("content_type", "said"),
    [
        (None, "It has no Content-Type"),
        ("application/x-www-form-urlencoded", "Its Content-Type is application/x-www-form-urlencoded"),
        ("text/plain; charset=utf-8", "Its Content-Type is text/plain;"),
    ],
)
async def test_json_under_another_content_type_is_told_which_header_to_add(
    client: httpx.AsyncClient, content_type: str | None, said: str
) -> None:
    headers = {"content-type": content_type} if content_type else {}

    found = told(await client.post("/start", content=b'{"userName": "Ada"}', headers=headers))

    assert (found.status, found.code) == (400, "malformed_body")
    assert found.title == "The body is not a JSON object"
    assert said in found.detail
    assert "add the header Content-Type: application/json" in found.detail
    assert "Content-Type: application/json" in found.fix


@pytest.mark.parametrize(
    ("body", "said", "fix"),
    [
        (b"{", "not valid JSON. At line 1, column 2: ", "Correct the JSON at line 1, column 2"),
        (b'{"userName":\n  secret}', "not valid JSON. At line 2, column 3: ", "Correct the JSON at line 2, column 3"),
        (b'{"a": "secret\n"}', "At line 1, column 14: Invalid control character.", "line 1, column 14"),
        (b"[]", "not an object", "Send a JSON object in braces"),
        (b"null", "not an object", "Send a JSON object in braces"),
        (b"", "is empty", "Send a JSON object in braces"),
        (b'{"userName": "\xe4"}', "not valid UTF-8: see its byte 15", "Send the JSON in UTF-8"),
    ],
)
async def test_a_body_under_the_right_content_type_is_told_what_is_wrong_with_it(
    client: httpx.AsyncClient, body: bytes, said: str, fix: str
) -> None:
    answer = await client.post("/start", content=body, headers={"content-type": "Application/JSON; charset=utf-8"})

    assert (told(answer).status, told(answer).code) == (400, "malformed_body")
    assert told(answer).title == "The body is not a JSON object"
    assert said in told(answer).detail
    assert "Content-Type" not in told(answer).detail + told(answer).fix
    assert fix in told(answer).fix
    assert "secret" not in answer.text


async def test_an_unknown_page_and_a_wrong_method(client: httpx.AsyncClient) -> None:
    assert told(await client.get("/nowhere")).code == "not_found"
    answer = await client.put("/start")
    assert told(answer).code == "method_not_allowed"
    assert answer.headers["allow"] == "POST"


async def test_another_status_keeps_its_number(client: httpx.AsyncClient) -> None:
    found = told(await client.get("/teapot"))
    assert (found.status, found.detail) == (418, "no coffee")


@pytest.mark.parametrize("path", ["/bug", "/own_timeout"])
async def test_a_bug_is_a_500_without_our_insides(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    found = told(answer)
    assert (found.status, found.code) == (500, "internal")
    assert "sauce" not in answer.text


async def test_an_answer_that_takes_too_long_is_a_504(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(2):
        found = told(await client.get("/slow"))
    assert (found.status, found.code, found.retryable) == (504, "deadline_exceeded", True)


async def test_a_stream_that_has_begun_may_go_on(client: httpx.AsyncClient) -> None:
    answer = await client.get("/stream")
    assert (answer.status_code, answer.text) == (200, "xxxx")


async def test_a_request_id_is_kept_if_well_formed_and_made_otherwise(client: httpx.AsyncClient) -> None:
    given = await client.post("/start", json={"userName": "Ada"}, headers={"X-Request-Id": "abc-1"})
    assert (given.headers["x-request-id"], given.json()["request"]) == ("abc-1", "abc-1")

    for bad in ("", "a" * 200, "a b", '"><script>'):
        made = await client.get("/refused", headers={"X-Request-Id": bad})
        assert made.headers["x-request-id"] != bad
        assert len(made.headers["x-request-id"]) == 32


@pytest.mark.parametrize("path", ["/start", "/length", "/nowhere"])
async def test_a_body_too_large_is_refused_however_it_comes(client: httpx.AsyncClient, path: str) -> None:
    body = json.dumps({"userName": "x" * 1000}).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for begin in range(0, len(body), 100):
            yield body[begin : begin + 100]

    for content in (body, chunks()):
        found = told(await client.post(path, content=content, headers={"content-type": "application/json"}))
        assert (found.status, found.code) == (413, "body_too_large")
        assert "1000 bytes" in found.detail


async def test_a_body_at_the_limit_is_taken_also_in_chunks(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 100

    assert (await client.post("/length", content=chunks())).json() == 1000
    assert (await client.post("/length", content=b"x" * 1000)).json() == 1000
    assert (await client.post("/length")).json() == 0


async def test_a_sender_that_stops_halfway_is_under_the_deadline() -> None:
    sent: list[Any] = []
    first = True

    async def receive() -> dict[str, Any]:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": b"{", "more_body": True}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    request = scope("/start", method="POST", headers={"content-type": "application/json"})
    async with asyncio.timeout(2):
        await app()(request, receive, send)
    assert sent[0]["status"] == 504


async def test_metrics_name_the_route_and_never_the_id(client: httpx.AsyncClient) -> None:
    from chassis import metrics

    await client.get("/sessions/session_very_secret")
    await client.get("/nowhere/session_very_secret")
    text = metrics.render().decode()
    assert 'route="/sessions/{session_id}"' in text
    assert "very_secret" not in text
