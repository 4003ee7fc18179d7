"""Which providers work, keep the agent deaf or mute, or have failed for the rest of the call. Pure."""

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from agent_runner.link.messages import Failed, Faulty, Provider, Recovered, Unanswered

MOST_FAILURES: Final = 3
"""Failed answers of the language model in a row, after which it counts as unusable."""

ProviderMessage: TypeAlias = Faulty | Recovered | Failed | Unanswered
HealthStep: TypeAlias = tuple["ProviderHealth", tuple[ProviderMessage, ...]]
Consequence: TypeAlias = Literal["go on", "apologise", "end"]


@dataclass(frozen=True, slots=True)
class ProviderHealth:
    """The state of one call's providers. Each method returns the next state, and what to report in order.

    Attributes:
        faulty: Providers that keep the agent deaf or mute.
        failed: Providers that are unusable for the rest of the call.
        failed_answers: Of the language model, in a row.
    """

    faulty: frozenset[Provider] = frozenset()
    failed: frozenset[Provider] = frozenset()
    failed_answers: int = 0

    def worked(self, provider: Provider) -> HealthStep:
        """The provider produced output."""
        healthy = replace(self, failed_answers=0) if provider == "llm" and self.failed_answers else self
        return healthy.reconnected(provider)

    def reconnected(self, provider: Provider) -> HealthStep:
        """The provider can work again."""
        if provider not in self.faulty or provider in self.failed:
            return self, ()
        return replace(self, faulty=self.faulty - {provider}), (Recovered(provider=provider),)

    def faulted(self, provider: Provider, ago_s: float = 0.0) -> HealthStep:
        """The provider has kept the agent deaf or mute for `ago_s`; that time is not billed."""
        report = Faulty(provider=provider, ago_ms=round(1000 * ago_s))
        return replace(self, faulty=self.faulty | {provider}), (report,)

    def erred(
        self,
        provider: Provider | None,
        text: str,
        *,
        is_unusable: bool,
        name: str = "",
        has_broken_off: bool = False,
        ms: int = 0,
    ) -> tuple[HealthStep, Consequence]:
        """A part of the pipeline reported an error: the call goes on without a provider's answer, or ends.

        Args:
            provider: None for a part that is not a provider.
            name: The error's, as in `Failed`.
            has_broken_off: The caller has heard a part of the answer.
            ms: From the request to the error.
        """
        health = self
        if provider == "llm":
            health = replace(self, failed_answers=self.failed_answers + 1)
            is_unusable = is_unusable or health.failed_answers >= MOST_FAILURES
        if not is_unusable and provider == "llm":
            report = Unanswered(provider=provider, ms=ms, broke_off=has_broken_off, name=name)
            return (health, (report,)), "apologise"
        if not is_unusable:
            return (health, ()), "go on"
        if provider is None:
            return (health, ()), "end"
        if provider in health.failed:
            return (health, ()), "go on"
        health, reports = replace(health, failed=health.failed | {provider}).faulted(provider)
        return (health, (*reports, Failed(provider=provider, detail=text, name=name))), "end"
