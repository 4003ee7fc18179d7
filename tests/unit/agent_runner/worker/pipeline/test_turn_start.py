"""What the floor does to the agent's audio."""

import asyncio

from pipecat.frames.frames import BotStartedSpeakingFrame, TranscriptionFrame, VADUserStartedSpeakingFrame

from agent_runner.domain.floor import Rules
from agent_runner.worker.pipeline.turn_start import FloorTurnStart

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


async def test_nothing_pauses_or_interrupts_the_last_words_of_a_call() -> None:
    floor, voice, turns = await speaking(pause_after_s=0.25)
    await floor.process_frame(SOUND)  # the pause is due in 0.05 s
    floor.close()
    await floor.process_frame(SOUND)
    await floor.process_frame(TranscriptionFrame("Stop it.", "", ""))
    await asyncio.sleep(0.1)
    assert (voice.told, turns) == ([], [])
