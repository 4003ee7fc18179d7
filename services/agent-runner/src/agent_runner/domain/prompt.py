"""The rules that the LLM gets beside the session's own system prompt."""

EMOTIONS = ("happy", "sad", "angry", "surprised", "fearful", "disgusted")
"""The only tags that the voice understands, written as [happy]."""

CRITICAL_RULES = f"""CRITICAL RULES. Everything you write is spoken aloud, word for word, in a live phone call.
- No stage directions and no descriptions of sounds, gestures or feelings.
- No actions in asterisks, such as *laughs*, and no other markup: no lists, headings, links, code or emoji.
- To colour your voice you may use these tags and no others: {" ".join(f"[{emotion}]" for emotion in EMOTIONS)}.
- Answer in one or two short sentences.
- Speak naturally, the way people talk: contractions, plain words, numbers and abbreviations as one says them."""


def system_instruction(base: str) -> str:
    """The whole system prompt: the session's own, then the rules, which take precedence."""
    return f"{base}\n\n{CRITICAL_RULES}"
