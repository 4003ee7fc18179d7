"""Providers that fail: each fault ends in a call that goes on, or in a clean end with a word, within a stated time."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from agent_runner.agent_config import LLM_MODELS
from agent_runner.link.messages import (
    Failed,
    Faulty,
    Heard,
    Joined,
    Provider,
    Speak,
    Stopped,
    Turn,
    Unanswered,
    Unfinished,
)
from agent_runner.worker.call.apology import tones
from contracts.lines import lines_in
from tests.integration.agent_runner.client import Client
from tests.integration.agent_runner.worker_stage import (
    RATE,
    Fork,
    Greet,
    New,
    Preloaded,
    Sandbox,
    Worker,
    go,
    ready,
)
from tests.support.servers import LiveKitServer
from tests.support.waiting import until

SORRY = "Sorry, I didn't get that. Could you say it again?"
QUESTION = "How are you doing today my friend?"  # no comma: the pause of one may be the end of a turn
NOBODY = "ws://127.0.0.1:9/nobody"


async def fault(sandbox: Sandbox, service: str, kind: str, **more: Any) -> None:
    await sandbox.control("faults", {"service": service, "kind": kind, **more})


async def ended(worker: Worker, provider: str, within_s: float) -> None:
    """It says which provider it was, and goes."""
    began = time.monotonic()
    assert (await worker.heard(Failed, timeout_s=within_s)).provider == provider
    assert provider in worker.faulty, "its time is not billed, to the end"
    stopped = await worker.heard(Stopped, timeout_s=within_s)
    assert (stopped.cause, stopped.detail) == ("provider_failed", provider)
    assert time.monotonic() - began < within_s
    assert await worker.gone() == 0


async def recovered(worker: Worker, provider: Provider, since_s: float = 0.0) -> None:
    """This provider failed, for so long when it was noticed, and does its work again; no other failed."""
    deadline = time.monotonic() + 5
    while worker.faulty or not (faults := [m for m in worker.said if isinstance(m, Faulty)]):
        assert time.monotonic() < deadline, f"{worker.said}"
        await asyncio.sleep(0.05)
    assert {m.provider for m in faults} == {provider}
    assert since_s <= faults[0].ago_ms / 1000 < since_s + 3, f"{faults}"


def heard(worker: Worker) -> str:
    """All that the agent has said so far, over its turns."""
    turns = [m.turn if isinstance(m, Unfinished) else m for m in worker.said if isinstance(m, Turn | Unfinished)]
    return " ".join({turn.n: turn.heard_text for turn in turns}.values())


async def said(worker: Worker, text: str, times: int = 1, within_s: float = 15) -> None:
    """Wait until the agent has said this."""
    deadline = time.monotonic() + within_s
    while sum(isinstance(m, Turn) and text in m.heard_text for m in worker.said) < times:
        assert time.monotonic() < deadline, f"{worker.said}"
        await asyncio.sleep(0.05)


# --- a second key or place


@pytest.mark.parametrize(
    "changes",
    [
        {"assembly_api_key": "wrong", "assembly_fallback_api_key": "sandbox"},
        {"groq_api_key": "wrong", "groq_fallback_api_key": "sandbox"},
        {"inworld_api_key": "wrong", "inworld_fallback_api_key": "sandbox"},
        {"assembly_base_url": NOBODY},
        {"groq_base_url": NOBODY.replace("ws:", "http:")},
        {"inworld_base_url": NOBODY},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_a_call_goes_on_at_the_second_key_or_place(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New, changes: dict[str, str]
) -> None:
    if len(changes) == 1:  # a dead place; the sandbox is the second
        ((name, _),) = changes.items()
        first = sandbox.config().model_dump()[name]
        changes = {**changes, name.replace("_base_url", "_fallback_base_url"): first}
    await sandbox.control("transcripts", {"texts": ["How are you?"]})
    await sandbox.control("replies", {"replies": ["I am fine."] * 3})
    worker = await fork(**changes)
    caller = await person().enter(session)
    began = time.monotonic()
    worker.send(go(livekit, session, opening_line="Hello."))
    await worker.heard(Turn)
    if next(iter(changes)).startswith("assembly"):
        await asyncio.sleep(2.5)  # time enough for the STT to have moved
        caller.say(QUESTION)
    else:
        await caller.type("How are you?")
    await said(worker, "I am fine.", within_s=12)
    assert any(isinstance(m, Turn) and m.user_text.startswith("How are you?") for m in worker.said)
    assert not [m for m in worker.said if isinstance(m, Failed | Stopped)]
    assert time.monotonic() - began < 20


# --- speech to text


@pytest.mark.parametrize(
    "how", [{"kind": "status", "status": 429}, {"kind": "close", "stage": "request", "code": 1008}], ids=str
)
async def test_an_stt_that_refuses_again_and_again_ends_the_call(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New, how: dict[str, Any]
) -> None:
    await fault(sandbox, "assemblyai", **how)
    worker = await fork()
    await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello."))
    await ended(worker, "stt", within_s=15)
    assert (await sandbox.state())["requests"]["assemblyai.connect"] <= 8


@pytest.mark.parametrize("code", [None, 3008, 1011])
async def test_an_stt_that_drops_the_connection_is_connected_again(
    greet: Greet, sandbox: Sandbox, code: int | None
) -> None:
    await sandbox.control("transcripts", {"texts": ["How are you?"]})
    worker, caller = await greet()
    await sandbox.control("disconnect", {"service": "assemblyai", "code": code})
    await asyncio.sleep(1)
    caller.say(QUESTION)
    assert (await worker.heard(Turn, 2, timeout_s=10)).user_text == "How are you?"
    await recovered(worker, "stt")


async def test_a_deaf_stt_is_left_for_a_new_session_and_the_caller_is_asked_again(
    greet: Greet, sandbox: Sandbox
) -> None:
    await sandbox.control("replies", {"replies": ["I am fine."] * 3})
    await fault(sandbox, "assemblyai", "silence", stage="request", count=1)
    worker, caller = await greet(stt_silence_s=2)
    caller.say(QUESTION)
    await said(worker, SORRY)
    await recovered(worker, "stt", since_s=3)  # the question, and the silence after it
    caller.say(QUESTION)
    # A new session's first words may be late, and the agent asks again before it answers: in whichever turn it does.
    await until(lambda: "I am fine." in heard(worker), 15, "the answer is heard")


async def test_an_stt_that_stays_deaf_ends_the_call_and_the_caller_is_asked_once(
    greet: Greet, sandbox: Sandbox
) -> None:
    """Not one message came in three sessions."""
    await fault(sandbox, "assemblyai", "silence", stage="request")
    worker, caller = await greet(stt_silence_s=1)
    caller.say(QUESTION)
    await said(worker, SORRY)
    caller.say(QUESTION)
    await ended(worker, "stt", within_s=20)
    assert sum(isinstance(m, Turn) and SORRY in m.heard_text for m in worker.said) == 1


async def test_hums_without_words_are_asked_about_once_and_blame_nobody(greet: Greet, sandbox: Sandbox) -> None:
    """Nor does a second key make a difference. Then the session's socket goes silent, which a ping shows."""
    await fault(sandbox, "assemblyai", "unheard")
    spare = {"assembly_fallback_api_key": "sandbox2"}
    worker, caller = await greet(stt_silence_s=1, **spare)
    for _ in range(3):
        caller.say("Mmmm mmmm mmmm.")
        await asyncio.sleep(3.5)
    await said(worker, SORRY)  # the hums pause it
    assert sum(isinstance(m, Turn) and SORRY in m.heard_text for m in worker.said) == 1
    assert not worker.faulty
    assert not [m for m in worker.said if isinstance(m, Faulty | Failed | Stopped)]
    assert (await sandbox.state())["requests"]["assemblyai.connect"] == 1

    await sandbox.control("reset", {})
    await fault(sandbox, "assemblyai", "frozen", count=1)
    await sandbox.control("transcripts", {"texts": ["How are you?"] * 2})
    caller.say(QUESTION)
    await worker.heard(Faulty, timeout_s=15)
    await recovered(worker, "stt")
    caller.say(QUESTION)
    await worker.heard(Turn, 3, timeout_s=10)


