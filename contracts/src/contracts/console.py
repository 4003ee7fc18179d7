"""`GET /v1/console`: what the web console must know about its gateway."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from contracts.api import DEFAULT_SYSTEM_PROMPT, DEFAULT_VOICE


class StartDefaults(BaseModel):
    """What a start without these fields gets."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    voice_id: str = DEFAULT_VOICE
    system_prompt: str = DEFAULT_SYSTEM_PROMPT


class ConsoleReply(BaseModel):
    """`GET /v1/console`. Without a key that has the scope `sessions`, the fields that need one are null."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    version: str = Field(description="the gateway's version")
    needs_key: bool = Field(description="API keys are configured: every other request needs one")
    scopes: list[str] = Field(description="the scopes of the request's key; without configured keys all of them")
    deployment: str | None = Field(default=None, description="the deployment's name; needs a key")
    trace_url: str | None = Field(
        default=None, description="address of a trace, with {traceId} in it (TRACE_URL); needs a key"
    )
    turn_budget_ms: int = Field(description="ms from the caller's last word to the agent's first sound")
    credits_per_minute: int | None = Field(default=None, description="the price of a begun minute; needs a key")
    defaults: StartDefaults = StartDefaults()
    voices: list[str] | None = Field(
        default=None, description="the voices, in alphabetical order; null if the list is unavailable; needs a key"
    )
