"""The model's answer to a request: the script's next reply, a call of a tool, or the talker's answer."""

import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sandbox.conversation import spoken, talker
from sandbox.groq.errors import RequestRefused
from sandbox.groq.request import Completion, Function, ToolChoice
from sandbox.script import Reply, ToolCall

_TOKEN = re.compile(r"\s*\S+")
# Verbs in the names of tools; the other words of a name are its topic.
_NOT_TOPICS = frozenset(
    {"get", "set", "the", "a", "an", "to", "do", "make", "call", "run", "tool", "function", "current", "find", "look"}
)
_TOKENS_PER_WORD = 1.3
_UNLIMITED = 65_536


@dataclass(frozen=True)
class Answer:
    """Text in tokens, then calls of tools (name and arguments as JSON); `cut` when the token limit ended it."""

    tokens: tuple[str, ...]
    calls: tuple[tuple[str, str], ...]
    cut: bool
    prompt_tokens: int
    reasoning: int = 0

    @property
    def text(self) -> str:
        return "".join(self.tokens)

    @property
    def finish_reason(self) -> str:
        if self.cut:
            return "length"
        return "tool_calls" if self.calls else "stop"

    @property
    def usage(self) -> dict[str, Any]:
        said = self.reasoning + len(self.tokens) + sum(_tokens(arguments) for _, arguments in self.calls)
        usage: dict[str, Any] = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": said,
            "total_tokens": self.prompt_tokens + said,
        }
        return usage | ({"completion_tokens_details": {"reasoning_tokens": self.reasoning}} if self.reasoning else {})

    def called(self) -> list[dict[str, Any]]:
        """The calls in the form of a message."""
        return [
            {
                "id": f"call_{uuid.uuid4().hex[:12]}",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            for name, arguments in self.calls
        ]


def reply(request: Completion, scripted: Reply | None, now: datetime, reasoning: int = 0) -> Answer:
    """Answer a request; the same request at the same time gets the same answer.

    Args:
        reasoning: Hidden tokens before the answer, if the model reasons and the script says nothing else.

    Raises:
        RequestRefused: The chosen tool is not in the list of tools.
    """
    if scripted is None:
        call = _tool_call(request)
        scripted = Reply(tool_calls=(call,)) if call else Reply(text=_said(request, now))
    thoughts = reasoning if scripted.reasoning_tokens is None else scripted.reasoning_tokens
    left = request.limit or _UNLIMITED
    thought = min(thoughts if request.thinks else 0, left)
    left -= thought
    tokens = tuple(_TOKEN.findall(scripted.text))
    kept = tokens[:left]
    left -= len(kept)
    calls: list[tuple[str, str]] = []
    for call in scripted.tool_calls:
        arguments = json.dumps(call.arguments)
        if left > 0:
            calls.append((call.name, arguments if _tokens(arguments) <= left else arguments[: 4 * max(0, left - 4)]))
        left -= _tokens(arguments)
    return Answer(kept, tuple(calls), left < 0 or len(kept) < len(tokens), prompt_tokens(request), thought)


def prompt_tokens(request: Completion) -> int:
    """An estimate: 1.3 tokens a word or a character of Chinese, Japanese or Korean, and some for each message."""
    return round(sum(_words(line.text) + 4 for line in request.conversation) * _TOKENS_PER_WORD)


def _words(text: str) -> int:
    return len(text.split()) + sum(character >= "\u2e80" for character in text)


def _tokens(arguments: str) -> int:
    return len(arguments) // 4 + 4


def _said(request: Completion, now: datetime) -> str:
    last = request.messages[-1]
    if last.role in ("tool", "function"):
        return f"Here is what I found: {talker.plain(last.text)}."
    return talker.answer(request.conversation, now)


def _tool_call(request: Completion) -> ToolCall | None:
    """The call that the request demands: by name, by "required", or since the user mentions the tool's topic."""
    functions = [tool.function for tool in request.tools or ()]
    last = request.messages[-1]
    if isinstance(request.tool_choice, ToolChoice):
        name = request.tool_choice.function.name
        chosen = next((function for function in functions if function.name == name), None)
        if chosen is None:
            raise RequestRefused(400, f"tool_choice names `{name}`, which is not among the tools", "tool_use_failed")
        return _called(chosen, last.text)
    if not functions or request.tool_choice == "none" or last.role != "user":
        return None
    words = talker.plain(last.text).lower().split()
    spoken_of = next((function for function in functions if _topics(function) & set(words)), None)
    if spoken_of is None and request.tool_choice == "required":
        spoken_of = functions[0]
    return _called(spoken_of, last.text) if spoken_of else None


def _topics(function: Function) -> set[str]:
    parts = re.findall(r"[a-z]+", re.sub(r"([A-Z])", r"_\1", function.name).lower())
    return set(parts) - _NOT_TOPICS


def _called(function: Function, said: str) -> ToolCall:
    """A call with every required argument filled in from the user's words."""
    properties: dict[str, Any] = function.parameters.get("properties") or {}
    required: Sequence[str] = function.parameters.get("required") or []
    words = talker.plain(said).lower().split()
    return ToolCall(
        name=function.name,
        arguments={name: _argument(properties.get(name) or {}, words) for name in required},
    )


def _argument(schema: dict[str, Any], words: list[str]) -> Any:
    if choices := schema.get("enum"):
        return next((choice for choice in choices if str(choice).lower() in words), choices[0])
    match schema.get("type"):
        case "integer" | "number":
            return spoken.number_in(words) or 0
        case "boolean":
            return "no" not in words
        case "array":
            return []
        case "object":
            return {}
        case _:
            return " ".join(words)
