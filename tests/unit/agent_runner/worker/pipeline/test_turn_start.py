"""What the floor does to the agent's audio."""

import asyncio

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    FunctionCallFromLLM,
    FunctionCallResultFrame,
    FunctionCallsStartedFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TranscriptionFrame,
    TTSSpeakFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)

from agent_runner.domain.floor import Rules
from agent_runner.worker.pipeline.turn_start import AskAgainFrame, FloorTurnStart, TakenUpFrame
from agent_runner.worker.providers.tools import END_CALL
from contracts.tools import RecordedTool
from tests.support.toolbox import toolbox

SOUND = VADUserStartedSpeakingFrame(start_secs=0.2)


class Voice:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pause(self) -> None:
        self.told.append("pause")

    async def resume(self) -> None:
        self.told.append("resume")


async def speaking(pause_after_s: float = 0.2) -> tuple[FloorTurnStart, Voice, list[str]]:
    """An agent that speaks; its voice, and the turns that began."""
    voice, turns = Voice(), list[str]()
    floor = FloorTurnStart(Rules(pause_after_s=pause_after_s, resume_after_s=0.05), voice)

    async def began(*_: object) -> None:
        turns.append("turn")

    floor.add_event_handler("on_user_turn_started", began)
    await floor.process_frame(BotStartedSpeakingFrame())
    return floor, voice, turns


async def test_a_sound_pauses_the_agent_and_words_begin_a_turn() -> None:
    floor, voice, turns = await speaking()
    await floor.process_frame(SOUND)
    assert voice.told == ["pause"]
    await floor.process_frame(TranscriptionFrame("Stop it.", "", ""))
    assert turns == ["turn"]
    await floor.cleanup()


async def test_words_of_the_agents_own_voice_are_not_told_as_the_callers() -> None:
    floor, _, turns = await speaking()
    told: list[str] = []
    floor.on_words = lambda heard: told.append(heard.text)
    floor.agent_said("We are open from nine to five.")
    for text in ("from nine to five", "Mhm.", "Stop it."):
        await floor.process_frame(TranscriptionFrame(text, "", ""))
    assert told == ["Mhm.", "Stop it."]
    assert turns == ["turn"]
    await floor.cleanup()


async def test_the_answer_for_which_a_tool_runs_is_not_cancelled_by_a_sound_after_the_filler() -> None:
    floor, voice, turns = await speaking()
    call = FunctionCallFromLLM(function_name="book", tool_call_id="1", arguments={}, context=None)
    await floor.process_frame(FunctionCallsStartedFrame(function_calls=[call]))
    await floor.process_frame(TTSSpeakFrame("One moment, please."))
    await floor.process_frame(BotStartedSpeakingFrame())
    await floor.process_frame(BotStoppedSpeakingFrame())
    await floor.process_frame(SOUND)
    assert (voice.told, turns) == (["pause"], [])
    await floor.process_frame(VADUserStoppedSpeakingFrame(stop_secs=0.2))
    await asyncio.sleep(0.1)
    await floor.process_frame(FunctionCallResultFrame("book", "1", {}, {"table": 7}))
    await floor.left_output(LLMFullResponseStartFrame())
    await floor.left_output(LLMFullResponseEndFrame())
    await floor.process_frame(SOUND)
    assert (voice.told, turns) == (["pause", "resume"], ["turn"])
    await floor.cleanup()


async def test_the_call_of_the_agents_own_end_is_nothing_that_the_caller_waits_for() -> None:
    floor, _, turns = await speaking()
    floor.end_call = toolbox((), [], end_call=True).end_call
    call = FunctionCallFromLLM(function_name=END_CALL.name, tool_call_id="1", arguments={}, context=None)
    await floor.process_frame(FunctionCallsStartedFrame(function_calls=[call]))
    await floor.process_frame(BotStoppedSpeakingFrame())
    await floor.process_frame(SOUND)
    assert turns == ["turn"]
    await floor.cleanup()


async def test_a_sessions_own_tool_with_the_name_of_the_agents_end_is_waited_for() -> None:
    floor, voice, turns = await speaking()
    own = RecordedTool(name=END_CALL.name, description="Files the call.", parameters={}, url="http://127.0.0.1/")
    floor.end_call = toolbox((own,), [], end_call=True).end_call
    call = FunctionCallFromLLM(function_name=own.name, tool_call_id="1", arguments={}, context=None)
    await floor.process_frame(FunctionCallsStartedFrame(function_calls=[call]))
    await floor.process_frame(BotStoppedSpeakingFrame())
    await floor.process_frame(SOUND)
    assert (voice.told, turns) == (["pause"], [])
    await floor.cleanup()


async def test_a_yes_at_the_agents_end_is_taken_up_and_told_once() -> None:
    floor, _, turns = await speaking()
    told: list[str] = []
    pushed: list[Frame] = []
    floor.on_words = lambda heard: told.append(heard.text)

    async def push(_: object, frame: Frame, *__: object) -> None:
        pushed.append(frame)

    floor.add_event_handler("on_push_frame", push)
    await floor.process_frame(TranscriptionFrame("Yes.", "", ""))
    await floor.process_frame(BotStoppedSpeakingFrame())
    taken_up = pushed[-1]
    assert isinstance(taken_up, TakenUpFrame)
    await floor.process_frame(taken_up)
    assert (told, turns) == (["Yes."], ["turn"])
    await floor.cleanup()


async def test_nothing_pauses_or_interrupts_the_last_words_of_a_call() -> None:
    floor, voice, turns = await speaking(pause_after_s=0.25)
    await floor.process_frame(SOUND)  # the pause is due in 0.05 s
    floor.close()
    await floor.process_frame(SOUND)
    await floor.process_frame(TranscriptionFrame("Stop it.", "", ""))
    await asyncio.sleep(0.1)
    assert (voice.told, turns) == ([], [])


async def test_a_protected_line_is_waited_for_until_its_last_word_is_heard() -> None:
    floor, *_ = await speaking()
    await floor.unprotected()
    floor.protect("By law I say this.")
    waiting = asyncio.create_task(floor.unprotected())
    floor.agent_said("By law I say this.")
    await asyncio.sleep(0.1)
    assert not waiting.done(), "the last word is told at its start"
    await floor.process_frame(BotStoppedSpeakingFrame())
    await asyncio.wait_for(waiting, 5)
    await floor.cleanup()


async def test_the_question_for_lost_words_is_asked_once_and_not_into_another_sound_or_the_last_words() -> None:
    floor, asked = FloorTurnStart(Rules(), Voice()), list[Frame]()

    async def push(_: object, frame: Frame, *__: object) -> None:
        asked.append(frame)

    floor.add_event_handler("on_push_frame", push)
    await floor.process_frame(SOUND)
    await floor.process_frame(AskAgainFrame("Sorry?"))
    assert asked == []
    await floor.process_frame(VADUserStoppedSpeakingFrame(stop_secs=0.2))
    for _ in range(2):
        await floor.process_frame(AskAgainFrame("Sorry?"))
    assert [frame.text for frame in asked if isinstance(frame, TTSSpeakFrame)] == ["Sorry?"]
    await floor.process_frame(BotStoppedSpeakingFrame())
    floor.close()
    await floor.process_frame(AskAgainFrame("Sorry?"))
    assert len(asked) == 1
