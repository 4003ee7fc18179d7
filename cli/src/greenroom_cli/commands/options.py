"""Options that several commands share."""

import os
from pathlib import Path
from typing import Annotated

import typer
from contracts.api import StartRequest
from pydantic import ValidationError

from greenroom_cli.errors import CommandError
from greenroom_cli.settings import DEFAULT_STATE, Settings, command_environment, user_environment

State = Annotated[
    Path | None,
    typer.Option("--state", help="The state folder of the local stack.", show_default=str(DEFAULT_STATE)),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="The gateway; default: the stack running in the folder of --state, else GREENROOM_URL, else the stack "
        "running in .greenroom.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

STATE = None  # so that a --state that was given is told from the default folder

# The options that become fields of a start, under the names that users know them by.
_OPTIONS = {
    "user_name": "--user",
    "voice_id": "--voice",
    "opening_line": "--opening-line",
    "system_prompt": "--system-prompt",
}


def start_request(**fields: str | None) -> StartRequest:
    """The start that a command's options describe.

    Raises:
        CommandError: Names the option that cannot be taken.
    """
    given = {name: None if value is None else as_typed(_OPTIONS[name], value) for name, value in fields.items()}
    try:
        return StartRequest.model_validate(given, by_name=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = _OPTIONS[str(first["loc"][-1])]
        raise CommandError(f"{option} {first['input']!r} cannot be taken: {first['msg']}", "correct it") from None


def as_typed(name: str, value: str) -> str:
    """The words of an argument, which is UTF-8 also where the locale says ASCII.

    Raises:
        CommandError: Names the argument that is not UTF-8.
    """
    try:
        return os.fsencode(value).decode()
    except UnicodeDecodeError:
        raise CommandError(f"{name} is not UTF-8", "write it in UTF-8") from None


def settings(state: Path | None, url: str | None) -> Settings:
    """The settings of a command.

    The gateway is that of --url, else of the stack in the folder of --state, else of GREENROOM_URL, else of the stack
    in the default folder. Of that stack nothing is taken when GREENROOM_URL names another gateway.
    """
    environment = command_environment(state or DEFAULT_STATE)
    if url is None:
        own = user_environment()
        if state is None and own.get("GREENROOM_URL", "").rstrip("/") not in ("", environment.get("GREENROOM_URL")):
            environment = own
        return Settings.of(environment)
    try:
        Settings.of({"GREENROOM_URL": url})
    except CommandError as error:
        raise CommandError(error.problem.replace("GREENROOM_URL", "--url"), error.fix) from None
    return Settings.of({**environment, "GREENROOM_URL": url})
