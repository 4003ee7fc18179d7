"""`greenroom end`: ends a session."""

from contracts.api import EndReply
from greenroom_cli.commands.asking import show_answer
from greenroom_cli.commands.options import STATE, AsJson, Session, State, Url
from greenroom_cli.console import say, warn


def end(session: Session, url: Url = None, state: State = STATE, as_json: AsJson = False) -> None:
    """End a session. A session that has ended stays as it ended."""
    show_answer(lambda gateway: gateway.end(session), url, state, _show, as_json=as_json)


def _show(reply: EndReply) -> None:
    say(
        f"{reply.message}; to be billed: {reply.details.duration_seconds} s, {reply.details.duration_minutes} minute(s)"
    )
    for error in reply.details.errors:
        warn(error)
