"""The conversation so far, rebuilt from the session's log for the agent that takes over."""

import json
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from agent_runner.domain.delivery import without_tags
from agent_runner.domain.speakable import speakable
from contracts.events import Event, SessionRequested, TurnFinished

Message: TypeAlias = dict[str, str]


def conversation(events: Iterable[Event]) -> tuple[Message, ...]:
    """Turn a session's log into LLM messages, oldest first: who said what, as far as the caller heard it.

    Turns count in order of (epoch, n), each once, whatever the order and repetition of the events. The opening line
    comes from `requested`, unless the first turn is the agent's own (no `user_text`): then that turn is the opening,
    with the part of it that was heard.

    Args:
        events: The session's events, in any order.
    """
    opening = ""
    turns: dict[tuple[int, int], TurnFinished] = {}
    for event in events:
        match event:
            case SessionRequested():
                opening = without_tags(speakable(event.opening_line))
            case TurnFinished():
                turns[(event.epoch, event.n)] = event
            case _:
                pass
    ordered = [turns[key] for key in sorted(turns)]
    messages: list[Message] = []
    if opening and (not ordered or ordered[0].user_text):
        messages.append({"role": "assistant", "content": opening})
    for turn in ordered:
        if turn.user_text:
            messages.append({"role": "user", "content": turn.user_text})
        if turn.heard_text:
            messages.append({"role": "assistant", "content": turn.heard_text})
    return tuple(messages)


def encode_newest(messages: Sequence[Message], max_bytes: int) -> bytes:
    """Write messages as a JSON list of at most `max_bytes`, keeping the newest when not all fit."""
    kept: list[bytes] = []
    size = 2  # the brackets
    for message in reversed(messages):
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        if size + len(text) + 1 > max_bytes:
            break
        kept.append(text)
        size += len(text) + 1
    return b"[" + b",".join(reversed(kept)) + b"]"
