"""What a user can do with a running stack, as lines that can be pasted."""

import json
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from contracts.api import StartRequest
from greenroom_cli.console import say
from greenroom_cli.settings import DEFAULT_STATE, Settings


def this_command() -> str:
    """How this command was called, so that a printed command can be pasted."""
    called = Path(sys.argv[0]).absolute()
    is_on_path = shutil.which("greenroom") is not None
    return "greenroom" if is_on_path or called.name != "greenroom" else shlex.quote(str(called))


def where(state: Path, environment: Mapping[str, str]) -> str:
    """The option with which another command finds the stack in this folder; empty for the default folder."""
    is_found = state == DEFAULT_STATE and "GREENROOM_URL" not in environment
    return "" if is_found else f" --state {shlex.quote(str(state.absolute()))}"


def show_addresses(gateway_url: str, environment: Mapping[str, str]) -> None:
    """Print the addresses of the API and the console, the key if the gateway asks for one, and a first request."""
    settings = Settings.of(environment)
    say(f"  API        {gateway_url}")
    say(f"  console    {console(gateway_url)}")
    authorization = ""
    if settings.greenroom_api_keys:
        # Keys that are configured as hashes cannot be shown.
        key = settings.api_key or "KEY"
        say(f"  key        {key if settings.api_key else 'one of GREENROOM_API_KEYS, of which only hashes are set'}")
        authorization = f" -H 'authorization: Bearer {key}'"
    body = json.dumps(StartRequest(user_name="Anna").model_dump(by_alias=True, include={"user_name"}))
    path = f"{gateway_url}/orchestrator/session/start"
    say(f"  a call     curl -X POST {path}{authorization} -H 'content-type: application/json' -d '{body}'")


def show_what_next(gateway_url: str, session: str, options: str) -> None:
    """Print what to try with a stack that runs.

    Args:
        session: A session that has ended.
        options: What each command needs to find the stack, as `where` gives it.
    """
    command = this_command()
    say()
    say("What next", style="bold")
    for what, how in (
        ("this call, step by step", f"{console(gateway_url)}/sessions/{session}"),
        ("talk in the browser", f"{console(gateway_url)}/talk"),
        ("talk in the terminal", f"{command} call{options}"),
        ("what was said", f"{command} transcript {session}{options}"),
        ("its bill, with the evidence", f"{command} bill {session}{options}"),
        ("calls as they happen", f"{command} top{options}"),
        ("the API", f"{gateway_url}/docs"),
    ):
        say(f"  {what:<28} {how}")


def console(gateway_url: str) -> str:
    """The address of the web console."""
    return f"{gateway_url}/console"
