"""Whether the recogniser's words are the agent's own voice, which came back from the caller's loudspeaker. Pure."""

from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Final, Literal, Self, TypeAlias

from agent_runner.domain.caller_words import units_of
from agent_runner.domain.spacing import is_unspaced

_REMEMBERED_S: Final = 8.0  # the words of a sentence come back as one text
_ALIKE: Final = 0.6  # share of the words; a loudspeaker costs the recogniser some of them
_CERTAIN: Final = 4  # words in a row that a caller hardly says by chance; of Chinese and Japanese 6 characters
_CHARACTER: Final = 2 / 3  # of a word
_REPEATS_S: Final = 0.5  # from the start of the agent's word until a caller can repeat it; an echo is sooner
_RINGS_S: Final = 1.0  # from the start of the agent's last word until its echo ends

Judgement: TypeAlias = Literal["echo", "early", "open", "words"]


@dataclass(frozen=True, slots=True)
class Echo:
    """What the agent said last, and whether its voice has come back in this call.

    Attributes:
        said: The agent's last words, each with the time at which it was heard.
        is_known: An echo was recognised before: of a sound that began while the agent spoke, a transcript of mostly
            the agent's words is one, too.
    """

    said: tuple[tuple[str, float], ...] = ()
    is_known: bool = False

    def heard(self, text: str, now: float) -> Self:
        """The caller heard these words of the agent's."""
        recent = tuple(one for one in self.said if now - one[1] < _REMEMBERED_S)
        return replace(self, said=(*recent, *((part, now) for part in units_of(text))))

    def forgotten(self) -> Self:
        """What the agent has said so far no longer comes back."""
        return replace(self, said=())

    def rings(self, at: float) -> bool:
        """Whether a sound that begins at this time may be the end of what the agent said."""
        return bool(self.said) and at < self.said[-1][1] + _RINGS_S

    def judge(self, text: str, now: float, *, is_final: bool, is_agents: bool, early: float | None = None) -> Judgement:
        """Whether a transcript is an echo; `open`: a partial one that may still become one.

        A caller often answers in the agent's words. So a first echo is recognised only by several words in a row, of a
        sound that began while the agent spoke. `early` is an echo of fewer words, which proves nothing for later
        ones: words of the agent alone, in a sound that began sooner than a caller could have repeated them.

        Args:
            is_agents: The agent speaks, or the sound began while it spoke.
            early: When the sound began, if that was in the first moments of the agent's first speech.
        """
        words = units_of(text)
        recent = [one for one in self.said if now - one[1] < _REMEMBERED_S]
        said = [word for word, _at in recent]
        if not words or not said or not (is_agents or self.is_known):
            return "words"
        blocks = SequenceMatcher(None, words, said, autojunk=False).get_matching_blocks()
        if sum(block.size for block in blocks) < _ALIKE * len(words):
            return "words"
        longest = max(blocks, key=lambda block: block.size)
        if (self.is_known and is_agents) or _is_certain(words[longest.a : longest.a + longest.size]):
            return "echo"
        if not is_agents:
            return "words"
        if not is_final:
            return "open"
        is_whole = longest.size == len(words)
        is_early = early is not None and is_whole and early < recent[longest.b + longest.size - 1][1] + _REPEATS_S
        return "early" if is_early else "words"

    def recognised(self) -> Self:
        return self if self.is_known else replace(self, is_known=True)


def _is_certain(parts: list[str]) -> bool:
    return round(sum(_CHARACTER if is_unspaced(part) else 1 for part in parts), 3) >= _CERTAIN
