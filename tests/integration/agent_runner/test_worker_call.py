"""A worker in a real room, with the sandbox as its providers."""

import asyncio
import json
import os
import time
from pathlib import Path

import pytest
from livekit import rtc

from agent_runner.domain.muteness import MUTE_S
from agent_runner.domain.turn_budget import SHARES
from agent_runner.link.messages import (
    Caller,
    End,
    Failed,
    Heard,
    Joined,
    Rejoin,
    Removed,
    Speak,
    Stopped,
    Turn,
    Unfinished,
)
from contracts.deadlines import ORPHAN_EXIT_S
from contracts.ids import agent_identity, caller_identity
from tests.integration.agent_runner.worker_stage import (
    RATE,
    Collector,
    Fork,
    Greet,
    New,
    Sandbox,
    delete_room,
    go,
    likeness,
    loud_s,
)
from tests.integration.signalling import signalling
from tests.support.servers import LiveKitServer
from tests.support.waiting import until

OPENING = "Hello! How can I help you today?"
LONG_GOODBYE = f"This is a very long goodbye that goes on{' and on' * 30} until the end."


def count(spoken_like: list[float], least: float = 0.75) -> int:
    """How often the line was heard: separate peaks of likeness."""
    peaks, was_above = 0, False
    for value in spoken_like:
        peaks += value > least and not was_above
        was_above = value > least
    return peaks


async def test_a_call_from_the_opening_line_to_the_end(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New, tmp_path: Path
) -> None:
    await sandbox.control("transcripts", {"texts": ["What time is it?", "What did you just say?"]})
    await sandbox.control("replies", {"replies": ["It is noon.", "I said it is noon."]})
    worker = await fork()
    await sandbox.is_open({"assemblyai": 0, "groq": 0, "inworld": 1})  # the one that is free of charge
    caller = await person().enter(session)

    went = time.monotonic()
    worker.send(go(livekit, session, opening_line=OPENING, log_file=str(tmp_path / "call.log")))
    assert (await worker.heard(Joined)).stage_ms["join"] < 2000
    await worker.heard(Heard)
    opening = await worker.heard(Turn)
    line = await sandbox.voice(OPENING, "Ashley", 1.0)
    await caller.hears_line(line)

    assert (await sandbox.state())["requests"]["inworld.connect"] == 1
    assert (opening.n, opening.user_text, opening.heard_text, opening.interrupted) == (0, "", OPENING, False)
    assert caller.first_sound_at - went < 3  # 0.2 on an idle host

    caller.say("What time is it?")
    first = await worker.heard(Turn, 2)
    caller.say("What did you just say?")
    second = await worker.heard(Turn, 3)

    assert (first.n, first.user_text, first.heard_text, first.interrupted) == (
        1,
        "What time is it?",
        "It is noon.",
        False,
    )
    assert (second.n, second.user_text, second.heard_text) == (2, "What did you just say?", "I said it is noon.")
    stages = {name: first.stage_ms[name] for name in SHARES}
    assert set(first.stage_ms) - set(stages) == {"turn", "total"}
    assert sum(stages.values()) == first.stage_ms["total"] < 5000
    assert min(stages["endpointing"], stages["llm"]) > 0
    system, *asked = (await sandbox.asked())[-1]
    assert system["content"].startswith("You are a kind assistant.\n\nCRITICAL RULES")
    assert [(m["role"], m["content"]) for m in asked] == [
        ("assistant", OPENING),
        ("user", "What time is it?"),
        ("assistant", "It is noon."),
        ("user", "What did you just say?"),
    ]
    await asyncio.sleep(1.2)  # until a beat after the last word
    assert worker.beat is not None
    assert worker.beat.caller_in_room
    assert caller.loud_s > 1.5
    assert count(likeness(caller.recording, line)) == 1

    asked_at = time.monotonic()
    worker.send(End())
    assert (await worker.heard(Stopped)).cause == "ended"
    assert await worker.gone() == 0
    assert time.monotonic() - asked_at < 3
    await sandbox.is_left_alone()
    log = (tmp_path / "call.log").read_text()
    assert f'"session_id": "{session}"' in log
    assert "noon" not in log


