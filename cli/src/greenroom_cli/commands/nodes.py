"""`greenroom nodes`: shows and drains nodes."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from contracts.api import PoolStats
from greenroom_cli.commands import options
from greenroom_cli.commands.asking import ask, show_answer
from greenroom_cli.commands.finding import since
from greenroom_cli.commands.options import STATE, AsJson, State, Url
from greenroom_cli.console import say, say_json, table

app = typer.Typer(help="Show the nodes, or drain one.", invoke_without_command=True)


@app.callback()
def default(context: typer.Context, url: Url = None, state: State = STATE, as_json: AsJson = False) -> None:
    """Show the nodes: warm, busy and free workers, load. Or drain one."""
    if context.invoked_subcommand is not None:
        return
    stats = ask(lambda gateway: gateway.stats(), url, state, as_json=as_json)
    if as_json:
        say_json([pool.model_dump(mode="json", by_alias=True) for pool in stats.pool])
        return
    if not stats.pool:
        say("No node is alive, or it is starting again: read the logs of the agent-runners")
        return
    now = datetime.now(UTC)
    table(
        ("node", "warm", "busy", "free", "slots", "load", "processes", "draining"),
        (
            (
                *(pool.node_id, pool.warm, pool.busy, pool.free, pool.slots),
                *(f"{pool.load:.2f}", pool.processes, _draining(pool, now)),
            )
            for pool in stats.pool
        ),
    )


def _draining(pool: PoolStats, now: datetime) -> str:
    if not pool.draining:
        return "no"
    return f"yes, for {since(pool.drain_since, now)}" if pool.drain_since else "yes"


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
    node = options.as_id("NODE", node)
    show_answer(
        lambda gateway: gateway.drain(node, limit_s),
        url,
        state,
        lambda started: say(f"{node} takes nothing new and ends after its {started.jobs} call(s)"),
        as_json=as_json,
    )
