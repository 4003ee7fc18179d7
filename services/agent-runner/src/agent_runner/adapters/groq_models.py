"""Which language model a node uses: the configured one, or the fallback when Groq no longer has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import groq

from agent_runner.agent_config import AgentConfig

_TIMEOUT_S: Final = 5.0
_RETRIES: Final = 1


class GroqKeyRefused(Exception):
    """Groq does not accept GROQ_API_KEY."""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The model to use, and why, as a sentence for the log."""

    model: str
    reason: str
    is_fallback: bool = False

    def applied_to(self, config: AgentConfig) -> AgentConfig:
        """The configuration with this model."""
        return config.model_copy(update={"llm_model": self.model})


def resolve_llm_model(config: AgentConfig) -> ModelChoice:
    """Ask Groq for its list of models; decided once per node. Blocks, 10 s at most: call it in a thread.

    A Groq that cannot be asked leaves the configured model: a model that is gone is also noticed in the call.

    Raises:
        GroqKeyRefused: With this key no call can work.
    """
    client = groq.Groq(
        api_key=config.groq_api_key.get_secret_value(),
        base_url=config.groq_base_url.rstrip("/").removesuffix("/openai/v1"),
        timeout=_TIMEOUT_S,
        max_retries=_RETRIES,
    )
    try:
        names = {model.id for model in client.models.list().data}
    except groq.AuthenticationError as error:
        raise GroqKeyRefused(
            f"Groq refused the key (HTTP {error.status_code}): set GROQ_API_KEY to a valid one"
        ) from None
    except groq.GroqError as error:
        return ModelChoice(config.llm_model, f"the list of models could not be had ({type(error).__name__})")
    finally:
        client.close()
    if config.llm_model in names:
        return ModelChoice(config.llm_model, "Groq has it")
    if config.llm_fallback_model in names:
        return ModelChoice(config.llm_fallback_model, f"Groq has no {config.llm_model} (any more)", is_fallback=True)
    return ModelChoice(config.llm_model, f"Groq lists neither it nor {config.llm_fallback_model}")
