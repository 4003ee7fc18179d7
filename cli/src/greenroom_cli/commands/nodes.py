"""`greenroom nodes`: shows and drains nodes."""

from pathlib import Path
from typing import Annotated

import typer

from contracts.api import DrainStarted, StatsReply
from greenroom_cli.commands import options
from greenroom_cli.commands.options import STATE, AsJson, State, Url
from greenroom_cli.console import say, say_json, table
from greenroom_cli.gateway import Gateway
from greenroom_cli.runner import run

app = typer.Typer(help="Show the nodes, or drain one.", invoke_without_command=True)


@app.callback()
def default(context: typer.Context, url: Url = None, state: State = STATE, as_json: AsJson = False) -> None:
    """Show the nodes: warm, busy and free workers, load. Or drain one."""
    if context.invoked_subcommand is None:
        show(url, state, as_json=as_json)


def show(url: str | None, state: Path | None, *, as_json: bool) -> None:
    stats = run(fetch_stats(url, state))
    if as_json:
        say_json([pool.model_dump(mode="json", by_alias=True) for pool in stats.pool])
        return
    if not stats.pool:
        say("No node is alive. Start one with: greenroom up")
        return
    table(
        ("node", "warm", "busy", "free", "slots", "load", "processes", "draining"),
        (
            (
                *(pool.node_id, pool.warm, pool.busy, pool.free, pool.slots),
                *(f"{pool.load:.2f}", pool.processes, "yes" if pool.draining else "no"),
            )
            for pool in stats.pool
        ),
    )


@app.command()
def drain(
    node: Annotated[str, typer.Argument(help="The node's id, as `greenroom nodes` shows it.")],
    limit_s: Annotated[
        float, typer.Option(min=0.001, max=86_400, help="Seconds until its remaining calls are handed over.")
    ] = 600,
    url: Url = None,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Drain a node: it takes no new calls, completes its calls until the limit, hands over the rest, and stops."""
    node = options.as_typed("NODE", node)
    started = run(_drain(node, limit_s, url, state))
    if as_json:
        say_json(started.model_dump(mode="json", by_alias=True))
    else:
        say(f"{node} takes nothing new and ends after its {started.jobs} call(s)")


async def _drain(node: str, limit_s: float, url: str | None, state: Path | None) -> DrainStarted:
    settings = options.settings(state, url)
    async with Gateway(settings.greenroom_url, settings.api_key) as gateway:
        return await gateway.drain(node, limit_s)


async def fetch_stats(url: str | None, state: Path | None) -> StatsReply:
    settings = options.settings(state, url)
    async with Gateway(settings.greenroom_url, settings.api_key) as gateway:
        return await gateway.stats()