async def test_a_caller_who_comes_late_hears_the_whole_opening_and_nobody_else_is_heard(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    worker = await fork()
    worker.send(go(livekit, session, opening_line=OPENING))
    await worker.heard(Joined)
    stranger = await person().enter(session, "somebody")
    await asyncio.sleep(0.3 + stranger.say("What time is it?"))
    assert not [m for m in worker.said if isinstance(m, Caller | Heard)]

    caller = await person().enter(session)
    await worker.heard(Turn)
    stranger.say("What time is it?")
    await asyncio.sleep(3)

    assert count(likeness(caller.recording, await sandbox.voice(OPENING, "Ashley", 1.0))) == 1
    assert [m for m in worker.said if isinstance(m, Turn)] == [
        Turn(n=0, user_text="", heard_text=OPENING, interrupted=False, said="line")
    ]
    assert await sandbox.asked() == []


async def test_a_caller_who_comes_back_is_not_greeted_again(greet: Greet, session: str, person: New) -> None:
    worker, caller = await greet({"opening_line": OPENING})
    await asyncio.sleep(0.5)
    await caller.leave()
    assert (await worker.heard(Caller, 2)) == Caller(in_room=False)
    again = await person().enter(session)
    assert (await worker.heard(Caller, 3)) == Caller(in_room=True)
    await asyncio.sleep(1.5)
    assert again.loud_s == 0

    worker.send(Speak(text="I am still here with you."))
    assert (await worker.heard(Turn, 2)).heard_text == "I am still here with you."
    await until(lambda: again.loud_s > 0.7)


@pytest.mark.parametrize("leaves", ["in mid-answer", "before the answer"])
async def test_a_caller_who_loads_the_page_again_hears_the_rest_of_the_answer(
    greet: Greet, sandbox: Sandbox, session: str, person: New, leaves: str
) -> None:
    """And nothing counts as heard that was not."""
    answer = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen."
    await sandbox.control("transcripts", {"texts": ["count please"]})
    await sandbox.control("replies", {"replies": [answer]})
    worker, caller = await greet()
    greeting_s = caller.loud_s
    said_s = caller.say("Please count for me.")
    if leaves == "in mid-answer":
        await caller.hears(0.8)
    else:
        await asyncio.sleep(said_s + 0.4)
    await caller.leave()
    await asyncio.sleep(4)
    assert not [m for m in worker.said if isinstance(m, Turn) and m.n > 0], "the answer waits"
    so_far = [m.turn.heard_text for m in worker.said if isinstance(m, Unfinished) and m.turn.n == 1][-1]
    assert answer.startswith(so_far)
    assert len(so_far) < (len(answer) - 20 if leaves == "in mid-answer" else 1), "the first word waits, too"

    again = await person().enter(session)
    turn = await worker.heard(Turn, 2)
    assert (turn.heard_text, turn.interrupted) == (answer, False)
    await asyncio.sleep(0.7)
    whole_s = loud_s(await sandbox.voice(answer, "Ashley", 1.0))
    assert again.loud_s > 0.5
    assert 0.9 * whole_s < caller.loud_s - greeting_s + again.loud_s < 1.1 * whole_s


async def test_a_caller_who_hangs_up_on_the_last_words_ends_the_call(greet: Greet, sandbox: Sandbox) -> None:
    worker, caller = await greet()
    worker.send(End(how="say", text=LONG_GOODBYE))
    await caller.hears(0.5)
    left = time.monotonic()
    await caller.leave()
    assert (await worker.heard(Stopped)).cause == "ended"
    assert await worker.gone() == 0
    assert time.monotonic() - left < len(await sandbox.voice(LONG_GOODBYE, "Ashley", 1.0)) / RATE


async def test_a_caller_whose_client_connects_anew_hears_the_rest_of_the_last_words(
    greet: Greet, sandbox: Sandbox
) -> None:
    words = "Thank you for calling. We will send the tickets tomorrow."
    worker, caller = await greet()
    greeting_s = caller.loud_s
    worker.send(End(how="say", text=words))
    await caller.hears(0.4)
    await caller.room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT)
    await worker.heard(Caller, 3)
    assert (await worker.heard(Stopped)).cause == "ended"
    assert caller.loud_s - greeting_s > 0.8 * loud_s(await sandbox.voice(words, "Ashley", 1.0))


