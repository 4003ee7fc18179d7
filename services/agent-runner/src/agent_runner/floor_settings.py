"""The settings of what the caller's sound and words do: among the agent's parameters."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings

from agent_runner.domain.caller_words import Backchannels, words_of
from agent_runner.domain.floor import Rules
from contracts.languages import Language


def _with_a_word(phrase: str) -> str:
    if not words_of(phrase):
        raise ValueError("a phrase needs a word")
    return phrase


Phrase = Annotated[str, AfterValidator(_with_a_word)]


class FloorSettings(BaseSettings):
    """Pauses and interruptions."""

    noise_suppression: bool = Field(
        default=False,
        description="true takes steady noise (a fan, a car) out of the caller's audio before VAD and recogniser; "
        "costs 10 ms and 0.2 CPU seconds a minute and call, and may blur quiet words",
    )
    bot_interruption_timeout: float = Field(
        default=0.2,
        ge=0,
        le=30,
        description="seconds of the caller's sound until the agent pauses, not less than VAD_START_SECS; longer lets "
        "short sounds pass, and lets the agent talk on for as long",
    )
    interrupt_min_words: int = Field(
        default=1,
        ge=1,
        le=10,
        description="words beyond backchannels that interrupt the agent; more lets short remarks pass, and ignores "
        '"stop" and "no"',
    )
    backchannels: dict[Language, tuple[Phrase, ...]] = Field(
        default_factory=dict,
        description='a JSON object of language and phrases that never interrupt, such as {"en": ["uh-huh", "okay"]}; '
        "a language that is not in it has its own built-in phrases, one with an empty list has none",
    )
    resume_after_s: float = Field(
        default=0.8,
        gt=0,
        le=5,
        description="seconds from the end of a sound without words until the paused agent goes on; shorter than the "
        "recogniser takes cuts words off",
    )
    echo_guard_s: float = Field(
        default=1.0,
        ge=0,
        le=30,
        description="seconds of the agent's first speech in which a sound does not pause it, until the caller's echo "
        "canceller has adapted; words still interrupt, unless they are the agent's own, sooner than a caller could "
        "repeat them",
    )
    first_line_interruptible: bool = Field(
        default=True,
        description="false: the caller cannot interrupt the opening or bridge line; what is said or typed meanwhile is "
        "answered after it",
    )
    dictation_wait_s: float = Field(
        default=1.5,
        ge=0,
        le=10,
        description="seconds of silence that end a turn amid dictated digits, letters or an e-mail address: more cuts "
        "fewer numbers, and answers a finished one later; 0: no wait",
    )

    def floor_rules(self, language: str = "en") -> Rules:
        """When the caller's sound and words stop the agent."""
        return Rules(
            pause_after_s=self.bot_interruption_timeout,
            resume_after_s=self.resume_after_s,
            min_words=self.interrupt_min_words,
            echo_guard_s=self.echo_guard_s,
            backchannels=Backchannels.of(language, self.backchannels),
        )
