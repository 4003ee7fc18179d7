"""The conversation so far, rebuilt from the session's log for the agent that takes over."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from agent_runner.domain.call_events import Past
from agent_runner.domain.context_budget import SUMMARY
from agent_runner.domain.delivery import without_tags
from agent_runner.domain.speakable import speakable
from agent_runner.domain.tool_calls import unanswered
from agent_runner.link.messages import ToolCall
from contracts.events import Event, SessionRequested, ToolCalled, TurnFinished

Message: TypeAlias = dict[str, str]


def past(events: Iterable[Event], max_bytes: int) -> Past:
    """What a successor is told.

    Args:
        events: The session's events, in the order of the log.
        max_bytes: Of the messages as JSON.
    """
    log = [*events]
    turns, calls = _turns(log), _calls(log)
    questions = sum(bool(turn.user_text) for turn in turns.values())
    return Past(
        encode_newest(conversation(log), max_bytes),
        _is_asked(log, turns, calls),
        questions,
        unanswered(map(_told, calls)),
    )


def conversation(events: Iterable[Event]) -> tuple[Message, ...]:
    """Turn a session's log into LLM messages, oldest first: who said what, as far as the caller heard it.

    Turns count in order of (epoch, n), each once, whatever the order and repetition of the events. The opening line
    comes from `requested`, unless the first turn is the agent's own (no `user_text`): then that turn is the opening,
    with the part of it that was heard. The calls of tools stand between question and answer, in words. A summary stands
    for the turns that the agent before had summarised.

    Args:
        events: The session's events, in any order.
    """
    log = [*events]
    opening = next(
        (without_tags(speakable(event.opening_line)) for event in log if isinstance(event, SessionRequested)), ""
    )
    turns, calls = _turns(log), _calls(log)
    first = min(turns, default=None)
    messages: list[Message] = []
    summary, begin = _summary(turns)
    if summary:
        messages.append({"role": "user", "content": SUMMARY + summary})
    elif opening and (first is None or turns[first].user_text):
        messages.append({"role": "assistant", "content": opening})
    places = turns.keys() | {(call.epoch, call.turn) for call in calls}
    for place in sorted(place for place in places if place >= begin):
        turn = turns.get(place)
        if turn and turn.user_text:
            messages.append({"role": "user", "content": turn.user_text})
        messages += [
            {"role": "developer", "content": _in_words(call)} for call in calls if (call.epoch, call.turn) == place
        ]
        if turn and turn.heard_text:
            messages.append({"role": "assistant", "content": turn.heard_text})
    return tuple(messages)


def _turns(log: Iterable[Event]) -> dict[tuple[int, int], TurnFinished]:
    return {(event.epoch, event.n): event for event in log if isinstance(event, TurnFinished)}


def _calls(log: Iterable[Event]) -> list[ToolCalled]:
    """The newest event of each call, in order of the calls."""
    found: dict[tuple[int, int], ToolCalled] = {}
    for event in log:
        if isinstance(event, ToolCalled) and (event.outcome or (event.epoch, event.n) not in found):
            found[(event.epoch, event.n)] = event
    return [found[key] for key in sorted(found)]


def _is_asked(log: Sequence[Event], turns: Mapping[tuple[int, int], TurnFinished], calls: Sequence[ToolCalled]) -> bool:
    """Whether the caller's last question has no answer, whatever the agent has said by itself since.

    An answer that the epoch's end cut short counts as given, unless a tool was called for it: then it may have been
    no more than "one moment". An answer that failed is followed by a line that says so. A successor's answer is its
    turn 1, without a question; before is its bridge line, and behind are lines, which may come before the answer.
    What was said while a tool ran ("Let me look that up.", or to a "hello?") is not the answer from its result.
    """
    called = {(call.epoch, call.turn) for call in calls}
    places = sorted(turns.keys() | called)
    asked = [place for place in places if place in called or turns[place].user_text]
    if not asked:
        return False
    question = asked[-1]
    after = [place for place in places if place > question]
    if any(epoch > question[0] and n == 1 for epoch, n in after):
        return False
    turn = turns.get(question)
    if turn is None or any(not call.outcome for call in calls if call.epoch == question[0]):
        return True
    if _has_untold_result(log, question[0]):
        return True
    if not turn.interrupted and any(epoch == question[0] for epoch, _ in after):
        return False
    return not turn.heard_text or (question in called and turn.interrupted)


def _has_untold_result(log: Iterable[Event], epoch: int) -> bool:
    """Whether a tool has ended and the agent has said nothing since."""
    has_ended = False
    for event in log:
        if isinstance(event, ToolCalled) and event.epoch == epoch and event.outcome:
            has_ended = True
        elif isinstance(event, TurnFinished) and event.epoch == epoch and event.heard_text:
            has_ended = False
    return has_ended


def _told(call: ToolCalled) -> ToolCall:
    return ToolCall(
        n=call.n, turn=call.turn, name=call.name, key=call.key, arguments=call.arguments, outcome=call.outcome
    )


def _in_words(call: ToolCalled) -> str:
    said = f"The tool {call.name} was called with {call.arguments}."
    if call.outcome == "done":
        return f"{said} It answered: {call.answer}\nThis is done: do not call it again for the same request."
    if call.outcome == "failed":
        return f"{said} It failed: {call.answer}"
    return (
        f"{said} No answer came, so it may have taken effect. To learn its answer, call it again with exactly these "
        "arguments: its server recognises the repetition."
    )


def _summary(turns: Mapping[tuple[int, int], TurnFinished]) -> tuple[str, tuple[int, int]]:
    """The newest summary, and the place of the first turn that it leaves out."""
    told = max((place for place, turn in turns.items() if turn.summary), default=None)
    if told is None:
        return "", (0, 0)
    asked = [place for place in sorted(turns) if place <= told and turns[place].user_text]
    keeps = turns[told].summary_keeps
    return turns[told].summary, asked[-keeps] if 0 < keeps <= len(asked) else (0, 0)


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