async def test_what_the_agent_says_unasked_waits_for_the_callers_turn_and_its_answer(
    greet: Greet, sandbox: Sandbox
) -> None:
    await sandbox.control("transcripts", {"texts": ["What time is it?"]})
    await sandbox.control("replies", {"replies": ["It is noon."]})
    worker, caller = await greet()
    caller.say("What time is it now in the town where you are?")
    await asyncio.sleep(1)  # in the middle of it

    worker.send(Speak(text="Our time is almost up.", patience_s=30))

    answer, notice = await worker.heard(Turn, 2), await worker.heard(Turn, 3)
    assert (answer.user_text, answer.heard_text, answer.interrupted) == ("What time is it?", "It is noon.", False)
    assert (notice.user_text, notice.heard_text, notice.interrupted) == ("", "Our time is almost up.", False)


async def test_an_interrupted_answer_counts_as_far_as_it_was_heard(greet: Greet, sandbox: Sandbox) -> None:
    answer = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen."
    await sandbox.control("transcripts", {"texts": ["count please", "stop", "more"]})
    await sandbox.control("replies", {"replies": [answer, "I have stopped.", "Well."]})
    worker, caller = await greet()
    caller.say("Please count for me.")
    await caller.hears(0.8)
    caller.say("Stop it now, please!")

    cut = await worker.heard(Turn, 2)
    assert cut.interrupted
    assert answer.startswith(cut.heard_text)
    assert 3 < len(cut.heard_text) < len(answer) - 10
    await worker.heard(Turn, 3)
    assert (await sandbox.asked())[-1][-2] == {"role": "assistant", "content": cut.heard_text}


