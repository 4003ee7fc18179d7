"""`greenroom call`: talk with an agent from the terminal."""

import asyncio
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from chassis.tasks import first_of
from contracts.api import DEFAULT_SYSTEM_PROMPT, DEFAULT_VOICE, StartRequest
from greenroom_cli.call.audio import Speech, read_wav
from greenroom_cli.call.captions import Captions
from greenroom_cli.call.participant import Call, NotSpoken
from greenroom_cli.call.place import AGENT_JOINS_S, NO_KEY_FIX, REPLY_S
from greenroom_cli.call.transcriber import Heard, Transcriber
from greenroom_cli.call.voice import speak
from greenroom_cli.commands import options
from greenroom_cli.commands.asking import say_gateway
from greenroom_cli.commands.options import STATE, State, Url
from greenroom_cli.commands.start_file import start_body
from greenroom_cli.console import say, warn
from greenroom_cli.errors import CommandError
from greenroom_cli.gateway import Gateway
from greenroom_cli.runner import Stopped, run
from greenroom_cli.settings import Settings

Request: TypeAlias = StartRequest | dict[str, Any] | bytes
DEFAULT_USER = "Grace"
# When the agent falls silent, its caption is open for up to a second, and the recogniser has not finished either.
WORDS_FOLLOW_S = 1.0
SANDBOX_HEARS = (
    'the sandbox hears you. It knows few English sentences, in its own voices: "What time is it?", "Count to ten", '
    '"My name is Anna" and those of sandbox/src/sandbox/corpus/callers.txt; set ASSEMBLY_API_KEY for all others'
)
SANDBOX_MISHEARS = (
    "the sandbox takes every language for English, so the agent gets other words than yours; set ASSEMBLY_API_KEY"
)


def call(
    wav: Annotated[Path | None, typer.Option(help="Play this file (16-bit PCM) instead of typed text.")] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="The body of the start, with all that POST /orchestrator/session/start takes (tools, endCall, ...); "
            "options replace its fields.",
        ),
    ] = None,
    user: Annotated[str | None, typer.Option(help="The caller's name.", show_default=DEFAULT_USER)] = None,
    voice: Annotated[str | None, typer.Option(help="The agent's voice.", show_default=DEFAULT_VOICE)] = None,
    caller_voice: Annotated[str, typer.Option(help="The voice in which typed text is spoken.")] = "Edward",
    opening_line: Annotated[str | None, typer.Option(help="The agent's first words.")] = None,
    system_prompt: Annotated[
        str | None, typer.Option(help="The system prompt.", show_default=DEFAULT_SYSTEM_PROMPT)
    ] = None,
    language: Annotated[str | None, typer.Option(help="The call's language, as a BCP 47 tag such as de.")] = None,
    recording: Annotated[Path, typer.Option(help="File for the recording of the agent.")] = Path("greenroom-call.wav"),
    url: Url = None,
    state: State = STATE,
) -> None:
    """Talk with an agent: typed lines are spoken into the room, and the agent's captions are printed.

    An empty line, Ctrl-D or Ctrl-C ends the call.

    Without ASSEMBLY_API_KEY the sandbox hears you. It knows English sentences such as "What time is it?" in its own
    voices, and mishears others and recordings of people. With CAPTIONS=false the agent's words are printed "as heard",
    by AssemblyAI or the sandbox.
    """
    request = _request(
        start, user_name=user, voice_id=voice, opening_line=opening_line, system_prompt=system_prompt, language=language
    )
    caller_voice = options.as_typed("--caller-voice", caller_voice)
    samples = None if wav is None else read_wav(wav)
    settings = options.settings(state, url)
    speeches = _typed(settings, caller_voice) if samples is None else _once(Speech(str(wav), samples))
    placed = asyncio.Event()
    try:
        run(_call(settings, request, speeches, recording, placed))
    except Stopped:
        if not placed.is_set():  # afterwards Ctrl-C ends the call
            raise


def _request(start: Path | None, **options_given: str | None) -> Request:
    given = {name: value for name, value in options_given.items() if value is not None}
    request = options.start_request(**{"user_name": DEFAULT_USER, **given})
    if start is None:
        return request
    over = request.model_dump(mode="json", by_alias=True, include=set(given))
    return start_body(start, over, {"userName": DEFAULT_USER})


