"""The call of `python -m agent_runner.worker.process.direct`; `direct` is its entry point."""

import argparse
import asyncio
import os
import signal
import sys
from typing import Final, NoReturn

from pydantic import TypeAdapter, ValidationError

from agent_runner.adapters.llm_model import with_models
from agent_runner.agent_config import AgentConfig
from agent_runner.domain.speakable import is_speakable
from agent_runner.link.messages import Beat, End, Failed, Go, Stopped, ToSupervisor, encode
from agent_runner.worker.process import log_lines
from chassis.errors import StartFailed
from chassis.proxies import take_out_socks
from chassis.redaction import say
from chassis.settings import load
from contracts.causes import Effect, effect
from contracts.ids import agent_identity, caller_identity
from contracts.languages import Language

_ADVICE: Final = {"stt": "ASSEMBLY_API_KEY", "llm": "GROQ_API_KEY", "tts": "INWORLD_API_KEY, the voice"}
_FORCED_EXIT_S: Final = 8.0


def run() -> None:
    """Run one agent until its call ends, then exit the process."""
    arguments = _arguments()
    ignored = take_out_socks(os.environ)
    config = load(AgentConfig)
    if ignored:
        print(f"agent: {', '.join(ignored)} is ignored: SOCKS proxies are not supported", file=sys.stderr)  # noqa: T201
    asyncio.run(call(config, _go_of(arguments)))


async def call(config: AgentConfig, go: Go) -> NoReturn:
    """Run one job, print its messages, and exit the process: 0 after an end by which a session completes."""
    log_lines.configure(config)
    try:
        config = await with_models(config)
    except StartFailed as error:
        _fail(str(error))
    from agent_runner.worker.call.job import Job  # Pipecat takes 2 s to import: report earlier errors first
    from agent_runner.worker.process import tracing
    from agent_runner.worker.room import livekit_runtime

    livekit_runtime.start()
    failures: list[Failed] = []

    def tell(message: ToSupervisor) -> None:
        if isinstance(message, Failed):
            failures.append(message)
        if not isinstance(message, Beat):
            print(encode(message).decode(), flush=True)  # noqa: T201 - a command's output

    job = Job(config, tell, is_traced=config.otel_exporter_otlp_endpoint is not None)
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.call_later(_FORCED_EXIT_S, os._exit, 1)
        job.receive(End())

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    await job.prepare()
    log_lines.take(go)
    tracing.begin(job.trace_observer, config, go)
    job.receive(go)
    stopped = await job.stopped
    tell(stopped)
    tracing.end(job.trace_observer)
    problem = problem_of(stopped, failures)
    if problem:
        _fail(problem)
    sys.stdout.flush()
    os._exit(0)  # asyncio.run would wait for Pipecat's tasks


def problem_of(stopped: Stopped, failures: list[Failed]) -> str | None:
    """The error line of a call; None for an end by which a session completes."""
    if effect(stopped.cause) is Effect.COMPLETES:
        return None
    if failures:
        failure = failures[0]
        return (
            f"{failure.provider} failed: {failure.detail}; check {_ADVICE[failure.provider]} and the provider's address"
        )
    return f"{stopped.cause}: {stopped.detail}"


def _go_of(arguments: argparse.Namespace) -> Go:
    session = str(arguments.session_id)
    return Go(
        session_id=session,
        epoch=1,
        url=arguments.url,
        token=arguments.token,
        system_prompt=arguments.system_prompt,
        voice_id=arguments.voice_id,
        caller_identity="" if arguments.any_caller else caller_identity(session),
        agent_identity=agent_identity(session),
        opening_line=arguments.opening_line or None,
        language=arguments.language,
    )


def _language(tag: str) -> str:
    try:
        return TypeAdapter[str](Language).validate_python(tag)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(error.errors()[0]["msg"]) from None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="agent", description="Run one agent in one LiveKit room.")
    parser.add_argument("--url", required=True, help="LiveKit's address, ws:// or wss://")
    parser.add_argument("--token", required=True, help="a LiveKit token for the room, of the agent's identity")
    parser.add_argument("--session-id", required=True, help="the session's id, which is the room's name")
    parser.add_argument("--system-prompt", default="You are a helpful AI voice assistant.", help="who the agent is")
    parser.add_argument("--opening-line", default="Hello! How can I help you?", help="what the agent says first")
    parser.add_argument("--voice-id", default="Ashley", help="the agent's voice")
    parser.add_argument("--language", type=_language, help="the conversation's, as a BCP 47 tag such as de or pt-BR")
    parser.add_argument(
        "--any-caller", action="store_true", help="listen to the first participant instead of only caller:<session id>"
    )
    arguments = parser.parse_args()
    if not str(arguments.url).startswith(("ws://", "wss://", "http://", "https://")):
        parser.error("--url must start with ws:// or wss://")
    if arguments.opening_line and not is_speakable(arguments.opening_line):
        parser.error("--opening-line has no words to say: markup, stage directions and addresses are not spoken")
    return arguments


def _fail(line: str) -> NoReturn:
    sys.stdout.flush()
    say(f"agent: {' '.join(line.split())}")
    os._exit(1)
