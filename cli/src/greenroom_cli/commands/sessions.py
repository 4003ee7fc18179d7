"""`greenroom sessions`: which there are, and how one stands."""

from pathlib import Path
from typing import Annotated

import typer
from contracts.api import SessionView

from greenroom_cli import read_model
from greenroom_cli.commands import options
from greenroom_cli.commands.nodes import fetch_stats
from greenroom_cli.commands.options import STATE, AsJson, State, Url
from greenroom_cli.console import say, say_json, table
from greenroom_cli.gateway import Gateway
from greenroom_cli.runner import run

app = typer.Typer(help="List sessions, show one, or count them.", invoke_without_command=True)

FIELDS = ("status", "userName", "createdAt", "conversationDuration", "conversationDurationMinutes")


@app.callback()
def default(context: typer.Context, state: State = STATE, as_json: AsJson = False) -> None:
    """List sessions, show one, or count them. Without a word: list."""
    if context.invoked_subcommand is None:
        list_sessions(state=state, as_json=as_json)


@app.command("list")
def list_sessions(
    state: State = STATE,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, the newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List sessions, the newest first, from the read model in Redis (REDIS_URL)."""
    found = run(read_model.list_sessions(options.settings(state, None).redis_url, limit))
    if as_json:
        say_json(found)
    elif not found:
        say("No sessions. Start one with: greenroom demo, or greenroom call")
    else:
        table(("session", *FIELDS), ([row["sessionId"], *(row.get(name) for name in FIELDS)] for row in found))


@app.command()
def show(
    session: Annotated[str, typer.Argument(help="The session's id.")],
    url: Url = None,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Show one session."""
    view = run(_fetch(session, url, state))
    content = view.model_dump(mode="json", by_alias=True, exclude_none=not as_json)
    if as_json:
        say_json(content)
    else:
        for name, value in content.items():
            say(f"{name:<28} {value}")


@app.command()
def stats(url: Url = None, state: State = STATE, as_json: AsJson = False) -> None:
    """Count sessions, nodes and processes, and say whether what the gateway needs answers."""
    found = run(fetch_stats(url, state))
    if as_json:
        say_json(found.model_dump(mode="json", by_alias=True))
        return
    say(f"{found.active} active, {found.starting} starting, {found.queued} queued, of {found.max_bots} at most")
    say(f"{found.nodes} node(s), {found.processes} process(es)")
    for name, dependency in (("redis", found.redis), ("nats", found.nats), ("livekit", found.livekit)):
        say(f"{name:<8} {'ok' if dependency.ok else f'FAILED: {dependency.detail}'}")


async def _fetch(session: str, url: str | None, state: Path) -> SessionView:
    settings = options.settings(state, url)
    async with Gateway(settings.greenroom_url, settings.greenroom_api_key) as gateway:
        return await gateway.session(session)
