"""Options of several commands."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from chassis.errors import validation_text
from contracts.api import StartRequest
from greenroom_cli.errors import CommandError
from greenroom_cli.settings import DEFAULT_STATE, Settings, command_environment, user_environment
from greenroom_cli.stack.state import StateFolder

State = Annotated[
    Path | None,
    typer.Option("--state", help="The state folder of the local stack.", show_default=str(DEFAULT_STATE)),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="The gateway; default: the stack that runs in the folder of --state, then GREENROOM_URL, then the stack "
        "in .greenroom.",
    ),
]


def as_typed(name: str, value: str) -> str:
    """Decode an argument as UTF-8, also in an ASCII locale.

    Raises:
        CommandError: Names the argument that is not UTF-8.
    """
    try:
        return os.fsencode(value).decode()
    except UnicodeDecodeError:
        raise CommandError(f"{name} is not UTF-8", "write it in UTF-8") from None


def as_id(name: str, value: str) -> str:
    """Decode an id, which becomes one part of a path.

    Raises:
        CommandError: Names the argument that no path can carry, or that is not UTF-8.
    """
    typed = as_typed(name, value)
    if not typed or "/" in typed or typed in (".", ".."):
        raise CommandError(f"{name} {typed!r} is not an id", "name one, without a slash")
    return typed


def _session_id(value: str) -> str:
    return as_id("SESSION", value)


Session = Annotated[str, typer.Argument(help="The session's id.", callback=_session_id)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

STATE = None  # None tells the default folder from a given --state

# The options that become fields of a start.
_OPTIONS = {
    "user_name": "--user",
    "voice_id": "--voice",
    "opening_line": "--opening-line",
    "system_prompt": "--system-prompt",
    "language": "--language",
}


def start_request(**fields: str | None) -> StartRequest:
    """Build the request of a start from a command's options.

    Raises:
        CommandError: Names the invalid option.
    """
    given = {name: None if value is None else as_typed(_OPTIONS[name], value) for name, value in fields.items()}
    try:
        return StartRequest.model_validate(given, by_name=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = _OPTIONS[str(first["loc"][-1])]
        raise CommandError(f"{option} {first['input']!r} is invalid: {validation_text(first)}", "correct it") from None


def settings(state: Path | None, url: str | None) -> Settings:
    """The settings of a command.

    The gateway is that of --url, otherwise of the stack in the folder of --state, which must run, otherwise of
    GREENROOM_URL, otherwise of the stack in the default folder. If GREENROOM_URL names another gateway, nothing else of
    that stack is used.
    """
    environment = command_environment(state or DEFAULT_STATE)
    if url is None and state is not None and StateFolder(state).running() is None:
        raise CommandError(
            f"no stack runs in {state}, the folder of --state", "name the right folder, or leave --state out"
        )
    if url is None:
        own = user_environment()
        if state is None and "GREENROOM_URL" in own and _gateway_url(own) != _gateway_url(environment):
            environment = own
        return Settings.of(environment)
    try:
        Settings.of({"GREENROOM_URL": url})
    except CommandError as error:
        raise CommandError(error.problem.replace("GREENROOM_URL", "--url"), error.fix) from None
    return Settings.of({**environment, "GREENROOM_URL": url})


def again(state: Path | None, url: str | None) -> str:
    """The options, quoted for a shell, with which another command finds the gateway of this one."""
    if url is not None:
        return f" --url {shlex.quote(url)}"
    return "" if state is None else f" --state {shlex.quote(str(state.absolute()))}"


def _gateway_url(environment: Mapping[str, str]) -> str:
    return Settings.of({"GREENROOM_URL": environment["GREENROOM_URL"]}).greenroom_url.rstrip("/")
