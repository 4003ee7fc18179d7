"""`greenroom end`: ends a session."""

from datetime import UTC, datetime, timedelta

from contracts.api import EndReply
from greenroom_cli.commands.asking import ask
from greenroom_cli.commands.finding import since
from greenroom_cli.commands.options import STATE, AsJson, Session, State, Url
from greenroom_cli.console import say, say_json, warn
from greenroom_cli.gateway import Gateway

_CLOCKS_S = 1.5  # a Date in whole seconds shows the gateway's clock to half a second; a node's may differ, too


def end(session: Session, url: Url = None, state: State = STATE, as_json: AsJson = False) -> None:
    """End a session. One that has ended stays as it ended, and is shown with the time and the reason; exit code 0."""

    async def ended(gateway: Gateway) -> tuple[EndReply, datetime, datetime]:
        asked = datetime.now(UTC)
        reply = await gateway.end(session)
        ahead = timedelta(seconds=gateway.clock_ahead_s or 0)
        return reply, asked - ahead, datetime.now(UTC) - ahead

    reply, asked, now = ask(ended, url, state, as_json=as_json)
    if as_json:
        say_json(reply.model_dump(mode="json", by_alias=True))
        return
    say(described(reply, asked, now))
    for error in reply.details.errors:
        warn(error)


def described(reply: EndReply, asked: datetime, now: datetime) -> str:
    """When and how the session ended, and what its bill has.

    Args:
        asked: When the request was sent, by the gateway's clock; a session that ended before had ended by itself.
        now: By the gateway's clock.
    """
    details = reply.details
    minutes = f"{details.duration_seconds} s, {details.duration_minutes} minute(s)"
    if details.ended_at is None:  # a gateway of an earlier version
        return f"{reply.message}; to be billed: {minutes}"
    how = f"{details.outcome}, {details.reason}"
    if details.ended_at >= asked - timedelta(seconds=_CLOCKS_S):
        return f"Session {details.session_id} ended: {how}; to be billed: {minutes}"
    when = f"{details.ended_at:%Y-%m-%d %H:%M:%S} UTC, {since(details.ended_at, now)} ago"
    return f"Session {details.session_id} had already ended ({when}): {how}; bill: {minutes}"
