"""`greenroom watch`: the steps of a session as they happen."""

import asyncio
import json
import shlex
from typing import Annotated, Final

import typer

from contracts.api_v1 import Entry
from greenroom_cli.commands import options
from greenroom_cli.commands.asking import say_gateway
from greenroom_cli.commands.options import STATE, Session, State, Url
from greenroom_cli.commands.welcome import this_command
from greenroom_cli.console import lost_output, say, say_line, warn
from greenroom_cli.errors import CommandError
from greenroom_cli.gateway import Gateway, SessionOver, StreamLost
from greenroom_cli.runner import run

_STYLES: Final = {"warning": "yellow", "error": "red"}
_RETRIES: Final = 10
_LAST: Final = "billed"
_PAUSE_S: Final = 1.0


def watch(
    session: Session,
    url: Url = None,
    state: State = STATE,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document for each step, a line each.")
    ] = False,
) -> None:
    """Show each step of a session, from the request to the bill, as it happens; Ctrl-C stops watching.

    Without words of the conversation: those are in `greenroom transcript`.
    """
    run(_watch(session, url, state, as_json=as_json))


async def _watch(session: str, url: Url, state: State, *, as_json: bool) -> None:
    settings = options.settings(state, url)
    if not as_json:
        say_gateway(settings.greenroom_url)
    async with Gateway(settings.greenroom_url, settings.api_key) as gateway:
        look = f"{this_command()} sessions show {shlex.quote(session)}{options.again(state, url)}"
        await _follow(gateway, session, look, as_json=as_json)


async def _follow(gateway: Gateway, session: str, look: str, *, as_json: bool) -> None:
    """Show all steps up to the bill. A gateway that stops ends its streams in order: another one goes on with them."""
    last: int | None = None
    broke = 0
    while broke <= _RETRIES:
        problem = "the stream ended before the bill"
        try:
            async for entry in gateway.events(session, after=last):
                last, broke = entry.seq, 0
                _show(entry, as_json=as_json)
                if entry.kind == _LAST or lost_output():
                    return
        except SessionOver:
            return
        except StreamLost as lost:
            problem = lost.problem
        broke += 1
        warn(f"{problem}; asking again")
        await asyncio.sleep(_PAUSE_S * min(broke, 3))
    raise CommandError(f"no stream of {session} from {gateway.url}", f"ask again, or look with: {look}")


def _show(entry: Entry, *, as_json: bool) -> None:
    if as_json:
        say_line(json.dumps(entry.model_dump(mode="json", by_alias=True)))
    else:
        say(f"  {entry.offset_ms / 1000:8.2f} s  {entry.title}", style=_STYLES.get(entry.level))
