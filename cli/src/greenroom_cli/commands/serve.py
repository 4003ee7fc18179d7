"""`greenroom serve`: the four services and NATS as one container, for callers elsewhere."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from chassis import logs
from chassis.tasks import first_of
from greenroom_cli import deployment, local_stack
from greenroom_cli.commands.options import STATE, State
from greenroom_cli.runner import Stopped, run
from greenroom_cli.settings import DEFAULT_STATE, user_environment
from greenroom_cli.stack import Part, ProcessFailed, Stack, StackOptions, StackProcess, running_stack
from greenroom_cli.stack.progress import Progress
from greenroom_cli.stack.services import drain_limit_s

AT_ONCE_S = 5.0

log = logs.get_logger(__name__)


class _LoggedProgress(Progress):
    """A stack's progress as log lines."""

    def starting(self, name: str) -> None:
        log.info("part.starting", part=name)

    def waiting(self, name: str, seconds: float, missing: str) -> None:
        log.info("part.waited_for", part=name, seconds=round(seconds, 1), missing=missing)

    def ready(self, name: str, seconds: float) -> None:
        log.info("part.started", part=name, seconds=round(seconds, 1))

    def died(self, failure: ProcessFailed) -> None:
        if failure.ended:
            log.info("part.stopped_on_request", part=failure.name)
        else:
            log.error("part.died", part=failure.name, reason=failure.problem)

    def restarting(self, name: str, delay_s: float) -> None:
        log.warning("part.restarting", part=name, delay_s=delay_s)

    def unwell(self, name: str, reason: str) -> None:
        log.warning("part.unwell", part=name, reason=reason)

    def stopped(self, name: str, seconds: float) -> None:
        log.info("part.stopped", part=name, seconds=round(seconds, 1))


def serve(
    state: State = STATE,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The gateway's port; also PORT.")] = None,
    restored: Annotated[
        bool, typer.Option(help="The state folder is a copy, and the deployment that it comes from is stopped.")
    ] = False,
) -> None:
    """Serve callers elsewhere: the four services and NATS in this container, until SIGTERM.

    Needs GREENROOM_API_KEYS, REDIS_URL, LIVEKIT_URL with its LIVEKIT_API_KEY and LIVEKIT_API_SECRET, and the providers'
    keys. The folder of --state (a volume) has NATS' streams and, without DATABASE_URL, the bills. Logs go to stdout.
    SIGTERM lets calls go on for DRAIN_LIMIT_S at most; a second one hands them over at once. A part that dies starts
    again, also while calls drain; one that keeps dying ends the command with exit code 1.
    """
    environment = user_environment()
    options = replace(deployment.options(environment, port), restored=restored)
    nodes: list[StackProcess] = []

    def hand_over() -> None:
        for node in nodes:
            if node.is_running:
                node.signal(signal.SIGTERM)

    with contextlib.redirect_stderr(sys.stdout):
        try:
            run(_serve(state or DEFAULT_STATE, options, nodes), on_repeated_signal=hand_over)
        except Stopped as stopped:
            log.info("serve.stopped", signal=stopped.signal.name)


async def _serve(state: Path, options: StackOptions, nodes: list[StackProcess]) -> None:
    environment = options.environment
    logs.configure(
        "greenroom", format=environment.get("LOG_FORMAT", "json"), level=environment.get("LOG_LEVEL", "INFO")
    )
    async with running_stack(state, options, _LoggedProgress(), echo=sys.stdout.buffer) as stack:
        log.info("serve.started", port=options.ports[Part.GATEWAY], state=str(stack.folder.path))
        if problem := local_stack.unreachable_livekit({**stack.environment, **environment}):
            log.warning("serve.livekit_on_loopback", reason=problem)
        nodes += [process for name, process in stack.processes.items() if name == Part.AGENT_RUNNER]
        supervising = asyncio.create_task(stack.supervisor.supervise())
        try:
            await _until_drained(stack, supervising, nodes, environment)
        except ProcessFailed:
            for node in nodes:  # the restart takes their calls over; without this part nothing new can begin
                await node.stop(timeout_s=AT_ONCE_S)
            raise
        finally:
            supervising.cancel()
            await asyncio.gather(supervising, return_exceptions=True)


async def _until_drained(
    stack: Stack, supervising: "asyncio.Task[None]", nodes: list[StackProcess], environment: Mapping[str, str]
) -> None:
    """Wait for a signal, then until the nodes have stopped; the other parts are watched all the time.

    Raises:
        CancelledError: The nodes have stopped after a signal.
        ProcessFailed: A part died too often.
    """
    try:
        await asyncio.shield(supervising)
    except asyncio.CancelledError:
        log.info("serve.draining", limit_s=drain_limit_s(environment))
        await first_of(stack.supervisor.retire(nodes), asyncio.shield(supervising))
        raise
