"""`greenroom up`: the whole stack on this machine, until Ctrl-C."""

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from greenroom_cli import local_stack
from greenroom_cli.commands.options import STATE, State
from greenroom_cli.console import StackLines, say
from greenroom_cli.errors import CommandError
from greenroom_cli.runner import Stopped, run
from greenroom_cli.settings import user_environment
from greenroom_cli.stack import Part, Stack, StackOptions, running_stack
from greenroom_cli.stack.private_file import write_private
from greenroom_cli.stack.providers import missing_keys


def up(
    state: State = STATE,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The gateway's port; also PORT.")] = None,
    server_port: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PORT", help="Port of nats, redis, livekit, postgres or sandbox.")
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, max=16, help="How many agent-runners.")] = 1,
    postgres: Annotated[bool, typer.Option("--postgres", help="PostgreSQL in place of SQLite.")] = False,
    json_file: Annotated[
        Path | None, typer.Option(help="Write addresses and keys of the running stack here, as JSON.")
    ] = None,
) -> None:
    """Start everything on this machine, and stop it all on Ctrl-C.

    NATS, Redis, LiveKit and the four services, on loopback; a server that the environment or .env names (NATS_URL,
    REDIS_URL, LIVEKIT_URL, DATABASE_URL) is used instead. The sandbox stands in for each provider without a key.
    """
    ports = _server_ports(server_port or [])
    if port is not None:
        ports[Part.GATEWAY] = port
    environment = user_environment()
    wanted = local_stack.Wanted(nodes=nodes, postgres=postgres, ports=ports)
    options = local_stack.options(environment, wanted)
    try:
        run(_up(state, options, environment, json_file))
    except Stopped:
        say("Everything is stopped.")
    finally:
        if json_file:
            json_file.unlink(missing_ok=True)


async def _up(state: Path, options: StackOptions, environment: Mapping[str, str], json_file: Path | None) -> None:
    began = time.monotonic()
    say(f"Starting Greenroom in {state}")
    async with running_stack(state, options, StackLines()) as stack:
        if json_file:
            write_private(json_file, json.dumps(dict(stack.environment), indent=2))
        _welcome(stack, environment, time.monotonic() - began)
        try:
            await stack.supervisor.supervise()
        finally:
            say("Stopping")


def _welcome(stack: Stack, environment: Mapping[str, str], seconds: float) -> None:
    say(f"Greenroom is up ({seconds:.1f} s)", style="bold green")
    say(f"  API        {stack.gateway_url}")
    for name in ("LIVEKIT_URL", "NATS_URL", "REDIS_URL"):
        url = stack.environment.get(name)
        shown = without_password(url or environment[name])
        say(f"  {name.removesuffix('_URL'):<10} {shown}{'' if url else ' (yours)'}")
    absent = [name.partition("_")[0].capitalize() for name in missing_keys(environment)]
    if absent:
        say(f"  sandbox    in place of {', '.join(absent)}: no keys for them in the environment or .env")
    say(f"  logs       {stack.folder.logs}")
    say("Place a call with: greenroom demo. Ctrl-C stops everything.")


def without_password(urls: str) -> str:
    """One address, or several with commas between, as the terminal may show them."""
    return re.sub(r"(?<=//)[^@/,\s]*@", "", urls)


def _server_ports(written: list[str]) -> dict[str, int]:
    ports: dict[str, int] = {}
    known = [part.value for part in Part if part not in (Part.GATEWAY, Part.AGENT_RUNNER)]
    for entry in written:
        name, _, number = entry.partition("=")
        if name not in known or not number.isdigit() or not 0 < int(number) < 65536:
            raise CommandError(
                f"--server-port {entry} cannot be taken", f"write NAME=PORT, NAME one of {', '.join(known)}"
            )
        ports[name] = int(number)
    return ports
