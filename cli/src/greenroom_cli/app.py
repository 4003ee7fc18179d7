"""All commands, and the handling of their errors."""

import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from chassis.errors import text_of
from greenroom_cli import network
from greenroom_cli.commands import (
    agent,
    bill,
    call,
    demo,
    doctor,
    end,
    nodes,
    serve,
    sessions,
    top,
    transcript,
    up,
    watch,
)
from greenroom_cli.console import complain, say, warn
from greenroom_cli.errors import EXIT_INTERRUPTED, EXIT_OUTPUT_CLOSED, INTERRUPTED, CommandError
from greenroom_cli.runner import Stopped

app = typer.Typer(
    help="Voice AI agents in LiveKit rooms, over one REST call. Start with: greenroom up",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up")(up.up)
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("call")(call.call)
app.add_typer(sessions.app, name="sessions")
app.command("top")(top.top)
app.command("watch")(watch.watch)
app.command("transcript")(transcript.transcript)
app.command("bill")(bill.bill)
app.add_typer(nodes.app, name="nodes")
app.command("drain", hidden=True, context_settings={"ignore_unknown_options": True})(nodes.misplaced_drain)
app.command("end")(end.end)
app.command("agent")(agent.agent)
app.command("doctor")(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"greenroom {version('greenroom-cli')}")
        raise typer.Exit


@app.callback()
def greenroom(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Voice AI agents in LiveKit rooms, over one REST call. Start with: greenroom up"""


def run_app() -> int:
    """Run the command line's command and return its exit code."""
    try:
        network.prepare()
        app()
    except CommandError as error:
        complain(error)
        return 1
    except Stopped as stopped:
        if stopped.exit_code == EXIT_INTERRUPTED:
            warn(INTERRUPTED)
        return stopped.exit_code
    except BrokenPipeError:
        return EXIT_OUTPUT_CLOSED
    except OSError as error:
        complain(_os_problem(error))
        return 1
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except Exception:
        traceback.print_exc()
        return 70  # internal error, as in sysexits.h
    return 0


def _os_problem(error: OSError) -> CommandError:
    """The problem with its place in our code where the error has no text, as an expired deadline has none."""
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "greenroom_cli" in frame.filename]
    place = f" in {ours[-1].name} ({Path(ours[-1].filename).name}:{ours[-1].lineno})" if ours and not str(error) else ""
    if isinstance(error, TimeoutError):
        return CommandError(f"no answer in time: {text_of(error)}{place}", "try again, or run: greenroom doctor")
    return CommandError(f"{text_of(error)}{place}", "check the disk, the file's permissions and the network")
