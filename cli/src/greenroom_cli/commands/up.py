"""`greenroom up`: the whole stack on this machine, until Ctrl-C."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from chassis.redaction import without_identity
from greenroom_cli import env_file, env_names, local_stack
from greenroom_cli.commands.options import STATE, State
from greenroom_cli.commands.welcome import show_addresses, this_command, where
from greenroom_cli.console import StackLines, say, warn
from greenroom_cli.errors import CommandError
from greenroom_cli.runner import Stopped, run
from greenroom_cli.settings import DEFAULT_STATE, user_environment
from greenroom_cli.stack import Part, Stack, StackOptions, running_stack
from greenroom_cli.stack.ports import read_port
from greenroom_cli.stack.private_file import write_private
from greenroom_cli.stack.providers import NAMES, missing_keys, sandbox_address


def up(
    state: State = STATE,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The gateway's port; also PORT.")] = None,
    server_port: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PORT", help="Port of nats, redis, livekit, postgres or sandbox.")
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, max=16, help="Number of agent-runners.")] = 1,
    postgres: Annotated[bool, typer.Option("--postgres", help="Use PostgreSQL instead of SQLite.")] = False,
    json_file: Annotated[
        Path | None, typer.Option(help="Write addresses and keys of the running stack here, as JSON.")
    ] = None,
) -> None:
    """Start everything on this machine, and stop it all on Ctrl-C.

    NATS, Redis, LiveKit and the four services, on loopback; a server that the environment or .env names (NATS_URL,
    REDIS_URL, LIVEKIT_URL, DATABASE_URL) is used instead. The sandbox replaces each provider without a key.
    """
    ports = _server_ports(server_port or [])
    if port is not None:
        ports[Part.GATEWAY] = port
    environment = user_environment()
    wanted = local_stack.Wanted(nodes=nodes, postgres=postgres, ports=ports)
    options = local_stack.options(environment, wanted)
    written = Path(".env")
    for finding in [*env_file.differences(written), *env_names.misspelt(written)]:
        warn(str(finding))
    if json_file:
        _require_place(json_file)
    up = asyncio.Event()
    try:
        run(_up(state or DEFAULT_STATE, options, environment, json_file, up))
    except Stopped:
        say("Everything has stopped.")
        if not up.is_set():
            raise


async def _up(
    state: Path, options: StackOptions, environment: Mapping[str, str], json_file: Path | None, up: asyncio.Event
) -> None:
    began = time.monotonic()
    say(f"Starting Greenroom in {state}")
    async with running_stack(state, options, StackLines()) as stack:
        with _published(stack, json_file):
            up.set()
            _welcome(stack, state, environment, time.monotonic() - began)
            try:
                await stack.supervisor.supervise()
            finally:
                say("Stopping")


def _require_place(json_file: Path) -> None:
    """Refuse an unwritable --json-file before anything starts."""
    folder = json_file.absolute().parent
    if not folder.is_dir():
        raise CommandError(f"--json-file {json_file}: no folder {folder}", "make it, or name another file")
    if json_file.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise CommandError(f"--json-file {json_file} cannot be written", "name another file")


@contextlib.contextmanager
def _published(stack: Stack, json_file: Path | None) -> Generator[None]:
    if json_file is None:
        yield
        return
    try:
        write_private(json_file, json.dumps(dict(stack.environment), indent=2))
    except OSError as error:
        raise CommandError(f"--json-file {json_file}: {error.strerror}", "name another file") from None
    try:
        yield
    finally:
        json_file.unlink(missing_ok=True)


def _welcome(stack: Stack, state: Path, environment: Mapping[str, str], seconds: float) -> None:
    say(f"Greenroom is up ({seconds:.1f} s)", style="bold green")
    show_addresses(stack.gateway_url, {**environment, **stack.environment})
    for name in ("LIVEKIT_URL", "NATS_URL", "REDIS_URL"):
        url = stack.environment.get(name)
        shown = without_identity(url or environment[name])
        say(f"  {name.removesuffix('_URL'):<10} {shown}{'' if url else ' (yours)'}")
    if "REDIS_READER_URL" in stack.environment:
        say("             for your own programs: REDIS_READER_URL in run.json of the state folder")
    absent = [NAMES[key] for key in missing_keys(environment)]
    if absent:
        address = sandbox_address(stack.environment)
        say(f"  sandbox    {address} in place of {', '.join(absent)}: no keys for them in the environment or .env")
        say(f"             what its model says next, calls of tools, faults: {address}/control (sandbox/README.md)")
    say(f"  logs       {stack.folder.logs}")
    if problem := local_stack.unreachable_livekit({**stack.environment, **environment}):
        warn(problem)
    options = where(state, environment)
    say(f"Place a call with: {this_command()} demo{options or ' (from this folder)'}")
    say("Ctrl-C stops everything.")


def _server_ports(written: list[str]) -> dict[str, int]:
    ports: dict[str, int] = {}
    known = [part.value for part in Part if part not in (Part.GATEWAY, Part.AGENT_RUNNER)]
    for entry in written:
        name, _, number = entry.partition("=")
        port = read_port(number)
        if name not in known or port is None:
            raise CommandError(f"--server-port {entry} is invalid", f"write NAME=PORT, NAME one of {', '.join(known)}")
        ports[name] = port
    return ports
