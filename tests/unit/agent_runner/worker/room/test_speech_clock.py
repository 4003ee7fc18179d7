"""The clock that stands still while the caller cannot hear the agent."""

import asyncio

from agent_runner.worker.room.speech_clock import SpeechClock


async def test_a_word_that_begins_where_the_clock_stands_waits_until_it_runs() -> None:
    clock = SpeechClock()
    for _ in range(2):
        reaching = asyncio.create_task(clock.reach(clock.get_time()))
        await asyncio.sleep(0.02)
        assert not reaching.done()
        clock.run()
        await reaching
        clock.stop()


async def test_a_word_that_began_before_does_not_wait() -> None:
    clock = SpeechClock()
    clock.run()
    began = clock.get_time()
    await asyncio.sleep(0.01)
    clock.stop()
    async with asyncio.timeout(1):
        await clock.reach(began)
