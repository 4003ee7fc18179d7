"""The peer: a livekit-agents worker whose services are stubs (stubs.py). Runs in its own virtual environment.

    python agent.py start

Turn taking is livekit-agents' own, local as ours: its Silero VAD and its turn detector v1-mini. Environment: LIVEKIT_*,
the stubs', and

    PEER_PORT       of its health page
"""

# pyright: basic, reportMissingImports=false

import asyncio
import logging
import os

from livekit.agents import AgentServer, AgentSession, JobContext, JobProcess, cli, inference
from stubs import Greeter, StubLLM, StubSTT, StubTTS, turn_handling

AGENT_NAME = "bench"
IDLE_PROCESSES = 3


def set_up(process: JobProcess) -> None:
    process.userdata["vad"] = inference.VAD()


server = AgentServer(
    num_idle_processes=IDLE_PROCESSES,
    load_fnc=lambda _server: 0.1,  # a busy machine would otherwise be given fewer idle processes
    host="127.0.0.1",
    port=int(os.environ.get("PEER_PORT", "0")),
    setup_fnc=set_up,
)


@server.rtc_session(agent_name=AGENT_NAME)
async def call(context: JobContext) -> None:
    logging.getLogger("bench").info("bench job %s pid %d", context.room.name, os.getpid())
    session = AgentSession(
        stt=StubSTT(),
        llm=StubLLM(),
        tts=StubTTS(),
        vad=context.proc.userdata["vad"],
        turn_handling=turn_handling(),
        user_away_timeout=None,
    )
    # Connecting while the session starts is the quicker order of the two that are documented.
    await asyncio.gather(session.start(agent=Greeter(), room=context.room, record=False), context.connect())


if __name__ == "__main__":
    cli.run_app(server)
