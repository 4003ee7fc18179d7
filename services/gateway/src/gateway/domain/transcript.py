"""A session's transcript, from its log: as data and as text for a person."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from contracts.events import Event, SessionErased, SessionRequested, ToolCalled, TurnFinished
from contracts.transcript import Transcript, TranscriptTool, TranscriptTurn
from contracts.words import without_words

_Place: TypeAlias = tuple[int, int]
"""(epoch, n) of a turn."""

_MS: Final = timedelta(milliseconds=1)


def transcript(events: Iterable[Event]) -> Transcript | None:
    """The session's transcript; None while its request is unknown.

    A tool's call stands with its turn. An agent that crashed in a turn leaves the call without the turn's words.

    Args:
        events: The session's log, in any order and with repetitions.
    """
    log = [*events]
    requested = next((event for event in log if isinstance(event, SessionRequested)), None)
    if requested is None:
        return None
    erased = any(isinstance(event, SessionErased) for event in log)
    if erased:
        log = [without_words(event) for event in log]  # a session from before words were sealed has them still
    turns = {(event.epoch, event.n): event for event in log if isinstance(event, TurnFinished)}
    calls = _calls(log)
    places = sorted(turns.keys() | calls.keys())
    return Transcript(
        session_id=requested.session_id,
        language=requested.language,
        erased=erased,
        unreadable=not erased and any(getattr(event, "sealed", "") for event in log),
        turns=tuple(_turn(place, turns.get(place), calls.get(place, {}), requested.time) for place in places),
    )


def as_text(said: Transcript) -> str:
    """The transcript for a person: one line for each speaker, with the time since the request."""
    lines = [f"Session {said.session_id}" + (f", language {said.language}" if said.language else ""), ""]
    if said.erased:
        lines.append("The words of this session were erased.")
    elif not said.turns:
        lines.append("Nothing was said.")
    else:
        if said.unreadable:
            lines += ["Words are missing: no key opens them.", ""]
        lines += _lines(said.turns)
    return "\n".join(lines) + "\n"


def _calls(log: Iterable[Event]) -> dict[_Place, dict[int, ToolCalled]]:
    """Turn -> number of the call -> the call's newest event."""
    found: dict[_Place, dict[int, ToolCalled]] = {}
    for event in log:
        if isinstance(event, ToolCalled):
            of_turn = found.setdefault((event.epoch, event.turn), {})
            if event.outcome or event.n not in of_turn:
                of_turn[event.n] = event
    return found


def _turn(place: _Place, turn: TurnFinished | None, calls: Mapping[int, ToolCalled], began: datetime) -> TranscriptTurn:
    epoch, n = place
    at = turn.time if turn is not None else max(call.time for call in calls.values())
    return TranscriptTurn(
        n=n,
        epoch=epoch,
        at=at,
        offset_ms=max(0, (at - began) // _MS),
        user=(turn.user_text or None) if turn is not None else None,
        agent=(turn.heard_text or None) if turn is not None else None,
        interrupted=turn is None or turn.interrupted,
        is_opening=n == 0,
        tools=tuple(
            TranscriptTool(name=calls[nth].name, outcome=calls[nth].outcome or "unknown") for nth in sorted(calls)
        ),
    )


def _lines(turns: Iterable[TranscriptTurn]) -> Iterator[str]:
    epoch: int | None = None
    for turn in turns:
        clock = _clock(turn.offset_ms)
        if epoch is not None and turn.epoch != epoch:
            yield _line(clock, "", "(another agent took over)")
        epoch = turn.epoch
        if turn.user:
            yield _line(clock, "caller", turn.user)
        for tool in turn.tools:
            yield _line(clock, "tool", f"{tool.name}: {tool.outcome}")
        if turn.agent or turn.interrupted:
            yield _line(clock, "agent", f"{turn.agent or ''}{' [interrupted]' if turn.interrupted else ''}")


def _line(clock: str, who: str, words: str) -> str:
    """One line: line breaks in the words become spaces, so that no word can look like another speaker's line."""
    return f"{clock:>8}  {who:<6}  {' '.join(words.split())}".rstrip()


def _clock(offset_ms: int) -> str:
    minutes, seconds = divmod(offset_ms // 1000, 60)
    return f"{minutes:02}:{seconds:02}"
