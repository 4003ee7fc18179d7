"""`greenroom demo`: one real call with speech, with timeline, transcript and bill."""

import asyncio
import shlex
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from contracts.api import DEFAULT_VOICE
from greenroom_cli import local_stack
from greenroom_cli.call.place import DEMO_SCRIPT, Script, place_call
from greenroom_cli.call.report import CallReport
from greenroom_cli.commands import options
from greenroom_cli.commands.options import AsJson, Url
from greenroom_cli.commands.welcome import show_what_next, this_command, where
from greenroom_cli.console import StackLines, say, say_json, warn
from greenroom_cli.errors import CommandError
from greenroom_cli.runner import Stopped, run
from greenroom_cli.settings import DEFAULT_STATE, Settings, user_environment
from greenroom_cli.stack import running_stack
from greenroom_cli.stack.state import StateFolder


def _step(write: Callable[[str], None], step: str, seconds: float | None = None) -> None:
    write(f"  {'' if seconds is None else f'{seconds:6.2f} s':>9}  {step}")


def demo(
    state: Annotated[
        Path | None, typer.Option(help="Start the stack in this folder, and keep the folder; default: a temporary one.")
    ] = None,
    url: Url = None,
    user: Annotated[str, typer.Option(help="The caller's name.")] = "Grace",
    voice: Annotated[str, typer.Option(help="The agent's voice.")] = DEFAULT_VOICE,
    recording: Annotated[Path, typer.Option(help="File for the recording of the agent.")] = Path("greenroom-demo.wav"),
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help=f"Leave the stack running afterwards, in the folder of --state or {DEFAULT_STATE}, until Ctrl-C.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Place a call with speech; exit non-zero when a step fails.

    Uses the gateway of --url, of a stack that runs in the state folder or of GREENROOM_URL; without one it starts a
    temporary stack and stops it afterwards. With --keep that stack stays, with its console.
    """
    request = options.start_request(user_name=user, voice_id=voice)
    script = Script(request, DEMO_SCRIPT, voice="Edward" if voice != "Edward" else DEFAULT_VOICE)
    called = asyncio.Event()
    try:
        run(_demo(state, url, script, recording.absolute(), called, as_json=as_json, keep=keep))
    except Stopped:
        if not called.is_set():  # afterwards Ctrl-C ends what --keep has kept
            raise
        (warn if as_json else say)("Everything has stopped.")


async def _demo(
    state: Path | None,
    url: str | None,
    script: Script,
    recording: Path,
    called: asyncio.Event,
    *,
    as_json: bool,
    keep: bool,
) -> None:
    steps = partial(_step, warn if as_json else say)  # with --json stdout has only the report
    environment = user_environment()
    running = StateFolder(state or DEFAULT_STATE).running()
    if url or running or "GREENROOM_URL" in environment:
        settings = options.settings(state if running else None, url)
        steps(f"calling through {settings.greenroom_url}")
        report = await place_call(settings, script, recording, steps)
        _tell(report, settings, as_json=as_json)
        if not as_json:
            same = f" --url {shlex.quote(url)}" if url else f" --state {shlex.quote(str(state))}" if state else ""
            show_what_next(settings.greenroom_url, report.session_id, same)
        return
    with tempfile.TemporaryDirectory(prefix="greenroom-demo-", ignore_cleanup_errors=True) as temporary:
        folder = state or (DEFAULT_STATE if keep else Path(temporary))
        steps(f"starting a stack in {folder}")
        stack_options = local_stack.options(environment, local_stack.Wanted())
        async with running_stack(folder, stack_options, None if as_json else StackLines()) as stack:
            steps(f"up; calling through {stack.gateway_url}")
            settings = Settings.of({**environment, **stack.environment})
            try:
                report = await place_call(settings, script, recording, steps)
            except CommandError:
                _show_logs(stack.folder)
                raise
            _tell(report, settings, as_json=as_json)
            if keep:
                called.set()
                if not as_json:
                    show_what_next(stack.gateway_url, report.session_id, where(folder, environment))
                    say("Ctrl-C stops everything.")
                await stack.supervisor.supervise()
    if not as_json:
        say()
        say(f"To look into this call in the browser, and talk yourself: {this_command()} demo --keep")


def _tell(report: CallReport, settings: Settings, *, as_json: bool) -> None:
    if as_json:
        say_json(as_dict(report))
    else:
        show(report, sandbox_hears=settings.sandbox_hears)


def _show_logs(folder: StateFolder) -> None:
    """Print the last log lines of each process before the temporary folder is deleted."""
    for log in sorted(folder.logs.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()
        telling = [line for line in lines if '"level": "error"' in line.lower() or '"level":"error"' in line.lower()]
        for line in telling[-3:]:
            warn(f"  {log.stem} | {line[:500]}")


def as_dict(report: CallReport) -> dict[str, object]:
    """The report as JSON data."""
    timeline = report.timeline
    return {
        "sessionId": report.session_id,
        "timelineS": {
            "postAnswered": round(timeline.post_answered_s, 3),
            "callerJoined": round(timeline.caller_joined_s, 3),
            "agentJoined": round(timeline.agent_joined_s, 3),
            "firstAudio": round(timeline.first_audio_s, 3),
            "ended": round(timeline.ended_s, 3),
        },
        "opening": report.opening,
        "turns": [
            {"said": turn.said, "heard": turn.heard, "latencyS": round(turn.latency_s, 3)} for turn in report.turns
        ],
        "end": report.end.model_dump(mode="json", by_alias=True),
        "bill": report.bill.model_dump(mode="json", by_alias=True),
        "recording": str(report.recording),
    }


def show(report: CallReport, *, sandbox_hears: bool) -> None:
    """Print timeline, transcript and bill.

    Args:
        sandbox_hears: The sandbox's recogniser, which mishears on a busy machine, wrote down the agent's words.
    """
    timeline, bill = report.timeline, report.bill
    say()
    say("Timeline (seconds since the POST)", style="bold")
    steps = (
        (timeline.post_answered_s, "POST answered"),
        (timeline.caller_joined_s, "caller in the room"),
        (timeline.agent_joined_s, "agent in the room"),
        (timeline.first_audio_s, "first audio heard"),
    )
    for seconds, name in sorted(steps):
        say(f"  {seconds:6.2f}  {name}")
    for turn in report.turns:
        say(f"  {turn.answered_s:6.2f}  answer to {turn.said!r} begins, {turn.latency_s:.2f} s after its end")
    say(f"  {timeline.ended_s:6.2f}  session ended")
    say()
    say("Transcript", style="bold")
    say(f"  agent   {report.opening}")
    for turn in report.turns:
        say(f"  caller  {turn.said}")
        say(f"  agent   {turn.heard}")
    who = "as the sandbox heard them, sometimes wrongly" if sandbox_hears else "as they were heard"
    say(f"  (the agent's words {who}; recording: {report.recording})", style="dim")
    say()
    say("Bill", style="bold")
    say(f"  {bill.minutes} minute(s) for {bill.seconds} s served, {bill.credits} credit(s), user {bill.user_id}")
    say(f"  {bill.outcome}: {bill.reason}; session {report.session_id}")
