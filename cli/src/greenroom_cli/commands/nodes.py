"""`greenroom nodes`: shows and drains nodes."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from contracts.api import DrainStarted, PoolStats
from greenroom_cli.commands import options
from greenroom_cli.commands.asking import ask
from greenroom_cli.commands.finding import since
from greenroom_cli.commands.options import STATE, AsJson, State, Url
from greenroom_cli.console import say, say_json, table, warn
from greenroom_cli.errors import CommandError
from greenroom_cli.gateway import Gateway

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
    """Drain a node: it takes no new calls, completes its calls until the limit, hands over the rest, and stops.

    Warns when no other node takes calls.
    """
    node = options.as_id("NODE", node)

    async def draining(gateway: Gateway) -> tuple[DrainStarted, bool]:
        started = await gateway.drain(node, limit_s)
        try:
            return started, is_last(node, (await gateway.stats()).pool)
        except CommandError:  # the node drains, whatever the others do
            return started, False

    started, last = ask(draining, url, state, as_json=as_json)
    if as_json:
        say_json(started.model_dump(mode="json", by_alias=True))
    else:
        say(described(started, limit_s, is_last=last))
    if last:
        warn("no other node takes calls: until one does, starts wait in the queue, and are rejected at their deadline")


def misplaced_drain(_words: Annotated[list[str] | None, typer.Argument(metavar="NODE")] = None) -> None:
    """`greenroom drain NODE` is `greenroom nodes drain NODE`."""
    raise CommandError("there is no command drain", "use: greenroom nodes drain NODE")


def is_last(node: str, pool: Sequence[PoolStats]) -> bool:
    """Whether no node but this one takes new calls."""
    return all(other.node_id == node or other.draining for other in pool)


def described(started: DrainStarted, limit_s: float, *, is_last: bool) -> str:
    """What a drain does to the node's calls."""
    if not started.jobs:
        return f"{started.node_id} takes no new calls, has none, and stops"
    left = "end, as no other node can take them over" if is_last else "are handed over"
    return (
        f"{started.node_id} takes no new calls and stops after its {started.jobs} call(s); calls that still run after "
        f"{limit_s:g} s {left}"
    )
