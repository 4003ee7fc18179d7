"""`greenroom transcript`: what was said in a session."""

from contracts.transcript import Transcript, TranscriptTurn
from greenroom_cli.commands.asking import show_answer
from greenroom_cli.commands.options import STATE, AsJson, Session, State, Url
from greenroom_cli.console import say


def transcript(session: Session, url: Url = None, state: State = STATE, as_json: AsJson = False) -> None:
    """Show what was said and heard in a session, with the minutes and seconds since the request."""
    show_answer(lambda gateway: gateway.transcript(session), url, state, _show, as_json=as_json)


def _show(found: Transcript) -> None:
    if found.erased:
        say("The words of this session were erased.")
    elif found.unreadable:
        say("Words of this session cannot be opened: NATS lost their key, or has an older copy of its bucket keys.")
    elif not found.turns:
        say("Nothing was said.")
    for turn in found.turns:
        for who, what in _lines(turn):
            at = f"{turn.offset_ms // 60_000:02}:{turn.offset_ms // 1000 % 60:02}"
            say(
                f"  {at}  {who:<6}  {' '.join(what.split())}"
            )  # on one line: words must not look like another speaker's


def _lines(turn: TranscriptTurn) -> list[tuple[str, str]]:
    lines = [("caller", turn.user)] if turn.user else []
    lines += [("tool", f"{tool.name}: {tool.outcome or 'no answer yet'}") for tool in turn.tools]
    if turn.agent or turn.interrupted:
        lines.append(("agent", f"{turn.agent or ''}{' [interrupted]' if turn.interrupted else ''}".strip()))
    return lines
