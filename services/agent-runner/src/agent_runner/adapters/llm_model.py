"""Which language model this node uses: the configured one, or its fallback when the provider has it no more.

Groq retires models: an unknown one answers each turn with 404, which makes an agent mute. So the node asks once, when
it starts, with the provider's own SDK.
"""

from __future__ import annotations

from typing import Final

import groq
from chassis.errors import StartFailed

from agent_runner.agent_config import AgentConfig
from chassis import logs

_ASK_S: Final = 4.0

log = logs.get_logger(__name__)


async def choose_model(config: AgentConfig) -> str:
    """Ask the provider, once.

    A provider that cannot be reached or is unwell decides nothing: the configured model is used, with a warning.

    Raises:
        StartFailed: The key is refused and there is no other, or neither model exists.
    """
    # The SDK adds the path itself; the pipeline's client does not.
    base_url = config.groq_base_url.rstrip("/").removesuffix("/openai/v1")
    client = groq.AsyncGroq(
        api_key=config.groq_api_key.get_secret_value(), base_url=base_url, timeout=_ASK_S, max_retries=0
    )
    model, fallback = config.llm_model, config.llm_fallback_model
    try:
        if await _exists(client, model):
            return model
        # By the list, because the SDK escapes the slash of names such as openai/gpt-oss-120b.
        if fallback not in {known.id for known in (await client.models.list()).data}:
            raise StartFailed(
                f"{base_url} has no LLM_MODEL={model}, and no LLM_FALLBACK_MODEL={fallback}",
                "Set LLM_MODEL to a model of https://console.groq.com/docs/models.",
            )
        log.warning("llm.fallback", missing=model, used=fallback)
        return fallback
    except groq.AuthenticationError as error:
        if len(config.llm_endpoints) > 1:
            log.error("llm.key_refused", url=base_url, fix="Set GROQ_API_KEY to a valid key; calls use the fallback.")
            return model
        raise StartFailed(f"{base_url} refuses GROQ_API_KEY", "Set GROQ_API_KEY to a valid key.") from error
    except groq.APIError as error:
        log.warning("llm.not_checked", url=base_url, used=model, error=str(error.__cause__ or error))
        return model
    finally:
        await client.close()


async def _exists(client: groq.AsyncGroq, model: str) -> bool:
    try:
        await client.models.retrieve(model)
    except (groq.NotFoundError, groq.PermissionDeniedError):  # gone, or not for this account
        return False
    return True
