"""`greenroom sessions`: lists, shows and counts sessions."""

from pathlib import Path
from typing import Annotated

import typer

from contracts.api import SessionList, SessionView
from greenroom_cli.commands import options
from greenroom_cli.commands.nodes import fetch_stats
from greenroom_cli.commands.options import STATE, AsJson, State, Url
from greenroom_cli.console import say, say_json, table
from greenroom_cli.gateway import Gateway
from greenroom_cli.runner import run

app = typer.Typer(help="List sessions, show one, or count them.", invoke_without_command=True)


@app.callback()
def default(context: typer.Context, url: Url = None, state: State = STATE, as_json: AsJson = False) -> None:
    """List sessions, show one, or count them. Without a word: list."""
    if context.invoked_subcommand is None:
        list_sessions(url, state, as_json=as_json)


@app.command("list")
def list_sessions(
    url: Url = None,
    state: State = STATE,
    limit: Annotated[int, typer.Option(min=1, max=100, help="The most sessions to list.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List sessions, the newest first."""
    found = run(_list(url, state, limit))
    if as_json:
        say_json(found.model_dump(mode="json", by_alias=True))
    elif not found.items:
        say("No sessions. Start one with: greenroom demo, or greenroom call")
    else:
        table(
            ("session", "status", "user", "created", "seconds", "minutes", "outcome"),
            (
                (
                    *(item.session_id, item.status, item.user_name, f"{item.created_at:%Y-%m-%d %H:%M:%S}"),
                    *(item.conversation_duration, item.conversation_duration_minutes, item.outcome),
                )
                for item in found.items
            ),
        )


@app.command()
def show(
    session: Annotated[str, typer.Argument(help="The session's id.")],
    url: Url = None,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Show one session."""
    view = run(_fetch(options.as_typed("SESSION", session), url, state))
    content = view.model_dump(mode="json", by_alias=True, exclude_none=not as_json)
    if as_json:
        say_json(content)
    else:
        for name, value in content.items():
            say(f"{name:<28} {value}")


@app.command()
def stats(url: Url = None, state: State = STATE, as_json: AsJson = False) -> None:
    """Count sessions, nodes and processes, and check the gateway's dependencies."""
    found = run(fetch_stats(url, state))
    if as_json:
        say_json(found.model_dump(mode="json", by_alias=True))
        return
    say(f"{found.active} active, {found.starting} starting, {found.queued} queued, of {found.max_bots} at most")
    say(f"{found.nodes} node(s), {found.processes} process(es)")
    for name, dependency in (("redis", found.redis), ("nats", found.nats), ("livekit", found.livekit)):
        say(f"{name:<8} {'ok' if dependency.ok else f'FAILED: {dependency.detail}'}")


async def _list(url: str | None, state: Path | None, limit: int) -> SessionList:
    settings = options.settings(state, url)
    async with Gateway(settings.greenroom_url, settings.api_key) as gateway:
        return await gateway.sessions(limit)


async def _fetch(session: str, url: str | None, state: Path | None) -> SessionView:
    settings = options.settings(state, url)
    async with Gateway(settings.greenroom_url, settings.api_key) as gateway:
        return await gateway.session(session)
