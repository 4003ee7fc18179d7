"""`greenroom nodes`: each node's workers."""

from pathlib import Path

from contracts.api import StatsReply

from greenroom_cli.commands import options
from greenroom_cli.commands.options import STATE, AsJson, State, Url
from greenroom_cli.console import say, say_json, table
from greenroom_cli.gateway import Gateway
from greenroom_cli.runner import run


def nodes(url: Url = None, state: State = STATE, as_json: AsJson = False) -> None:
    """Show the nodes: warm, busy and free workers, load."""
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


async def fetch_stats(url: str | None, state: Path) -> StatsReply:
    settings = options.settings(state, url)
    async with Gateway(settings.greenroom_url, settings.api_key) as gateway:
        return await gateway.stats()
