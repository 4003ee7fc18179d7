"""`greenroom end`: ends a session."""

from pathlib import Path
from typing import Annotated

import typer

from contracts.api import EndReply
from greenroom_cli.commands import options
from greenroom_cli.commands.options import STATE, AsJson, State, Url
from greenroom_cli.console import say, say_json, warn
from greenroom_cli.gateway import Gateway
from greenroom_cli.runner import run


def end(
    session: Annotated[str, typer.Argument(help="The session's id.")],
    url: Url = None,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """End a session. A session that has ended stays as it ended."""
    reply = run(_end(options.as_typed("SESSION", session), url, state))
    if as_json:
        say_json(reply.model_dump(mode="json", by_alias=True))
        return
    say(
        f"{reply.message}; to be billed: {reply.details.duration_seconds} s, {reply.details.duration_minutes} minute(s)"
    )
    for error in reply.details.errors:
        warn(error)


async def _end(session: str, url: str | None, state: Path | None) -> EndReply:
    settings = options.settings(state, url)
    async with Gateway(settings.greenroom_url, settings.api_key) as gateway:
        return await gateway.end(session)
