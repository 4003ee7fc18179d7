"""Chooses this node's language model: the configured one, or its fallback if the provider no longer has it.

Groq withdraws models: each request for an unknown one gets 404, which makes an agent mute. So the node reads the list
of models once, at its start, over plain HTTP: Groq's SDK would cost the supervisor 4 MB of memory.
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
from chassis.errors import StartFailed

_ASK_S: Final = 4.0
_MOST_BYTES: Final = 1 << 20

log = logs.get_logger(__name__)


class _Model(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_Model]


async def choose_model(config: AgentConfig) -> str:
    """Ask the provider once. If it is unreachable or fails, use the configured model and log a warning.

    Raises:
        StartFailed: The only key is refused, or neither model exists.
    """
    base_url, model, fallback = config.groq_base_url.rstrip("/"), config.llm_model, config.llm_fallback_model
    try:
        async with asyncio.timeout(_ASK_S):
            known = await asyncio.to_thread(_models, base_url, config.groq_api_key.get_secret_value())
    except HTTPError as error:
        if error.code != HTTPStatus.UNAUTHORIZED:
            log.warning("llm.not_checked", url=base_url, used=model, error=f"{error.code} {error.reason}")
            return model
        if len(config.llm_endpoints) > 1:
            log.error("llm.key_refused", url=base_url, fix="Set GROQ_API_KEY to a valid key; calls use the fallback.")
            return model
        raise StartFailed(f"{base_url} refuses GROQ_API_KEY", "Set GROQ_API_KEY to a valid key.") from error
    except (
        HTTPException,
        OSError,
        ValueError,
    ) as error:  # ValueError: not a list, or an invalid key
        log.warning("llm.not_checked", url=base_url, used=model, error=str(error) or type(error).__name__)
        return model
    if model in known:
        return model
    if fallback not in known:
        raise StartFailed(
            f"{base_url} has no LLM_MODEL={model}, and no LLM_FALLBACK_MODEL={fallback}",
            "Set LLM_MODEL to a model of https://console.groq.com/docs/models.",
        )
    log.warning("llm.fallback", missing=model, used=fallback)
    return fallback


def _models(base_url: str, key: str) -> set[str]:
    """The ids of the models that the account may use."""
    request = urllib.request.Request(f"{base_url}/models")
    request.add_unredirected_header("Authorization", f"Bearer {key}")  # a redirect does not get the key
    with urllib.request.urlopen(request, timeout=_ASK_S) as answer:
        return {model.id for model in _Models.model_validate_json(answer.read(_MOST_BYTES)).data}
