"""Two interruptions in a row, and a LiveKit server that stands still: the call goes on as it should."""

import asyncio
from collections.abc import Awaitable, Callable

from agent_runner.link.messages import Caller, Stopped, Turn
from tests.integration.agent_runner.worker_stage import RATE, Person, Sandbox, Worker, go
from tests.support.servers import LiveKitServer

Fork = Callable[..., Awaitable[Worker]]
New = Callable[[], Person]

LONG = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen. "
GAP_S = 0.4
FROZEN_S = 8.0


async def test_two_interruptions_in_a_row_leave_log_context_and_sound_of_one_conversation(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    await sandbox.control("replies", {"replies": [LONG, LONG, "It is noon, and the sun is out."]})
    worker = await fork()
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello."))
    await worker.heard(Turn)
    await caller.type("Please count.")
    await caller.hears(1.2)
    await caller.type("Once more.")
    await asyncio.sleep(GAP_S)
    await caller.type("What time is it?")
    loud_s = caller.loud_s
    last = await worker.heard(Turn, 4)

    turns = [m for m in worker.said if isinstance(m, Turn)][1:]
    assert [(turn.n, turn.user_text, turn.interrupted) for turn in turns] == [
        (1, "Please count.", True),
        (2, "Once more.", True),
        (3, "What time is it?", False),
    ]
    assert last.heard_text == "It is noon, and the sun is out."
    assert 0 < len(turns[0].heard_text) < len(LONG) / 2
    assert len(turns[1].heard_text) < len(LONG) / 4
    told = [m["content"] for m in (await sandbox.asked())[-1] if m["role"] in ("user", "assistant")]
    logged = [text for turn in turns for text in (turn.user_text, turn.heard_text) if text]
    assert told == ["Hello.", *logged[:-1]]
    await asyncio.sleep(1)  # until the last word is at the caller, too
    answer_s = len(await sandbox.voice("It is noon, and the sun is out.", "Ashley", 1.0)) / RATE
    assert answer_s / 2 < caller.loud_s - loud_s < answer_s + 1, "the answer alone is heard"


async def test_a_call_goes_on_after_livekit_stood_still_for_8_s(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    await sandbox.control("replies", {"replies": ["I am still here."]})
    worker = await fork()
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello."))
    await worker.heard(Turn)
    await asyncio.to_thread(livekit.freeze)
    await asyncio.sleep(FROZEN_S)
    livekit.thaw()
    loud_s = caller.loud_s
    await caller.type("Are you there?")
    turn = await worker.heard(Turn, 2)
    assert (turn.user_text, turn.heard_text) == ("Are you there?", "I am still here.")
    await asyncio.sleep(0.5)
    assert caller.loud_s - loud_s > 0.5
    assert not any(isinstance(m, Stopped) for m in worker.said)
    assert [m.in_room for m in worker.said if isinstance(m, Caller)] == [True], "the caller stayed, which is billed"
