"""Pipecat's summariser of old turns, and what it leaves in the context."""

# pyright: standard

from collections.abc import Sequence
from typing import Any, Final

from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregatorParams
from pipecat.utils.context.llm_context_summarization import LLMAutoContextSummarizationConfig, LLMContextSummaryConfig

from agent_runner.agent_config import AgentConfig
from agent_runner.domain.context_budget import SUMMARY
from agent_runner.domain.talk import NO_SUMMARY, Summary

_KEPT_MESSAGES: Final = 8
_TOKENS: Final = 400
_LIMIT_S: Final = 30.0


def parameters(config: AgentConfig, llm: Any) -> LLMAssistantAggregatorParams:
    """How Pipecat summarises, beside the conversation, what `LanguageModel` finds too long."""
    if not config.llm_context_tokens:
        return LLMAssistantAggregatorParams()
    summary = LLMContextSummaryConfig(
        target_context_tokens=_TOKENS + config.llm_reasoning_tokens,
        min_messages_after_summary=_KEPT_MESSAGES,
        summary_message_template=SUMMARY + "{summary}",
        # Named, the model is asked apart from the pipeline, where a failed summary would count as a failed answer.
        llm=llm,
        summarization_timeout=_LIMIT_S,
    )
    # Pipecat's own trigger counts four characters a token in every script: several times too few in Chinese.
    return LLMAssistantAggregatorParams(
        enable_auto_context_summarization=False,
        auto_context_summarization_config=LLMAutoContextSummarizationConfig(
            max_context_tokens=config.llm_context_tokens, max_unsummarized_messages=None, summary_config=summary
        ),
    )


def found_in(messages: Sequence[Any]) -> Summary:
    """The summary at the start of a context, and how many turns follow it."""
    text = str(messages[0].get("content", "")) if messages and isinstance(messages[0], dict) else ""
    if not text.startswith(SUMMARY):
        return NO_SUMMARY
    # One more than the context holds: the next turn may report the summary. A turn may stand in both.
    turns = 1 + sum(isinstance(message, dict) and message["role"] == "user" for message in messages[1:])
    return Summary(text.removeprefix(SUMMARY), turns)
