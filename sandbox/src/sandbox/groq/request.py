"""The body of a chat completion: its allowed fields, and the conversation in it."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sandbox.conversation.talker import Line
from sandbox.groq.errors import RequestRefused
from sandbox.groq.tool_schema import fault_of

MOST_MESSAGES = 2_000
REASONING_MODELS = ("openai/gpt-oss", "qwen/qwen3")
_EFFORTS = {"openai/gpt-oss": ("low", "medium", "high"), "qwen/qwen3": ("none", "default")}


class _Open(BaseModel):
    """A part whose other fields are accepted and ignored."""

    model_config = ConfigDict(extra="allow", frozen=True)


class TextPart(_Open):
    type: str
    text: str = ""


class Message(_Open):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return " ".join(part.text for part in self.content if part.type == "text")
        return self.content or ""


class Function(_Open):
    name: str = Field(min_length=1, max_length=64)
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)


class Tool(_Open):
    type: Literal["function"]
    function: Function


class Named(_Open):
    name: str


class ToolChoice(_Open):
    type: Literal["function"]
    function: Named


class StreamOptions(_Open):
    include_usage: bool = False


class Completion(BaseModel):
    """A request; a field that Groq does not have is refused, as by Groq."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(min_length=1)
    messages: Annotated[list[Message], Field(min_length=1, max_length=MOST_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    n: Literal[1] | None = None
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    tools: list[Tool] | None = Field(default=None, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    user: str | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: Literal["none", "default", "low", "medium", "high"] | None = None
    reasoning_format: Literal["hidden", "raw", "parsed"] | None = None
    include_reasoning: bool | None = None
    service_tier: Literal["auto", "on_demand", "flex", "performance"] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None

    @property
    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def thinks(self) -> bool:
        """Whether the model reasons before it answers."""
        return self.model.startswith(REASONING_MODELS)

    @property
    def includes_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def conversation(self) -> Sequence[Line]:
        roles = {"developer": "system", "function": "tool"}
        return [Line(roles.get(message.role, message.role), message.text) for message in self.messages]


def completion(body: Any) -> Completion:
    """Parse a request.

    Raises:
        RequestRefused: It is malformed; with Groq's text, if it is known.
    """
    if not isinstance(body, dict):
        raise RequestRefused(400, "request body must be a JSON object")
    try:
        found = Completion.model_validate(body)
    except ValidationError as error:
        raise RequestRefused(400, _worded(error)) from None
    for n, tool in enumerate(found.tools or ()):
        if fault := fault_of(tool.function.parameters):
            place = f"tool {tool.function.name}, tools[{n}].function.parameters"
            raise RequestRefused(400, f"invalid JSON schema for {place}: {fault}", param=place)
    if found.reasoning_effort is not None:
        known = next((efforts for name, efforts in _EFFORTS.items() if found.model.startswith(name)), None)
        if known is None:
            raise RequestRefused(400, "`reasoning_effort` is not supported with this model")
        if found.reasoning_effort not in known:
            raise RequestRefused(
                400, f"`reasoning_effort` must be one of {', '.join(f'`{effort}`' for effort in known)}"
            )
    return found


def _worded(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    match first["type"]:
        case "missing":
            return f"'{place}' : property '{place}' is missing"
        case "extra_forbidden":
            return f"property '{place}' is unsupported"
        case _:
            return f"'{place}' : {first['msg']}"
