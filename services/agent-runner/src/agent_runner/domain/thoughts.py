"""A model's thoughts in a text that is not spoken, such as a summary."""

from agent_runner.domain.hidden_text import THINK, THOUGHT


def without_thoughts(text: str) -> str:
    """The text behind the thoughts; empty when the token limit cut them.

    The opening tag may be missing: the templates of some models write it into the prompt.
    """
    ends = [closed.end() for closed in THOUGHT.finditer(text)]
    behind = text[ends[-1] :] if ends else text
    unended = THINK.search(behind)
    return (behind[: unended.start()] if unended else behind).strip()
