"""A first line that repeats is said from what the node keeps of it, heard and counted as if the provider spoke it."""

from pathlib import Path
from uuid import uuid4

import pytest

from agent_runner.link.messages import End, Heard, Stopped, Turn
from tests.integration.agent_runner.worker_stage import Fork, New, Person, Sandbox, Worker, go, open_room
from tests.support.servers import LiveKitServer

OPENING = "Hello! How can I help you today?"
LONG = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen."


class Calls:
    """Calls on one node, one after the other."""

    def __init__(self, fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, person: New, folder: Path) -> None:
        self.fork, self.livekit, self.sandbox, self.person, self.folder = fork, livekit, sandbox, person, folder

    async def begin(self, opening: str, **changes: object) -> tuple[Worker, Person]:
        """A worker that speaks to its caller."""
        session = f"session_{uuid4().hex}"
        await open_room(self.livekit, session)
        worker = await self.fork(**changes)
        caller = await self.person().enter(session)
        worker.send(go(self.livekit, session, opening_line=opening, log_file=str(self.folder / f"{session}.log")))
        await worker.heard(Heard)
        return worker, caller

    async def end(self, worker: Worker, caller: Person) -> None:
        await caller.leave()
        worker.send(End())
        await worker.heard(Stopped)

    async def spoken(self) -> int:
        """How often the provider was asked to speak."""
        return (await self.sandbox.state())["requests"].get("inworld.generation", 0)

    @property
    def kept(self) -> list[Path]:
        return list(self.folder.glob("voices/line-*.pcm"))


@pytest.fixture
def calls(fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, person: New, tmp_path: Path) -> Calls:
    return Calls(fork, livekit, sandbox, person, tmp_path)


async def test_the_second_call_repeats_the_line_and_then_talks_as_ever(calls: Calls, sandbox: Sandbox) -> None:
    worker, caller = await calls.begin(OPENING)
    first = await worker.heard(Turn)
    await calls.end(worker, caller)
    assert len(calls.kept) == 1
    assert await calls.spoken() == 1

    await sandbox.control("transcripts", {"texts": ["What time is it?"]})
    await sandbox.control("replies", {"replies": ["It is noon."]})
    worker, caller = await calls.begin(OPENING)
    again = await worker.heard(Turn)
    await caller.hears_line(await sandbox.voice(OPENING, "Ashley", 1.0))
    assert await calls.spoken() == 1
    assert (again.n, again.heard_text, again.interrupted) == (first.n, first.heard_text, first.interrupted)

    caller.say("What time is it?")
    answer = await worker.heard(Turn, 2)
    assert (answer.heard_text, answer.interrupted) == ("It is noon.", False)
    assert await calls.spoken() == 2
    await calls.end(worker, caller)


async def test_half_a_line_is_not_kept_and_a_kept_one_can_be_interrupted(calls: Calls, sandbox: Sandbox) -> None:
    await sandbox.control("transcripts", {"texts": ["stop", "stop"]})
    await sandbox.control("replies", {"replies": ["Well.", "Well."]})
    for _ in range(2):
        worker, caller = await calls.begin(LONG)
        await caller.hears(0.8)
        caller.say("Stop it now, please!")
        cut = await worker.heard(Turn)
        assert cut.interrupted
        assert LONG.startswith(cut.heard_text)
        assert 3 < len(cut.heard_text) < len(LONG) - 10
        if not calls.kept:
            await calls.end(worker, caller)
            worker, caller = await calls.begin(LONG)
            await worker.heard(Turn)
        await calls.end(worker, caller)
        assert len(calls.kept) == 1


async def test_without_room_for_it_nothing_is_kept(calls: Calls) -> None:
    worker, caller = await calls.begin(OPENING, tts_cache_mb=0)
    await worker.heard(Turn)
    await calls.end(worker, caller)
    assert not calls.kept
