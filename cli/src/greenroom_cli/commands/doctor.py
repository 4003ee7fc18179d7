"""`greenroom doctor`: checks everything, and gives the fix of each problem."""

import asyncio
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import typer

from chassis import logs
from greenroom_cli.commands.options import STATE, AsJson, State
from greenroom_cli.console import say, say_json
from greenroom_cli.doctor.check import Check, Verdict, worst
from greenroom_cli.doctor.clocks import Clocks, check_clocks
from greenroom_cli.doctor.language_model import check_language_model
from greenroom_cli.doctor.machine import check_machine
from greenroom_cli.doctor.providers import check_providers
from greenroom_cli.doctor.servers import check_servers
from greenroom_cli.doctor.services import check_services
from greenroom_cli.doctor.values import check_values
from greenroom_cli.runner import run
from greenroom_cli.settings import DEFAULT_STATE, Settings, command_environment, user_environment
from greenroom_cli.stack.state import StateFolder

MARKS = {
    Verdict.OK: "green",
    Verdict.NOTE: "cyan",
    Verdict.UNCHECKED: "yellow",
    Verdict.WARNING: "yellow",
    Verdict.BROKEN: "red",
}


def doctor(state: State = STATE, as_json: AsJson = False) -> None:
    """Check programs, servers, services, clocks, keys and models; exit non-zero when a required one is broken.

    Checks the servers in the environment and .env, and the stack that runs in the state folder; lists what it did not
    check. Warnings leave the exit code at 0.
    """
    # The report already contains what the services' runtime and the SDKs would log.
    logs.configure("doctor", level="CRITICAL")
    warnings.simplefilter("ignore")
    checks = run(examine(state or DEFAULT_STATE))
    verdict = worst(checks)
    if as_json:
        say_json({"verdict": verdict, "checks": [asdict(check) for check in checks]})
    else:
        _show(checks)
    if verdict is Verdict.BROKEN:
        raise typer.Exit(1)


async def examine(state: Path) -> list[Check]:
    environment = command_environment(state)
    settings = Settings.of(environment)
    is_running = StateFolder(state).running() is not None
    machine = check_machine(environment, state, stack_is_running=is_running)
    values = check_values(user_environment())
    clocks: Clocks = {}
    servers, services, providers, models = await asyncio.gather(
        check_servers(settings, environment, clocks),
        check_services(settings, environment, clocks, stack_is_running=is_running),
        check_providers(settings),
        check_language_model(environment),
    )
    return [*machine, *values, *servers, *services, *check_clocks(clocks), *providers, *models]


def _show(checks: list[Check]) -> None:
    group = ""
    for check in checks:
        if check.group != group:
            group = check.group
            say(group, style="bold")
        say(f"  {check.verdict:<9} {check.name:<18} {check.detail}", style=MARKS[check.verdict])
        if check.fix:
            say(f"            {'':<18} fix: {check.fix}")
    for line in closing(checks):
        say(line, style="bold")


def closing(checks: Sequence[Check]) -> list[str]:
    """The summary: what is broken or may become so, and what was not checked."""

    def names(verdict: Verdict) -> str:
        return ", ".join(dict.fromkeys(check.name for check in checks if check.verdict is verdict))

    broken, unchecked = names(Verdict.BROKEN), names(Verdict.UNCHECKED)
    warnings = sum(check.verdict is Verdict.WARNING for check in checks)
    but = f", with {warnings} warning{'s' * (warnings > 1)}: {names(Verdict.WARNING)}" if warnings else ""
    lines = [f"Broken: {broken}." if broken else f"Everything that was checked works{but}."]
    return [*lines, f"Not checked: {unchecked}."] if unchecked else lines
