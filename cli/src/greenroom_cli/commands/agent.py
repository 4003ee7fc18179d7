"""`greenroom agent`: one agent in one room, without the rest of Greenroom."""

import os
import sys
from typing import Annotated

import typer

from greenroom_cli.commands.options import STATE, State, as_typed
from greenroom_cli.console import warn
from greenroom_cli.settings import DEFAULT_STATE, command_environment
from greenroom_cli.stack.providers import missing_keys
from greenroom_cli.stack.state import StateFolder

MODULE = "agent_runner.worker.process.direct"


def agent(
    url: Annotated[str, typer.Option(help="LiveKit's address, ws:// or wss://.")],
    token: Annotated[str, typer.Option(help="A LiveKit token that lets the agent into the room.")],
    session_id: Annotated[str, typer.Option(help="The session's id, which is the room's name.")],
    system_prompt: Annotated[str | None, typer.Option(help="The system prompt.")] = None,
    opening_line: Annotated[str | None, typer.Option(help="The agent's first words.")] = None,
    voice_id: Annotated[str | None, typer.Option(help="The agent's voice.")] = None,
    language: Annotated[str | None, typer.Option(help="The call's language, as a BCP 47 tag such as de.")] = None,
    any_caller: Annotated[
        bool, typer.Option("--any-caller", help="Listen to the first participant, instead of caller:SESSION_ID only.")
    ] = False,
    state: State = STATE,
) -> None:
    """Run one agent in a room directly, with the providers of the environment or of the running stack.

    This process becomes the agent: its output, its signals and its exit code are the agent's.
    """
    given = {"--url": url, "--token": token, "--session-id": session_id}
    chosen = {
        "--system-prompt": system_prompt,
        "--opening-line": opening_line,
        "--voice-id": voice_id,
        "--language": language,
    }
    for name, value in {**given, **chosen}.items():
        if value is not None:
            as_typed(name, value)  # the agent receives the bytes unchanged
    words = [word for name, value in {**given, **chosen}.items() if value is not None for word in (name, value)]
    if any_caller:
        words.append("--any-caller")
    folder = state or DEFAULT_STATE
    environment = command_environment(folder)
    if StateFolder(folder).running() is None and (state is not None or missing_keys(environment)):
        warn(f"greenroom: no stack runs in {folder}, so the keys are the environment's; --state names a stack's folder")
    os.execve(sys.executable, [sys.executable, "-m", MODULE, *words], environment)
