"""Groq's paths under /openai/v1."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from sandbox.groq.errors import RequestRefused, fault_body, invalid_key, no_model
from sandbox.groq.reply import Answer, prompt_tokens, reply
from sandbox.groq.request import Completion, completion
from sandbox.script import Reply
from sandbox.stage import Stage, stage_of
from sandbox.wire import (
    GARBAGE,
    BodyRefused,
    Dropped,
    is_key,
    json_body,
    status_response,
    strike_answer,
    strike_http,
)

PATH = "/openai/v1"
_CREATED = 1_754_000_000
_CONTEXT_WINDOW = 131_072

Handler = Callable[[Request], Awaitable[Response]]


def routes() -> list[Route]:
    return [
        Route(f"{PATH}/chat/completions", _guarded(chat), methods=["POST"]),
        Route(f"{PATH}/models", _guarded(models), methods=["GET"]),
        Route(f"{PATH}/models/{{model:path}}", _guarded(model), methods=["GET"]),
    ]


def _guarded(handler: Handler) -> Handler:
    """Check the key, and answer refusals."""

    async def answer(request: Request) -> Response:
        stage = stage_of(request)
        stage.traffic.count("groq", request.url.path.removeprefix(f"{PATH}/").partition("/")[0])
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        try:
            if scheme.lower() != "bearer" or not is_key(key, stage.settings.groq_key):
                raise invalid_key()
            return await handler(request)
        except RequestRefused as refused:
            return refused.response()
        except BodyRefused as error:
            return RequestRefused(error.status, error.message).response()

    return answer


async def models(request: Request) -> Response:
    listed = [_described(name) for name in stage_of(request).settings.groq_models]
    return await _struck(request) or JSONResponse({"object": "list", "data": listed})


async def model(request: Request) -> Response:
    name: str = request.path_params["model"]
    if name not in stage_of(request).settings.groq_models:
        raise no_model(name)
    return await _struck(request, name) or JSONResponse(_described(name))


def _described(name: str) -> dict[str, Any]:
    owner = name.split("/")[0] if "/" in name else "OpenAI"
    described = {"id": name, "object": "model", "created": _CREATED, "owned_by": owner}
    return {**described, "active": True, "context_window": _CONTEXT_WINDOW, "public_apps": None}


async def chat(request: Request) -> Response:
    """A chat completion, whole or as a stream of events."""
    stage, body = stage_of(request), await json_body(request)
    stage.traffic.keep("groq", request.url.path, body)
    asked = completion(body)
    if (refusal := await _struck(request, asked.model, prompt_tokens(asked) + (asked.limit or 0))) is not None:
        return refusal
    if asked.model not in stage.settings.groq_models:
        raise no_model(asked.model)
    if asked.model.startswith("whisper"):
        raise RequestRefused(400, f"The model `{asked.model}` does not support chat completions")
    scripted = Reply() if _is_to_be_empty(stage, asked.model) else stage.script.next_reply()
    answer = reply(asked, scripted, stage.settings.now(), stage.settings.llm_reasoning_tokens)
    if asked.stream:
        return StreamingResponse(_streamed(stage, asked, answer), media_type="text/event-stream")
    if await strike_answer(stage, "groq", {"path": f"{PATH}/chat/completions", "model": asked.model}):
        return Response(GARBAGE, media_type="application/json")
    tokens = answer.reasoning + len(answer.tokens)
    await asyncio.sleep((stage.settings.llm_first_token_ms + stage.settings.llm_token_ms * tokens) / 1000)
    return JSONResponse(_whole(asked, answer))


async def _struck(request: Request, model: str = "", tokens: int = 0) -> Response | None:
    """The response of an active fault at the request, if there is one."""
    about = {"path": request.url.path, "model": model, "tokens": str(tokens)}
    fault = await strike_http(stage_of(request), "groq", "request", about)
    if fault is None:
        return None
    if fault.kind == "garbage":
        return Response(GARBAGE, media_type="application/json")
    return status_response(fault, fault_body(fault.status))


def _is_to_be_empty(stage: Stage, model: str) -> bool:
    return bool(stage.faults.take("groq", "thought", {"path": f"{PATH}/chat/completions", "model": model}))


def _whole(asked: Completion, answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.calls:
        message["tool_calls"] = answer.called()
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
    return {**_header(asked, "chat.completion"), "choices": [choice], "usage": answer.usage}


def _header(asked: Completion, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4()}", "object": kind, "created": int(time.time()), "model": asked.model}


async def _streamed(stage: Stage, asked: Completion, answer: Answer) -> AsyncGenerator[str]:
    """The events of the stream; a fault applies after the first token, in mid-sentence."""

    async def close(_code: int | None) -> None:
        cut.set()

    cut = asyncio.Event()
    header = _header(asked, "chat.completion.chunk")
    with stage.traffic.connection("groq", close):
        yield _event(header, {"role": "assistant", "content": ""})
        await asyncio.sleep(stage.settings.llm_first_token_ms / 1000)
        for index, delta in enumerate(_deltas(answer)):
            if index == 1 and await strike_answer(
                stage, "groq", {"path": f"{PATH}/chat/completions", "model": asked.model}
            ):
                yield f"data: {GARBAGE}\n\n"
            if cut.is_set():
                raise Dropped
            yield _event(header, delta)
            await asyncio.sleep(stage.settings.llm_token_ms / 1000)
        yield _event({**header, "x_groq": {"id": header["id"], "usage": answer.usage}}, {}, answer.finish_reason)
        if asked.includes_usage:
            yield f"data: {json.dumps({**header, 'choices': [], 'usage': answer.usage})}\n\n"
        yield "data: [DONE]\n\n"


def _deltas(answer: Answer) -> list[dict[str, Any]]:
    calls = [{"index": index, **call} for index, call in enumerate(answer.called())]
    thoughts: list[dict[str, Any]] = [{"reasoning": " hm", "channel": "analysis"}] * answer.reasoning
    return thoughts + [{"content": token} for token in answer.tokens] + [{"tool_calls": [call]} for call in calls]


def _event(header: dict[str, Any], delta: dict[str, Any], finish_reason: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return f"data: {json.dumps({**header, 'choices': [choice]})}\n\n"
