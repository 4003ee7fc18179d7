"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from greenroom_cli.settings import DEFAULT_STATE, Settings, command_environment

State = Annotated[Path, typer.Option("--state", help="The state folder of the local stack.", show_default=True)]
Url = Annotated[
    str | None,
    typer.Option("--url", help="The gateway; default: GREENROOM_URL, else the stack running in the state folder."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

STATE = DEFAULT_STATE


def settings(state: Path, url: str | None) -> Settings:
    """The settings of a command: option, then running stack, then environment and .env."""
    environment = command_environment(state)
    return Settings.of({**environment, "GREENROOM_URL": url} if url else environment)
