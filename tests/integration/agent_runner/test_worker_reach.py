"""A caller whose network is lost while the agent speaks."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent_runner.link.messages import Turn, Unreachable
from contracts.ids import caller_identity
from tests.integration.agent_runner.worker_stage import Fork, New, Sandbox, go, loud_s, without_pauses
from tests.support.servers import LiveKitServer
from tests.support.waiting import until

ROOT = Path(__file__).parents[3]
LINE = (
    "Welcome to the harbour office, which opens every morning at nine. Seven boats return today with silver fish and "
    "tired crews. The museum shows old paintings, and children enter free until the end of the month. Trains to the "
    "airport leave twice an hour from the square behind the church."
)
AWAY_S = 6.0
NOTICED_S = 3.0  # 1.25 s without a packet, and what a busy host adds


class FrozenCaller:
    """A caller in a separate process: what it has heard, and its signals."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.heard_s = 0.0

    async def listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.heard_s = float(line)

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def calling(livekit: LiveKitServer, session: str) -> AsyncIterator[FrozenCaller]:
    command = [sys.executable, "-m", "tests.integration.agent_runner.caller_process"]
    token = livekit.token(session, caller_identity(session))
    process = await asyncio.create_subprocess_exec(*command, livekit.url, token, cwd=ROOT, stdout=PIPE)
    caller = FrozenCaller(process)
    listening = asyncio.create_task(caller.listen())
    try:
        yield caller
    finally:
        process.kill()
        await process.wait()
        listening.cancel()


async def test_a_caller_whose_network_was_lost_misses_nothing_of_what_the_agent_says(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    line_s = loud_s(await sandbox.voice(LINE, "Ashley", 1.0))
    worker = await fork()
    other = await person().enter(session, "supervisor", has_microphone=False)
    async with calling(livekit, session) as caller:
        await until(lambda: caller_identity(session) in other.room.remote_participants, 20)
        worker.send(go(livekit, session, opening_line=LINE))
        await until(lambda: caller.heard_s > 4.5, 20)
        caller.freeze()
        await asyncio.sleep(AWAY_S)
        said_s = other.loud_s
        assert said_s < 4.5 + NOTICED_S, "the agent speaks to nobody"
        caller.thaw()
        assert (await worker.heard(Turn, timeout_s=30)).heard_text == LINE
        waits, back = [m for m in worker.said if isinstance(m, Unreachable)]
        assert (waits.end, back.end) == ("", "back")
        assert AWAY_S - 1 < back.ms / 1000 < AWAY_S + NOTICED_S
        assert 500 < back.again_ms < 1000 * NOTICED_S, "the agent spoke until it noticed"
        await until(lambda: caller.heard_s > line_s - 0.8, 5, f"{line_s}")
    assert max(without_pauses(other.recording)[1]) > AWAY_S - NOTICED_S
    assert other.loud_s < line_s + NOTICED_S
