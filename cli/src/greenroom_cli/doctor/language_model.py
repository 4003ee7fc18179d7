"""The server at LLM_BASE_URL: whether it answers a request such as an agent sends, with each configured model."""

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import httpx
from pydantic import ValidationError

from chassis.errors import text_of, validation_text
from greenroom_cli.doctor.check import Check, Verdict

GROUP: Final = "providers"
NAME: Final = "language model"
LIMIT_S = 10.0
_MOST_TOKENS: Final = 16
_MOST_TOLD: Final = 200  # characters of the server's message
_MOST_READ: Final = 1 << 16

_FIXES: Final[Mapping[int, str]] = {
    401: "set LLM_API_KEY to a key that it takes",
    403: "set LLM_API_KEY to a key that it takes",
    404: "set LLM_MODELS to its models, and LLM_BASE_URL to its address up to /v1",
    429: "wait, or raise the limit of the account",
}


class _Refused(Exception):
    """The server did not answer as OpenAI's does. The text says how; `fix` what to do."""

    def __init__(self, text: str, fix: str) -> None:
        super().__init__(text)
        self.fix = fix


async def check_language_model(environment: Mapping[str, str]) -> list[Check]:
    """Send one short completion to each model. No check without LLM_BASE_URL: Groq's list of models tells enough."""
    if not environment.get("LLM_BASE_URL"):
        return []
    from agent_runner.agent_config import AgentConfig  # takes 0.3 s, so it is imported here

    given = {name.lower(): value for name, value in environment.items() if name.startswith("LLM_") and value}
    try:
        config = AgentConfig.model_validate(
            {**dict.fromkeys(("assembly_api_key", "groq_api_key", "inworld_api_key"), "unused"), **given}
        )
    except ValidationError as error:
        problem = validation_text(error.errors(include_url=False)[0])
        return [Check(GROUP, NAME, Verdict.BROKEN, f"not asked: {problem}", "correct the settings LLM_...")]
    endpoint = config.llm_endpoints[0]

    async def failure(model: str) -> tuple[str, str] | None:
        effort = config.reasoning_effort_of(model, is_groq=endpoint.is_groq)
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": "Say hello."}],
            "stream": True,
            config.token_limit_field_of(model, is_groq=endpoint.is_groq): _MOST_TOKENS,
            **config.sampling_of(model, is_groq=endpoint.is_groq),
            **({"reasoning_effort": effort} if effort else {}),
        }
        try:
            async with asyncio.timeout(LIMIT_S):
                await _ask(endpoint.url, endpoint.key, body, environment.get("LLM_API_KEY", ""))
        except TimeoutError:
            return f"no answer within {LIMIT_S:g} s", "check the server; one that still loads the model answers later"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return f"could not be reached: {text_of(error)}", "start the server, or check LLM_BASE_URL"
        except _Refused as error:
            return str(error), error.fix
        return None

    found = dict(zip(config.models, await asyncio.gather(*map(failure, config.models)), strict=True))
    return _checks(endpoint.url, found)


def _checks(url: str, found: Mapping[str, tuple[str, str] | None]) -> list[Check]:
    """One check for all models with the same finding. A call fails over to another model, so one that works warns."""
    failed = Verdict.WARNING if None in found.values() else Verdict.BROKEN
    checks: list[Check] = []
    for finding in dict.fromkeys(found.values()):
        models = ", ".join(model for model, its in found.items() if its == finding)
        if finding is None:
            checks.append(Check(GROUP, NAME, Verdict.OK, f"{url} answers with {models}"))
        else:
            checks.append(Check(GROUP, NAME, failed, f"{url}, {models}: {finding[0]}", finding[1]))
    return checks


async def _ask(url: str, key: str, body: Mapping[str, Any], secret: str) -> None:
    async with (
        httpx.AsyncClient(timeout=None, headers={"Authorization": f"Bearer {key}"}) as client,
        client.stream("POST", f"{url.rstrip('/')}/chat/completions", json=body) as answer,
    ):
        text = ""
        async for part in answer.aiter_text():
            text += part
            if len(text) > _MOST_READ:
                break
    if answer.status_code != HTTPStatus.OK:
        fix = _FIXES.get(
            answer.status_code, "see the server's log; docs/conversation.md lists the fields that are sent"
        )
        raise _Refused(f"status {answer.status_code}: {_told(text, secret)}", fix)
    if '"choices"' not in text:
        raise _Refused(
            f"status 200 without an answer: {_told(text, secret)}", "set LLM_BASE_URL to the server's address of /v1"
        )


def _told(text: str, secret: str) -> str:
    """The beginning of the server's message, on one line and without the key."""
    try:
        error: Any = json.loads(text)["error"]
        text = error if isinstance(error, str) else str(error["message"])
    except (ValueError, KeyError, TypeError):
        pass
    if secret:
        text = text.replace(secret, "***")
    shown = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * _MOST_TOLD]).split())
    return shown[:_MOST_TOLD] or "no message"
