"""The second peer: OpenRTC, which runs livekit-agents' sessions as coroutines of one process, with the same stubs.

    python openrtc_agent.py start

OpenRTC loads the VAD and the turn detector of livekit-agents' plugins, whose model is a download; it is given those of
the other peer instead, which are in livekit-agents' wheels. All else is its default, uvloop and monitoring among it.
Environment: as agent.py's.
"""

# pyright: basic, reportMissingImports=false

import os

from livekit.agents import JobProcess, inference
from openrtc import AgentPool
from openrtc.runtime.resources import PrewarmResources
from stubs import Greeter, StubLLM, StubSTT, StubTTS, turn_handling

AGENT_NAME = "bench-openrtc"
MOST_CALLS = 10_000


def set_up(process: JobProcess) -> None:
    PrewarmResources(vad=inference.VAD(), turn_detection_factory=inference.TurnDetector).store(process)


# It counts a call whose room is deleted as failed, which is how the bench ends them, and by default exits at the fifth
# in a row.
pool = AgentPool(
    agent_name=AGENT_NAME, port=int(os.environ.get("PEER_PORT", "0")), consecutive_failure_limit=MOST_CALLS
)
pool.add(
    "bench",
    Greeter,
    stt=StubSTT(),
    llm=StubLLM(),
    tts=StubTTS(),
    turn_handling=turn_handling(),
    user_away_timeout=None,
)
pool.server.setup_fnc = set_up

if __name__ == "__main__":
    pool.run()