async def test_a_takeover_goes_on_with_the_history_whatever_became_of_the_model(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    history = [{"role": "assistant", "content": OPENING}, {"role": "user", "content": "my name is Bob"}]
    memory = os.memfd_create("history")
    os.write(memory, json.dumps(history).encode())
    await sandbox.control("transcripts", {"texts": ["Go on."]})
    worker = await fork(llm_model="llama-3.3-70b-versatile")  # which the sandbox, as Groq, does not have
    caller = await person().enter(session)
    worker.send(go(livekit, session, epoch=2, opening_line=None, bridge="Sorry, go on.", has_history=True), memory)
    os.close(memory)

    bridge = await worker.heard(Turn)
    assert (bridge.n, bridge.user_text, bridge.heard_text) == (0, "", "Sorry, go on.")
    caller.say("Please go on.")
    assert (await worker.heard(Turn, 2)).n == 1
    asked = (await sandbox.asked())[-1][1:]
    assert asked == [*history, {"role": "assistant", "content": "Sorry, go on."}, {"role": "user", "content": "Go on."}]


async def test_a_last_sentence_is_spoken_to_its_end(greet: Greet, sandbox: Sandbox) -> None:
    worker, caller = await greet({"opening_line": OPENING})
    before = len(caller.recording)
    worker.send(End(how="say", text="Thank you for calling, goodbye."))
    assert (await worker.heard(Stopped)).cause == "ended"
    await worker.gone()
    line = await sandbox.voice("Thank you for calling, goodbye.", "Ashley", 1.0)
    await caller.hears_line(line)
    assert count(likeness(caller.recording[before:], line)) == 1


async def test_a_caller_who_goes_on_talking_does_not_cut_the_last_sentence(greet: Greet, sandbox: Sandbox) -> None:
    goodbye = "Thank you so much for calling us, and goodbye."
    worker, caller = await greet({"opening_line": OPENING})
    before = len(caller.recording)
    worker.send(End(how="say", text=goodbye))
    await asyncio.sleep(0.5)
    caller.say("But I have another question for you!")
    assert (await worker.heard(Stopped)).cause == "ended"
    await worker.gone()
    line = await sandbox.voice(goodbye, "Ashley", 1.0)
    await caller.hears_line(line)
    assert count(likeness(caller.recording[before:], line)) == 1


async def test_a_second_end_does_not_wait_for_the_last_sentence(greet: Greet, sandbox: Sandbox) -> None:
    worker, _ = await greet()
    worker.send(End(how="say", text=LONG_GOODBYE))
    await asyncio.sleep(0.3)
    asked = time.monotonic()
    worker.send(End())
    assert (await worker.heard(Stopped)).cause == "ended"
    assert await worker.gone() == 0
    assert time.monotonic() - asked < len(await sandbox.voice(LONG_GOODBYE, "Ashley", 1.0)) / RATE


async def test_an_end_while_joining_leaves_nobody_in_the_room(
    fork: Fork, livekit: LiveKitServer, session: str, person: New
) -> None:
    worker = await fork()
    worker.send(go(livekit, session))
    worker.send(End())
    assert (await worker.heard(Stopped)).cause == "ended"
    assert await worker.gone() == 0
    caller = await person().enter(session)
    assert not caller.room.remote_participants


async def test_a_worker_whose_supervisor_is_gone_leaves_the_room_and_dies(
    fork: Fork, livekit: LiveKitServer, session: str, person: New
) -> None:
    worker = await fork()
    caller = await person().enter(session)
    worker.send(go(livekit, session))
    await worker.heard(Heard)
    worker.hang_up()
    await worker.gone(ORPHAN_EXIT_S + 2)
    await until(lambda: caller.left)
    assert caller.left == [agent_identity(session)]


async def test_a_deleted_room_ends_the_worker(fork: Fork, livekit: LiveKitServer, session: str) -> None:
    worker = await fork()
    worker.send(go(livekit, session))
    await worker.heard(Joined)
    await delete_room(livekit, session)
    assert (await worker.heard(Stopped)).cause == "room_closed"
    assert await worker.gone() == 0


async def test_a_worker_that_lost_its_identity_comes_back_only_when_it_is_told_to(
    greet: Greet, session: str, person: New
) -> None:
    worker, caller = await greet()
    await person().enter(session, agent_identity(session))
    assert (await worker.heard(Removed)).duplicate
    worker.send(Rejoin())
    await worker.heard(Joined, 2)
    before = caller.loud_s
    worker.send(Speak(text="I am back with you again."))
    await worker.heard(Turn, 2)
    await until(lambda: caller.loud_s - before > 0.7)  # the written audio is still in flight

    await person().enter(session, agent_identity(session))
    await worker.heard(Removed, 2)
    assert (await worker.heard(Stopped)).cause == "removed"
    assert await worker.gone() == 0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"token": "nonsense"}, "refused the token"),
        ({"url": "ws://127.0.0.1:9"}, "could not be reached"),
        ({"session": "session_elsewhere"}, "does not exist"),
    ],
)
async def test_a_room_that_cannot_be_joined_is_said_with_its_fix(
    fork: Fork, livekit: LiveKitServer, session: str, changes: dict[str, str], why: str
) -> None:
    worker = await fork()
    named = changes.pop("session", session)
    worker.send(go(livekit, named, **changes))
    stopped = await worker.heard(Stopped)
    assert stopped.cause == "join_failed"
    assert why in stopped.detail
    assert await worker.gone() == 0


@pytest.mark.parametrize("provider", ["stt", "tts", "llm"])
async def test_a_refused_key_ends_the_call_and_is_reported(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New, provider: str
) -> None:
    variable = {"stt": "assembly_api_key", "llm": "groq_api_key", "tts": "inworld_api_key"}[provider]
    await sandbox.control("transcripts", {"texts": ["hello"]})
    apology = "I am sorry, this does not work today."
    worker = await fork(**{variable: "wrong", "apology": apology})
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello."))
    if provider == "llm":
        await worker.heard(Turn)
        caller.say("Hello agent, how are you?")
    assert (await worker.heard(Failed)).provider == provider
    stopped = await worker.heard(Stopped, timeout_s=8)
    assert (stopped.cause, stopped.detail) == ("provider_failed", provider)
    await worker.gone()
    if provider == "tts":
        await until(lambda: caller.loud_s > 1.5)
        assert caller.loud_s < 2.5  # the tones
    else:
        line = await sandbox.voice(apology, "Ashley", 1.0)
        await caller.hears_line(line)
        assert count(likeness(caller.recording, line)) == 1


