"""Chooses this node's language models: the configured ones that the provider has.

Groq withdraws models: each request for an unknown one gets 404, which makes an agent mute. So the node reads the list
of models once, at its start, over plain HTTP: Groq's SDK would cost the supervisor 4 MB of memory. Another server's
list decides nothing, since some answer to names that they do not list; the request shows whether calls can reach it.
"""

import asyncio
import urllib.request
from http import HTTPStatus
from http.client import HTTPException
from typing import Final
from urllib.error import HTTPError

from pydantic import BaseModel

from agent_runner.agent_config import AgentConfig
from chassis import logs
from chassis.errors import StartFailed, text_of

_ASK_S: Final = 4.0
_MOST_BYTES: Final = 1 << 20

log = logs.get_logger(__name__)


class _Model(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_Model]


async def with_models(config: AgentConfig) -> AgentConfig:
    """The configuration with the models that exist."""
    update = {"llm_models": await choose_models(config), "llm_model": None, "llm_fallback_model": None}
    return config.model_copy(update=update)


async def choose_models(config: AgentConfig) -> tuple[str, ...]:
    """Ask Groq or the other server once. If it is unreachable or fails, use the configured models and log a warning.

    Raises:
        StartFailed: Groq refuses the only key, or has no configured model.
    """
    endpoint, models = config.llm_endpoints[0], config.models
    base_url = endpoint.url.rstrip("/")
    if not endpoint.is_groq:
        await _look_for(base_url, endpoint.key)
        return models
    try:
        async with asyncio.timeout(_ASK_S):
            known = await asyncio.to_thread(_models, base_url, endpoint.key)
    except HTTPError as error:
        if error.code != HTTPStatus.UNAUTHORIZED:
            log.warning("llm.not_checked", url=base_url, used=models, error=f"{error.code} {error.reason}")
            return models
        if len(config.llm_endpoints) > 1:
            log.error("llm.key_refused", url=base_url, fix="Set GROQ_API_KEY to a valid key; calls use the fallback.")
            return models
        raise StartFailed(f"{base_url} refuses GROQ_API_KEY", "Set GROQ_API_KEY to a valid key.") from error
    except (HTTPException, OSError, ValueError) as error:  # ValueError: not a list, or an invalid key
        log.warning("llm.not_checked", url=base_url, used=models, error=text_of(error))
        return models
    found = tuple(model for model in models if model in known)
    if not found:
        raise StartFailed(
            f"{base_url} has none of the models {', '.join(models)}",
            "Set LLM_MODELS to models of https://console.groq.com/docs/models.",
        )
    if found != models:
        log.warning("llm.models_missing", missing=[model for model in models if model not in known], used=found)
    return found


async def _look_for(base_url: str, key: str) -> None:
    """Log a warning if a server cannot be reached or refuses the key; it may start later than the node."""
    try:
        async with asyncio.timeout(_ASK_S):
            await asyncio.to_thread(_models, base_url, key)
    except HTTPError as error:
        if error.code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            log.warning("llm.key_refused", url=base_url, status=error.code, fix="Set LLM_API_KEY to a valid key.")
    except OSError as error:
        fix = "Start the server, or correct LLM_BASE_URL: answers fail until it is there."
        log.warning("llm.not_reached", url=base_url, error=text_of(error), fix=fix)
    except (HTTPException, ValueError) as error:  # a server without a list of models
        log.debug("llm.no_list", url=base_url, error=type(error).__name__)


def _models(base_url: str, key: str) -> set[str]:
    """The ids of the models that the account may use."""
    request = urllib.request.Request(f"{base_url}/models")
    request.add_unredirected_header("Authorization", f"Bearer {key}")  # a redirect does not get the key
    with urllib.request.urlopen(request, timeout=_ASK_S) as answer:
        return {model.id for model in _Models.model_validate_json(answer.read(_MOST_BYTES)).data}