async def test_hold_music_keeps_the_call_the_agents_manners_and_the_memory(greet: Greet, sandbox: Sandbox) -> None:
    """A song that the VAD takes for speech and the recogniser makes no words of; then the caller is back."""
    await fault(sandbox, "assemblyai", "unheard")
    worker, caller = await greet(user_idle_prompt_s=4, user_idle_end_s=8, stt_silence_s=4)
    song = caller.say(" ".join(["Mmmm mmmm mmmm mmmm, mmmm mmmm."] * 10))
    await asyncio.sleep(5)
    before = resident_mb(worker.pid)
    await caller.has_spoken()
    assert resident_mb(worker.pid) - before < 8
    assert song > 15
    lines = [m.heard_text for m in worker.said if isinstance(m, Turn)]
    assert sum(SORRY in line for line in lines) <= 1
    assert len(lines) <= 3, "the agent is quiet"
    assert not [m for m in worker.said if isinstance(m, Faulty | Failed | Stopped)]

    await sandbox.control("reset", {})
    await sandbox.control("transcripts", {"texts": ["How are you?"]})
    await sandbox.control("replies", {"replies": ["I am fine."]})
    await asyncio.sleep(1)
    caller.say(QUESTION)
    await said(worker, "I am fine.")


def resident_mb(pid: int) -> float:
    """The process's private memory."""
    fields = dict(line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return sum(int(fields[name].split()[0]) for name in ("Private_Clean", "Private_Dirty")) / 1024


# --- the language model


@pytest.mark.parametrize(
    "how",
    [
        {"kind": "status", "status": 429, "count": 1},
        {"kind": "status", "status": 500, "count": 1},
        {"kind": "drop", "stage": "request", "count": 1},
        {"kind": "status", "status": 429, "retry_after_s": 60},
        {"kind": "status", "status": 503},
        {"kind": "silence", "stage": "request"},
        {"kind": "empty", "count": 1},
        {"kind": "empty"},
    ],
    ids=str,
)
async def test_an_answer_comes_from_a_second_try_or_the_second_model(
    greet: Greet, sandbox: Sandbox, how: dict[str, Any]
) -> None:
    await sandbox.control("replies", {"replies": ["I am fine."] * 3})
    await fault(sandbox, "groq", match={"model": "openai/gpt-oss-120b"}, **how)
    worker, caller = await greet(llm_fallback_model="openai/gpt-oss-20b", llm_read_timeout_s=1.5)
    await caller.type(QUESTION)
    await said(worker, "I am fine.", within_s=10)
    await recovered(worker, "llm", since_s=1.5 if how["kind"] == "silence" else 0)


@pytest.mark.parametrize(
    "how",
    [
        {"kind": "status", "status": 429},
        {"kind": "status", "status": 429, "retry_after_s": 3600},
        {"kind": "status", "status": 400},
        {"kind": "empty"},
    ],
    ids=str,
)
async def test_a_model_that_does_not_answer_is_asked_a_bounded_number_of_times_and_ends_the_call(
    greet: Greet, sandbox: Sandbox, how: dict[str, Any]
) -> None:
    await fault(sandbox, "groq", **how)
    worker, caller = await greet()
    for times in (1, 2):
        await caller.type(QUESTION)
        await said(worker, SORRY, times)
    await caller.type(QUESTION)
    await ended(worker, "llm", within_s=12)
    told = [m for m in worker.said if isinstance(m, Unanswered)]
    assert [(m.provider, m.broke_off) for m in told] == [("llm", False)] * 2
    assert all(m.ms > 0 and "NoAnswer: " in m.name and "; model " in m.name for m in told), told
    asked = (await sandbox.state())["requests"]["groq.chat"]
    lines = [m.said for m in worker.said if isinstance(m, Turn) and m.heard_text]
    assert lines[:3] == ["line", "sorry", "sorry"], "the opening line, and no answer"
    assert 3 <= asked <= 6  # for each of three turns one way, with one repeat


async def test_a_number_is_answered_though_all_default_models_are_at_their_limits(
    greet: Greet, sandbox: Sandbox
) -> None:
    """The caller is not asked to say it again: a number is a burden to repeat. The server asks for 9 s."""
    await sandbox.control("transcripts", {"texts": ["5550134992"]})
    thanks = "Thank you, I have your number."
    await sandbox.control("replies", {"replies": [thanks]})
    worker, caller = await greet(llm_model=None, llm_fallback_model=None)
    await fault(sandbox, "groq", "status", status=429, retry_after_s=9, count=3)
    caller.say("Five five.")  # the transcript is the whole number: a busy machine would tear ten digits apart
    await caller.has_spoken()
    spoken_at = time.monotonic()
    answer = await worker.heard(Turn, 2)
    assert (answer.user_text.rstrip("."), answer.heard_text) == ("5550134992", thanks)
    assert answer.stage_ms["llm"] < 5_000
    assert time.monotonic() - spoken_at < 10, "the server's 9 s were not waited for"
    await caller.hears_line(await sandbox.voice(thanks, "Ashley", 1.0))
    requests = [r["body"]["model"] for r in (await sandbox.state())["last_requests"] if r["service"] == "groq"]
    assert [*dict.fromkeys(requests)] == [*LLM_MODELS]
    await recovered(worker, "llm")


async def test_an_answer_that_breaks_off_counts_as_far_as_it_was_heard_and_the_call_goes_on(
    greet: Greet, sandbox: Sandbox
) -> None:
    answer = "This is my first sentence. " + "And this is another one. " * 10
    await sandbox.control("replies", {"replies": [answer, "Well."]})
    await fault(sandbox, "groq", "latency", latency_ms=1)
    await fault(sandbox, "groq", "drop", stage="answer", count=1)
    worker, caller = await greet()
    await caller.type("Tell me.")
    first = await worker.heard(Turn, 2, timeout_s=12)
    assert first.user_text == "Tell me."
    assert answer.startswith(first.heard_text)
    await said(worker, lines_in(None).broke_off)
    assert (await worker.heard(Unanswered)).broke_off
    assert [m.said for m in worker.said if isinstance(m, Turn)][1:3] == ["answer", "broke_off"]
    assert not any(SORRY in m.heard_text for m in worker.said if isinstance(m, Turn))
    await caller.type("Again.")
    await said(worker, "Well.")


# --- text to speech


async def test_a_voice_that_is_silent_once_says_it_again(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    await fault(sandbox, "inworld", "silence", stage="request", count=1)
    worker = await fork(tts_silence_s=1)
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello! How can I help you today?"))
    turn = await worker.heard(Turn, timeout_s=8)
    assert turn.heard_text == "Hello! How can I help you today?"
    await recovered(worker, "tts", since_s=1)
    await caller.hears_line(await sandbox.voice(turn.heard_text, "Ashley", 1.0))


@pytest.mark.parametrize("when", ["before", "amid"])
async def test_a_voice_whose_connection_drops_goes_on_over_a_new_one(greet: Greet, sandbox: Sandbox, when: str) -> None:
    worker, caller = await greet()
    if when == "amid":
        worker.send(Speak(text="One two three four five six seven eight nine ten eleven twelve thirteen."))
        await asyncio.sleep(0.4)
    await sandbox.control("disconnect", {"service": "inworld"})
    before = caller.loud_s
    worker.send(Speak(text="I am still here with you."))
    await said(worker, "am still here with you.")
    await recovered(worker, "tts")
    await until(lambda: caller.loud_s - before > 0.7)


@pytest.mark.parametrize("is_rendered", [True, False])
async def test_a_voice_that_falls_silent_ends_the_call_with_what_is_kept(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New, tmp_path: Path, is_rendered: bool
) -> None:
    apology = "I am sorry, this does not work today."
    await sandbox.control("replies", {"replies": ["I am fine."] * 3})
    worker = await fork(apology=apology, tts_silence_s=1.5)
    caller = person()
    client = Client().watch(caller.room)
    await caller.enter(session)
    log_file = tmp_path / "call.log" if is_rendered else None
    worker.send(go(livekit, session, opening_line="Hello.", log_file=str(log_file) if log_file else None))
    await worker.heard(Heard)
    await until(lambda: not is_rendered or list(tmp_path.glob("voices/apology-*.wav")), 8)
    line = await sandbox.voice(apology, "Ashley", 1.0)
    await fault(sandbox, "inworld", "silence")
    before = len(caller.recording)

    def loud_s() -> float:
        return sum(abs(caller.recording[before:].astype(int)) > 500) / RATE

    await caller.type(QUESTION)
    await ended(worker, "tts", within_s=15)
    last = [(m.user_text, m.heard_text, m.interrupted) for m in worker.said if isinstance(m, Turn)][-1]
    if is_rendered:
        await caller.hears_line(line)
        assert last == ("", apology, False), "the transcript has it, and so do the captions"
        await client.was_sent(lambda: client.streams[-1][2] == apology)
    else:
        assert last[1] != apology
        await until(lambda: loud_s() > 1)
        assert loud_s() < len(tones(RATE)) / 2 / RATE
    assert not [m for m in worker.said if isinstance(m, Turn) and m.heard_text == "I am fine."]


async def test_a_voice_that_cannot_be_reached_at_the_start_is_faulty_from_the_start(
    fork: Fork, livekit: LiveKitServer, session: str, person: New
) -> None:
    worker = await fork(inworld_base_url="ws://127.0.0.1:9/tts/v1/voice:streamBidirectional")
    await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello."))
    await ended(worker, "tts", within_s=10)
    faults = [message for message in worker.said if isinstance(message, Faulty)]
    assert {fault.provider for fault in faults} == {"tts"}
    assert max(fault.ago_ms for fault in faults) > 1_200  # both pauses between its tries


async def test_a_voice_that_does_not_exist_ends_the_call(
    fork: Fork, livekit: LiveKitServer, session: str, person: New
) -> None:
    worker = await fork(tts_silence_s=1.5)
    await person().enter(session)
    worker.send(go(livekit, session, voice_id="Nobody"))
    await worker.heard(Joined)
    await ended(worker, "tts", within_s=10)


async def test_speech_that_was_made_and_does_not_go_out_is_noticed(
    forks: Preloaded, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    worker = await ready(forks.fork(sandbox.config(), entry="tests.integration.agent_runner.mute_worker:run"))
    try:
        await person().enter(session)
        worker.send(go(livekit, session, opening_line="This is a long line that is never said to its end, sadly."))
        await worker.heard(Heard)
        stopped = await worker.heard(Stopped, timeout_s=8)
        assert (stopped.cause, stopped.detail[:4]) == ("failed", "mute")  # which another epoch takes over
        assert await worker.gone() == 0
    finally:
        worker.kill()
