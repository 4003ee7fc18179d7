"""Which providers work, keep the agent deaf or mute, or have failed for the rest of the call. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from agent_runner.domain.link import Failed, Faulty, Provider, Recovered

MOST_FAILURES: Final = 3
"""Failed answers of the language model in a row, after which it counts as unusable."""


@dataclass(frozen=True, slots=True)
class Worked:
    """The provider produced output."""

    provider: Provider


@dataclass(frozen=True, slots=True)
class Faulted:
    """The provider has kept the agent deaf or mute for `ago_s`; that time is not billed."""

    provider: Provider
    ago_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Reconnected:
    """The provider is connected again."""

    provider: Provider


@dataclass(frozen=True, slots=True)
class Erred:
    """A part of the pipeline reported an error; `provider` is None for a part that is not a provider."""

    provider: Provider | None
    text: str
    is_unusable: bool


@dataclass(frozen=True, slots=True)
class Sorry:
    """Effect: ask the caller to repeat what the language model did not answer."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Effect: end the call; `provider` is None for another part of the pipeline."""

    provider: Provider | None
    text: str


Event: TypeAlias = Worked | Faulted | Reconnected | Erred
Effect: TypeAlias = Faulty | Recovered | Failed | Sorry | Lost


@dataclass(frozen=True, slots=True)
class ProviderHealth:
    """The state of one call's providers.

    Attributes:
        faulty: Providers that keep the agent deaf or mute.
        failed: Providers that are unusable for the rest of the call.
        failed_answers: Of the language model, in a row.
    """

    faulty: frozenset[Provider] = frozenset()
    failed: frozenset[Provider] = frozenset()
    failed_answers: int = 0


def step(health: ProviderHealth, event: Event) -> tuple[ProviderHealth, tuple[Effect, ...]]:
    """Take one event; return the next state and the effects in order."""
    match event:
        case Worked(provider):
            if provider == "llm" and health.failed_answers:
                health = replace(health, failed_answers=0)
            return _recovered(health, provider)
        case Reconnected(provider):
            return _recovered(health, provider)
        case Faulted(provider, ago_s):
            faulty = Faulty(provider=provider, ago_ms=round(1000 * ago_s))
            return replace(health, faulty=health.faulty | {provider}), (faulty,)
        case Erred():
            return _erred(health, event)


def _recovered(health: ProviderHealth, provider: Provider) -> tuple[ProviderHealth, tuple[Effect, ...]]:
    if provider not in health.faulty or provider in health.failed:
        return health, ()
    return replace(health, faulty=health.faulty - {provider}), (Recovered(provider=provider),)


def _erred(health: ProviderHealth, error: Erred) -> tuple[ProviderHealth, tuple[Effect, ...]]:
    """Apologise for an error that the service survives; lose a provider that is unusable, once."""
    provider, is_unusable = error.provider, error.is_unusable
    if provider == "llm":
        health = replace(health, failed_answers=health.failed_answers + 1)
        is_unusable = is_unusable or health.failed_answers >= MOST_FAILURES
    if not is_unusable:
        return health, (Sorry(),) if provider == "llm" else ()
    if provider is None:
        return health, (Lost(None, error.text),)
    if provider in health.failed:
        return health, ()
    health, (faulty,) = step(replace(health, failed=health.failed | {provider}), Faulted(provider))
    return health, (faulty, Failed(provider=provider, detail=error.text), Lost(provider, error.text))