async def _call(
    settings: Settings, request: Request, speeches: AsyncGenerator[Speech], recording: Path, placed: asyncio.Event
) -> None:
    async with Gateway(settings.greenroom_url, settings.api_key) as gateway:
        await gateway.check()  # without a gateway a missing key does not matter
        say_gateway(settings.greenroom_url)
        if settings.sandbox_hears:
            say(SANDBOX_HEARS, style="dim")
            if not _language(request).lower().startswith("en"):
                warn(SANDBOX_MISHEARS)
        captions = Captions(_show)

        def heard(words: Heard) -> None:
            if not captions.came:
                _show(words.text, ", as heard")

        ear = await _connect_ear(settings, heard)
        try:
            async with Call(recording, ear.feed, captions) as line:
                await _hold(gateway, line, request, speeches, placed)
        finally:
            await speeches.aclose()
            await ear.close()


def _language(request: Request) -> str:
    """The call's language; English if the request names none."""
    if isinstance(request, bytes):
        return "en"
    language = request.get("language") if isinstance(request, dict) else request.language
    return str(language or "en")


async def _connect_ear(settings: Settings, on_heard: Callable[[Heard], None]) -> Transcriber:
    if not settings.assembly_api_key:
        raise CommandError("ASSEMBLY_API_KEY is not set, so the agent cannot be heard", NO_KEY_FIX)
    return await Transcriber.connect(settings.assembly_host, settings.assembly_api_key, on_heard)


async def _hold(
    gateway: Gateway, line: Call, request: Request, speeches: AsyncGenerator[Speech], placed: asyncio.Event
) -> None:
    started = await gateway.start(request)
    placed.set()
    say(f"session {started.session_id}", style="dim")
    failed = False
    try:
        await line.join(started.server_url, started.token)
        await line.agent_joined(AGENT_JOINS_S)
        await _talk(line, speeches)
    except CommandError:
        failed = True
        raise
    finally:
        await line.leave()
        try:
            details = (await gateway.end(started.session_id)).details
        except CommandError as error:
            if not failed:
                raise
            warn(f"the session could not be ended either: {error.problem}")  # the first error is the one to report
        else:
            say(f"ended; to be billed: {details.duration_seconds} s, {details.duration_minutes} minute(s)", style="dim")


async def _talk(line: Call, speeches: AsyncGenerator[Speech]) -> None:
    await _hear_out(line)
    closed = asyncio.ensure_future(line.closed())
    try:
        while (speech := await _unless(closed, anext(speeches, None))) is not None:
            try:
                await line.say(speech)
            except NotSpoken as error:
                if closed.done():
                    break
                warn(str(error))
            else:
                await _hear_out(line)
        if closed.done():
            say(f"the call has ended: {closed.result()}")
    finally:
        closed.cancel()


async def _unless(closed: asyncio.Future[str], following: Awaitable[Speech | None]) -> Speech | None:
    """The next sentence; None at the end of the input, or when the room is closed first."""
    waiting = asyncio.ensure_future(following)
    return waiting.result() if await first_of(waiting, asyncio.shield(closed)) == 0 else None


async def _hear_out(line: Call) -> None:
    """Wait until the agent has answered; a silent agent is reported, and the call goes on."""
    try:
        await line.listen(REPLY_S)
    except CommandError as error:
        warn(error.problem)
    await asyncio.sleep(WORDS_FOLLOW_S)


def _show(words: str, how: str = "") -> None:
    say(f"agent{how}: {words}", style="cyan")


async def _once(speech: Speech) -> AsyncGenerator[Speech]:
    yield speech


async def _typed(settings: Settings, voice: str) -> AsyncGenerator[Speech]:
    """Speak each typed line."""
    if not settings.inworld_api_key:
        raise CommandError("INWORLD_API_KEY is not set, so text cannot be spoken", f"use --wav, or {NO_KEY_FIX}")
    lines: asyncio.Queue[str] = asyncio.Queue(1)
    loop = asyncio.get_running_loop()

    def read() -> None:
        while True:
            line = sys.stdin.readline().strip()
            asyncio.run_coroutine_threadsafe(lines.put(line), loop)
            if not line:
                return

    # A daemon thread: waiting for the keyboard must not keep a finished call from exiting.
    threading.Thread(target=read, daemon=True).start()
    while line := await lines.get():
        try:
            yield await speak(line, voice=voice, http_url=settings.inworld_http_url, api_key=settings.inworld_api_key)
        except CommandError as error:
            warn(str(error))
