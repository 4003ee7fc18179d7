"""Groq through Pipecat's service, with a limit on every wait and with failover to other models and endpoints."""

# pyright: standard

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final, Self

from loguru import logger
from openai import (
    NOT_GIVEN,
    AsyncOpenAI,
    AsyncStream,
    DefaultAsyncHttpxClient,
    Timeout,
)
from openai.types.chat import ChatCompletionChunk
from opentelemetry import trace
from pipecat.frames.frames import (
    Frame,
    LLMContextSummaryRequestFrame,
    LLMFullResponseEndFrame,
    LLMSummarizeContextFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.groq.llm import GroqLLMService
from pipecat.utils.http import connection_limits

from agent_runner.agent_config import AgentConfig
from agent_runner.domain.answer import Answer
from agent_runner.domain.context_budget import shrunk, smaller, tokens, within
from agent_runner.domain.speakable import Speakable
from agent_runner.domain.thoughts import without_thoughts
from agent_runner.domain.tool_rounds import Rounds
from agent_runner.endpoints import is_at_openai
from agent_runner.worker.providers import tls
from agent_runner.worker.providers.answering import Answering
from agent_runner.worker.providers.error_name import named
from agent_runner.worker.providers.known_results import KnownResults
from agent_runner.worker.providers.llm_errors import fault_of, is_too_large, pause_s
from agent_runner.worker.providers.open_thoughts import FIELDS, OpenThoughts
from agent_runner.worker.providers.spoken_text import CUT
from agent_runner.worker.providers.ways import Way, Ways

_CONNECT_S: Final = 3.0
_CONNECTIONS: Final = 4
_OVERRUN: Final = 2
_WIDENING: Final = 4  # times the token limit, when it has cut a tool call or thoughts
CANCELLED: Final = "cancelled"


class NoAnswer(Exception):
    """Every way failed, for reasons that may pass."""


class CutArguments(Exception):
    """The token limit cut the arguments of the only tool call."""


class EmptyAnswer(Exception):
    """An answer ended without a word and without a valid tool call."""


class LanguageModel(GroqLLMService):
    """Groq with failover to a second model or endpoint. The way that answered last is asked first.

    Attributes:
        on_fault: Called when a request has failed, with the seconds since the question.
        speed: The voice's speaking rate, which tells how long an answer takes.
        questions_asked: How often the context was sent to be answered.
        answer: The newest answer.
        known_results: Of the calls of tools.
        asked: The model and the endpoint of the newest request for an answer.
    """

    on_fault: Callable[[float], None]
    questions_asked = 0
    answer: Answering
    known_results: KnownResults
    asked: Way
    _config: AgentConfig
    _ways: Ways
    _dropped = 0  # messages of the context that were left out
    _thoughts: OpenThoughts
    speed = 1.0
    _rounds: Rounds

    @classmethod
    def of(cls, config: AgentConfig) -> Self:
        endpoints = config.llm_endpoints
        service = cls(
            api_key=endpoints[0].key,
            base_url=endpoints[0].url,
            settings=cls.Settings(model=config.models[0]),
        )
        service._config = config
        service.answer = Answering(Answer(config.max_answer_s))
        service.answer.attempts_ended()
        service.known_results = KnownResults()
        service._thoughts = OpenThoughts(config.llm_open_thoughts)
        service._rounds = Rounds()
        service._ways = Ways(Way(endpoint, model) for endpoint in endpoints for model in config.models)
        service._client = service._client.with_options(
            timeout=Timeout(config.llm_read_timeout_s, connect=_CONNECT_S), max_retries=0
        )
        service.asked = service._ways.first
        service._take(service.asked)
        return service

    def create_client(self, api_key: Any = None, base_url: Any = None, **_: Any) -> AsyncOpenAI:
        """Make Pipecat's client without reading the trusted authorities again."""
        http = DefaultAsyncHttpxClient(
            verify=tls.HTTP, limits=connection_limits(max_keepalive_connections=_CONNECTIONS, keepalive_expiry=None)
        )
        return AsyncOpenAI(api_key=api_key, base_url=base_url, http_client=http)

    async def connect_early(self) -> None:
        """Open a connection before the first question, with a request that is free of charge."""
        self._take(self._ways.first)
        try:
            await self._client.models.list()
        except Exception as error:  # at a page or broken JSON OpenAI's client raises more than its own
            logger.debug(f"no model list from {self._ways.first.endpoint.url}: {named(error)}")

    def build_chat_completion_params(self, params_from_context: Any) -> dict[str, Any]:
        """Leave out what is unset: Pipecat's `run_inference` would set a limit beside the one that the server knows.

        `stream_options` asks for the counts of tokens, which only traces show; strict servers refuse it.
        """
        params = super().build_chat_completion_params(params_from_context)
        endpoint = self._ways.first.endpoint
        if not (endpoint.is_groq or is_at_openai(endpoint.url)):
            params.pop("stream_options", None)
        return {name: value for name, value in params.items() if value is not NOT_GIVEN}

    async def _generate_summary(self, frame: LLMContextSummaryRequestFrame) -> tuple[str, int]:
        """Sum up old turns; the index is the last one's, of the context at the time of the summary."""
        dropped = self._dropped
        summary, last = await super()._generate_summary(frame)
        return summary, last - (self._dropped - dropped)

    async def run_inference(
        self,
        context: LLMContext,
        max_tokens: int | None = None,
        system_instruction: str | None = None,
        response_schema: dict[str, Any] | None = None,
    ) -> str | None:
        """A text such as a summary, without thoughts; with more tokens, once, if thoughts have used them up."""
        for widening in (1, _WIDENING):
            limit = max_tokens and widening * max_tokens
            text = await super().run_inference(context, limit, system_instruction, response_schema)
            if found := without_thoughts(text or ""):
                return found
        return None

    async def use_prompt(self, system_instruction: str) -> None:
        """Set the job's system prompt through Pipecat's settings, so that Pipecat keeps it when it composes its own."""
        await self._update_settings(self.Settings(system_instruction=system_instruction))

    @property
    def is_asked(self) -> bool:
        """Whether an answer is being generated."""
        return not self.answer.has_ended

    @property
    def has_called_enough(self) -> bool:
        """Whether to refuse this round's tool calls and tell the model to answer now."""
        return self._rounds.are_used_up

    def stop_calling(self) -> None:
        """Refuse the tool calls of the next rounds, until the caller speaks again."""
        self._rounds.stop()

    async def _push_llm_text(self, text: str) -> None:
        await self._push_ready(self.answer.feed(text))

    async def _push_ready(self, ready: str) -> None:
        if ready:
            await super()._push_llm_text(ready)

    async def _end_text(self) -> None:
        if not self.answer.is_cut:  # else its thoughts may be cut
            self._thoughts.learn(str(self._settings.model), self.answer.text.text)
        await self._push_ready(self.answer.end_text())

    async def get_chat_completions(self, context: LLMContext) -> Any:
        provider = "groq" if self._ways.first.endpoint.is_groq else "openai"  # whose interface the server has
        trace.get_current_span().set_attribute("gen_ai.provider.name", provider)
        return self._watched(await super().get_chat_completions(context))

    async def _watched(self, stream: AsyncStream[ChatCompletionChunk]) -> AsyncGenerator[ChatCompletionChunk]:
        """The chunks of an answer; notes why it ended, and ends its text before its tools are called."""
        answer = self.answer
        async with stream:
            async for chunk in stream:
                for choice in chunk.choices or ():
                    answer.finish = choice.finish_reason or answer.finish
                    if any(getattr(choice.delta, name, None) for name in FIELDS):
                        answer.text = answer.text.without_thoughts()
                yield chunk
        if answer.finish:
            trace.get_current_span().set_attribute("gen_ai.response.finish_reasons", [answer.finish])
        if not answer.text.repeats:
            await self._end_text()

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        if isinstance(frame, LLMFullResponseEndFrame) and self.answer.is_cut and not self.answer.text.is_at_limit:
            frame.metadata[CUT] = True
        await super().push_frame(frame, direction)

    async def run_function_calls(self, function_calls: Sequence[Any]) -> None:
        """Call the tools. A model that calls tools after it was told to answer has given an empty answer."""
        if not function_calls and self.answer.is_cut:
            raise CutArguments("the token limit cut the arguments of a tool call")
        if function_calls and not self.has_called_enough:  # Pipecat leaves out calls with invalid JSON
            self._rounds.call()
            self.answer.tool_called()
            await super().run_function_calls(function_calls)

    async def _process_context(self, context: LLMContext) -> None:
        answer = self.answer = Answering(Answer(self._config.max_answer_s, self.speed), time.monotonic())
        self.questions_asked += 1
        self._rounds.ask(context.messages)
        self.known_results.ask(context.messages)
        if budget := self._config.llm_context_tokens:  # a summary keeps the context within it; without one, cut it here
            self._dropped += _shorten(context, shrunk(context.messages, self.known_results.untold), _OVERRUN * budget)
            if tokens(context.messages) >= budget:
                await self.push_frame(LLMSummarizeContextFrame())
        try:
            async with asyncio.timeout(self._config.llm_total_timeout_s):
                await self._answer(context, answer)
        except TimeoutError:
            if not answer.has_begun:
                self.on_fault(time.monotonic() - answer.asked_at)
            raise
        except asyncio.CancelledError:
            answer.finish = CANCELLED
            raise
        finally:
            answer.attempts_ended()
            if answer.text.had_text:
                self.known_results.answered()

    async def _answer(self, context: LLMContext, answer: Answering) -> None:
        """Ask until one way answers. A partial answer is not retried: a part of it may be spoken already."""
        tried: Counter[Way] = Counter()
        widening = 1
        is_reduced, budget = False, self._config.llm_context_tokens
        while True:
            way = self.asked = self._ways.first
            self._take(way, widening)
            is_off = self._settings.reasoning_effort == "none"
            answer.attempt(Speakable(is_thinking=self._thoughts.expects(way.model, is_off=is_off)))
            self.known_results.ask(context.messages)
            try:
                await super()._process_context(context)
                await self._end_text()
                if not answer.has_begun:  # not after an interruption, which raises CancelledError
                    raise EmptyAnswer("the answer was empty")
            except CutArguments:
                if widening > 1:
                    raise
                widening = _WIDENING
            except Exception as error:
                if answer.has_begun:
                    raise
                others = [other for other in self._ways.untried(tried) if other != way]
                if (
                    is_too_large(error)
                    and not (is_reduced and others)
                    and (left_out := _reduced(context, budget)) is not None
                ):
                    self._dropped += left_out
                    is_reduced = True
                    continue
                self.on_fault(time.monotonic() - answer.asked_at)
                tried[way] += 1
                fault = fault_of(error)
                if not self._ways.strike(way, fault, tried):
                    if fault in ("refused", "model_gone") and self._ways.is_only(way):
                        raise
                    raise NoAnswer(f"{way.model} at {way.endpoint.url}: {error}") from error
                if way != self._ways.first:
                    logger.error(
                        f"{way.model} at {way.endpoint.url} failed ({named(error)}); failing over to {self._ways.first}"
                    )
                    logger.debug(f"{way.model} failed: {error}")
                else:
                    await asyncio.sleep(pause_s(error))
            else:
                return

    def _take(self, way: Way, widening: int = 1) -> None:
        self._settings.model = way.model
        is_groq = way.endpoint.is_groq
        limit = widening * self._config.token_limit_of(way.model, is_groq=is_groq)
        field = self._config.token_limit_field_of(way.model, is_groq=is_groq)
        self._settings.max_tokens = limit if field == "max_tokens" else NOT_GIVEN
        self._settings.max_completion_tokens = limit if field == "max_completion_tokens" else NOT_GIVEN
        sampling = self._config.sampling_of(way.model, is_groq=is_groq)
        self._settings.temperature = sampling.get("temperature", NOT_GIVEN)
        self._settings.top_p = sampling.get("top_p", NOT_GIVEN)
        self._settings.presence_penalty = sampling.get("presence_penalty", NOT_GIVEN)
        self._settings.frequency_penalty = sampling.get("frequency_penalty", NOT_GIVEN)
        self._settings.reasoning_effort = self._config.reasoning_effort_of(way.model, is_groq=is_groq)
        self.supports_developer_role = is_groq
        if (str(self._client.base_url).rstrip("/"), self._client.api_key) != (
            way.endpoint.url.rstrip("/"),
            way.endpoint.key,
        ):
            self._client = self._client.with_options(base_url=way.endpoint.url, api_key=way.endpoint.key)


def _shorten(context: LLMContext, messages: list[Any], most_tokens: int) -> int:
    """Give the context these messages within a budget; returns how many were left out."""
    kept = within(messages, most_tokens)
    context.set_messages(kept)
    return len(messages) - len(kept)


def _reduced(context: LLMContext, budget: int) -> int | None:
    """Make a refused context smaller. Returns how many messages were left out; None: only the newest turn is left."""
    kept = smaller(context.messages, budget)
    if kept is None:
        return None
    left_out = len(context.messages) - len(kept)
    context.set_messages(kept)
    return left_out
