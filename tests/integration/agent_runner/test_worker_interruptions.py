"""Two interruptions in a row, and a LiveKit server that stands still: the call goes on as it should."""

import asyncio
import time

from agent_runner.link.messages import Caller, Stopped, Turn
from tests.integration.agent_runner.worker_stage import RATE, Fork, Greet, New, Sandbox, go, likeness, without_pauses
from tests.support.servers import LiveKitServer
from tests.support.waiting import until

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
    await until(lambda: has_been_asked(sandbox, 2), 20)
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
    assert len(turns[1].heard_text) < len(LONG) / 2
    told = [m["content"] for m in (await sandbox.asked())[-1] if m["role"] in ("user", "assistant")]
    logged = [text for turn in turns for text in (turn.user_text, turn.heard_text) if text]
    assert told == ["Hello.", *logged[:-1]]
    await asyncio.sleep(1)  # until the last word is at the caller, too
    answer_s = len(await sandbox.voice("It is noon, and the sun is out.", "Ashley", 1.0)) / RATE
    await until(lambda: caller.loud_s - loud_s > answer_s / 2, what="the answer is heard")
    assert caller.loud_s - loud_s < answer_s + 3, "the answer alone is heard"


async def test_the_agent_is_heard_after_two_spoken_interruptions_in_a_row(greet: Greet, sandbox: Sandbox) -> None:
    answer = "It is noon, and the sun is out."
    await sandbox.control("replies", {"replies": [LONG, LONG, answer]})
    await sandbox.control("transcripts", {"texts": ["Once more."]})
    worker, caller = await greet()
    await caller.type("Please count.")
    await caller.hears(1)
    caller.say("Once more now, please.")
    await until(lambda: has_been_asked(sandbox, 2), 20)
    await sandbox.control("transcripts", {"texts": ["What time is it?"]})
    await asyncio.sleep(GAP_S)
    caller.say("What time is it now?")
    await until(lambda: has_been_asked(sandbox, 3), 20)
    asked_at = time.monotonic()
    await until(lambda: any(m.heard_text == answer for m in worker.said if isinstance(m, Turn)), 20, f"{worker.said}")

    turns = [m for m in worker.said if isinstance(m, Turn)][1:]
    assert [(turn.user_text, turn.interrupted) for turn in turns] == [
        ("Please count.", True), ("Once more.", True), ("What time is it?", False),
    ]  # fmt: skip
    told = [m["content"] for m in (await sandbox.asked())[-1] if m["role"] in ("user", "assistant")]
    assert told == ["Hello.", *[text for turn in turns for text in (turn.user_text, turn.heard_text) if text][:-1]]
    await caller.hears_line(await sandbox.voice(answer, "Ashley", 1.0), asked_at)


async def test_late_sound_and_words_of_an_interrupted_answer_do_not_change_what_is_heard_of_the_next(
    greet: Greet, sandbox: Sandbox
) -> None:
    """The voice is so slow that the first answer's second sentence comes when the second answer has begun."""
    first = "One two three four five six seven eight. Nine ten eleven twelve thirteen fourteen fifteen sixteen."
    second = "Monday Tuesday Wednesday Thursday Friday Saturday and Sunday are the seven days of a week here."
    await sandbox.control("replies", {"replies": [first, second]})
    worker, caller = await greet()
    await sandbox.control("faults", {"service": "inworld", "kind": "latency", "latency_ms": 1500})
    await caller.type("Please count.")
    await caller.hears(0.2)
    await caller.type("Name the days.")
    await until(lambda: has_replied(sandbox), 20)
    began = time.monotonic()
    await sandbox.control("reset", {})  # the rest comes at once
    await caller.hears(2)
    await sandbox.control("replies", {"replies": ["Fine."]})
    await caller.type("Stop.")
    counted, named, _ = [await worker.heard(Turn, n) for n in (2, 3, 4)]

    assert counted.interrupted
    assert first.startswith(counted.heard_text)
    assert named.interrupted
    assert second.startswith(named.heard_text)
    heard = max(without_pauses(caller.heard_since(began), longest_s=0.5)[0], key=len)  # beside "Fine."
    line = await sandbox.voice(second, "Ashley", 1.0)
    ((said,), _) = without_pauses(await sandbox.voice(named.heard_text, "Ashley", 1.0), longest_s=0.5)
    assert max(likeness(line[: len(heard) + RATE // 2], heard[: len(said) - RATE // 2])) > 0.75
    assert abs(len(heard) - len(said)) < RATE, "the log has what was heard"


async def has_replied(sandbox: Sandbox) -> bool:
    return (await sandbox.state())["script"]["replies"] == 0


async def has_been_asked(sandbox: Sandbox, times: int) -> bool:
    return len(await sandbox.asked()) >= times


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
    await until(lambda: caller.loud_s - loud_s > 0.5)
    assert not any(isinstance(m, Stopped) for m in worker.said)
    assert [m.in_room for m in worker.said if isinstance(m, Caller)] == [True], "the caller stayed, which is billed"
