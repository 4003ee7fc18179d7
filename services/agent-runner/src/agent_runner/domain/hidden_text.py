"""What of a language model's text is not meant for the caller: thoughts, and calls of tools written as text. Pure.

A server that knows its model's template parses both; another one sends them among the words.
"""

import re
from typing import Final

_THOUGHTS: Final = r"think(?:ing)?|thoughts?|reasoning|reflection|seed:think"
THINK: Final = re.compile(rf"<({_THOUGHTS})>|\[(THINK)\]", re.IGNORECASE | re.ASCII)
THOUGHT: Final = re.compile(rf"</(?:{_THOUGHTS})>|\[/THINK\]", re.IGNORECASE | re.ASCII)
LONGEST_CLOSE: Final = len("</seed:think>")

_TO_THE_END: Final = r"(?!)"
# An opening tag, and what ends its content; "{}" is the opening tag's first group.
_PAIRS: Final = (
    (rf"<({_THOUGHTS})>", r"</{}>"),
    (r"\[THINK\]", r"\[/THINK\]"),
    # Qwen, Hermes; with a namespace MiniMax and Step; Gemini's code
    (r"<((?:\w+:)?(?:tool_calls?|function_calls?|tool_code|tool_response))(?:\s[^<>]*)?>", r"</{}>"),
    (r"<function(?:[=(]|\s+name=)", r"</?function/?>"),  # Llama, Qwen-Coder; Llama omits the first ">" at times
    (r"<invoke\s+name=", r"</invoke>"),
    (r"<\|python_tag\|>", r"<\|eo[mt]_id\|>"),  # Llama
    (r"\[TOOL_CALLS\]", _TO_THE_END),  # Mistral
    (r"<\|(tool_calls?)\|>", r"<\|/{}\|>"),  # Phi
    (r"<[|｜](tool[_▁]calls?(?:[_▁]section)?)[_▁]begin[|｜]>", r"<[|｜]{}[_▁]end[|｜]>"),  # DeepSeek, Kimi
    (r"<start_function_call>", r"<end_function_call>"),  # Gemma
    (r"<\|START_ACTION\|>", r"<\|END_ACTION\|>"),  # Command
    # gpt-oss: each message has a header with its channel, and only that of the last one is "final"
    (r"<\|start\|>", r"(?=<\|channel\|>)|<\|message\|>"),
    (r"(?=<\|channel\|>)", r"<\|channel\|>\s*final[^<]*<\|message\|>|<\|(?:end|call|return)\|>"),
)
_OPENED: Final = tuple((re.compile(opened, re.IGNORECASE | re.ASCII), closed) for opened, closed in _PAIRS)


def hidden(text: str, *, is_end: bool) -> int | None:
    """How many characters from the start on are hidden; 0: more text is needed to tell; None: none.

    Args:
        is_end: Nothing follows: what has not ended by then is hidden, too.
    """
    for opened, closed in _OPENED:
        if (found := opened.match(text)) is None:
            continue
        name = re.escape(found[1]) if opened.groups else ""
        end = re.compile(closed.replace("{}", name), re.IGNORECASE | re.ASCII).search(text, found.end())
        if end is not None:
            return end.end()
        return len(text) if is_end else 0
    return None