@pytest.mark.parametrize("transcripts", [False, True])
async def test_the_trace_goes_on_below_the_supervisors_and_keeps_what_was_said_to_itself(
    greet: Greet, sandbox: Sandbox, transcripts: bool
) -> None:
    await sandbox.control("transcripts", {"texts": ["What time is it?"]})
    await sandbox.control("replies", {"replies": ["It is noon."]})
    async with Collector() as collector:
        worker, caller = await greet(
            {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"},
            otel_exporter_otlp_endpoint=collector.url,
            otel_transcripts=transcripts,
        )
        caller.say("What time is it?")
        await worker.heard(Turn, 2)
        worker.send(End())
        await worker.gone()
    spans = collector.spans
    assert {"conversation", "turn", "stt", "chat", "tts"} <= {span.name.split()[0] for span in spans}
    assert {span.trace_id.hex() for span in spans} == {"ab" * 16}
    (conversation,) = [span for span in spans if span.name == "conversation"]
    assert conversation.parent_span_id.hex() == "cd" * 8
    told = " ".join(str(span) for span in spans)
    assert ("noon" in told) is transcripts
    assert ("CRITICAL RULES" in told) is transcripts


async def test_a_silent_language_model_costs_one_answer_not_the_call(greet: Greet, sandbox: Sandbox) -> None:
    await sandbox.control("transcripts", {"texts": ["Hello.", "Hello again."]})
    await sandbox.control("replies", {"replies": ["Hello to you."]})
    model = {"model": "openai/gpt-oss-120b"}
    await sandbox.control(
        "faults", {"service": "groq", "kind": "silence", "stage": "request", "count": 2, "match": model}
    )
    worker, caller = await greet(llm_read_timeout_s=1)
    caller.say("What time is it now?")  # no comma: each recognised phrase uses up one transcript
    assert (await worker.heard(Turn, 2)).user_text == "Hello."
    assert "Could you say it again" in (await worker.heard(Turn, 3)).heard_text
    caller.say("What time is it now?")
    assert (await worker.heard(Turn, 4)).user_text == "Hello again."
    assert not [m for m in worker.said if isinstance(m, Failed)]


async def test_a_connection_that_the_provider_closed_while_idle_is_made_again(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    worker = await fork()
    await sandbox.is_open({"assemblyai": 0, "groq": 0, "inworld": 1})
    await sandbox.control("disconnect", {"service": "inworld"})
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello."))  # before it is there again
    assert (await worker.heard(Turn)).heard_text == "Hello."
    await until(lambda: caller.loud_s > 0.2)


async def test_a_caller_without_media_is_not_there_and_one_whose_media_comes_is_greeted(
    fork: Fork, livekit: LiveKitServer, session: str, person: New
) -> None:
    worker = await fork()
    async with signalling(livekit.url, livekit.token(session, caller_identity(session))):
        listener = await person().enter(session, "supervisor")
        worker.send(go(livekit, session, opening_line=OPENING))
        await worker.heard(Joined)
        await asyncio.sleep(MUTE_S + 1.5)  # an agent that thought it was heard would be mute by now

        assert not [m for m in worker.said if isinstance(m, Caller | Heard | Stopped | Turn)]
        assert worker.beat is not None
        assert not worker.beat.caller_in_room
        assert listener.loud_s == 0

        caller = await person().enter(session)
        assert await worker.heard(Caller) == Caller(in_room=True)
        assert (await worker.heard(Turn)).heard_text == OPENING
        await until(lambda: caller.loud_s > 0)
    worker.send(End())
    assert (await worker.heard(Stopped)).cause == "ended"
