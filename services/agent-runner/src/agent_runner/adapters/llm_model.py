"""Which language model this node uses: the configured one, or its fallback when the provider has it no more.

Groq retires models: an unknown one answers each turn with 404, which makes an agent mute. So the node asks once, when
it starts: for the list, in one request of plain HTTP, since Groq's SDK would cost the supervisor 4 MB for good.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import aiohttp
from chassis.errors import StartFailed
from pydantic import BaseModel, ValidationError

from agent_runner.agent_config import AgentConfig
from chassis import logs

_ASK_S: Final = 4.0

log = logs.get_logger(__name__)


class _Model(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_Model]


async def choose_model(config: AgentConfig) -> str:
    """Ask the provider, once.

    A provider that cannot be reached or is unwell decides nothing: the configured model is used, with a warning.

    Raises:
        StartFailed: The key is refused and there is no other, or neither model exists.
    """
    base_url, model, fallback = config.groq_base_url.rstrip("/"), config.llm_model, config.llm_fallback_model
    try:
        known = await _models(base_url, config.groq_api_key.get_secret_value())
    except aiohttp.ClientResponseError as error:
        if error.status != HTTPStatus.UNAUTHORIZED:
            log.warning("llm.not_checked", url=base_url, used=model, error=f"{error.status} {error.message}")
            return model
        if len(config.llm_endpoints) > 1:
            log.error("llm.key_refused", url=base_url, fix="Set GROQ_API_KEY to a valid key; calls use the fallback.")
            return model
        raise StartFailed(f"{base_url} refuses GROQ_API_KEY", "Set GROQ_API_KEY to a valid key.") from error
    except (aiohttp.ClientError, OSError, ValidationError) as error:
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


async def _models(base_url: str, key: str) -> set[str]:
    """The ids of the models that the account may use."""
    headers, timeout = {"Authorization": f"Bearer {key}"}, aiohttp.ClientTimeout(total=_ASK_S)
    async with (
        aiohttp.ClientSession(headers=headers, timeout=timeout, raise_for_status=True, trust_env=True) as http,
        http.get(f"{base_url}/models") as answer,
    ):
        return {model.id for model in _Models.model_validate_json(await answer.read()).data}
