"""The agent's audio at pauses and resumes that follow each other at once."""

import asyncio
import time
from typing import Any, cast

import pytest
from livekit import rtc

from agent_runner.worker.room.valve import Valve

RATE = 48_000


class Source:
    """LiveKit's queue: keeps what it takes until it is cleared, and takes it slowly while `takes` is not set."""

    sample_rate = RATE

    def __init__(self) -> None:
        self.queued = b""
        self.takes = asyncio.Event()
        self.takes.set()

    @property
    def queued_duration(self) -> float:
        return len(self.queued) / 2 / RATE

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        self.queued += bytes(frame.data)
        await self.takes.wait()

    def played(self) -> None:
        """The caller has heard it."""
        self.queued = b""

    def clear_queue(self) -> None:
        self.queued = b""


def frame(samples: int) -> rtc.AudioFrame:
    return rtc.AudioFrame(bytes(range(256)) * (samples // 128), RATE, 1, samples)


async def speaking() -> tuple[Valve, Source, bytes]:
    """A valve with 100 ms of speech in LiveKit's queue."""
    source = Source()
    valve = Valve(lambda: cast(Any, source))
    valve.ready()
    said = frame(RATE // 10 // 128 * 128)
    valve.writes(said)
    await source.capture_frame(said)
    return valve, source, bytes(said.data)


async def about_to_go_on() -> tuple[Valve, Source, asyncio.Task[None]]:
    """A paused valve whose resume waits for LiveKit's queue."""
    valve, source, _ = await speaking()
    valve.pause()
    source.takes.clear()
    resuming = asyncio.create_task(valve.resume())
    await asyncio.sleep(0)
    return valve, source, resuming


async def test_a_pause_while_the_agent_is_about_to_go_on_holds_it_and_loses_nothing() -> None:
    valve, source, said = await speaking()
    valve.pause()
    assert (valve.is_paused, source.queued) == (True, b"")
    source.takes.clear()
    resuming = asyncio.create_task(valve.resume())
    await asyncio.sleep(0)
    valve.pause()
    again = asyncio.create_task(valve.resume())  # waits for LiveKit
    await asyncio.sleep(0)
    valve.pause()
    source.takes.set()
    await resuming
    await again
    assert (valve.is_paused, source.queued) == (True, b"")
    await valve.resume()
    assert (valve.is_paused, source.queued) == (False, said)
    assert await valve.passes()


async def test_an_interruption_while_the_agent_is_about_to_go_on_lets_later_audio_pass() -> None:
    valve, source, resuming = await about_to_go_on()
    valve.cut()
    source.takes.set()
    await resuming
    assert (valve.is_paused, source.queued) == (False, b"")


async def test_an_agent_that_leaves_while_it_is_about_to_go_on_does_not_write() -> None:
    valve, source, resuming = await about_to_go_on()
    valve.not_ready()
    source.takes.set()
    await resuming
    passing = asyncio.create_task(valve.passes())
    await asyncio.sleep(0)
    assert not passing.done()
    valve.ready()
    assert await passing


async def test_a_caller_who_comes_back_hears_what_waited() -> None:
    valve, source, said = await speaking()
    valve.away()
    assert (valve.is_paused, source.queued) == (True, b"")
    passing = asyncio.create_task(valve.passes())
    await asyncio.sleep(0)
    await valve.back(valve.absences)
    assert (valve.is_paused, source.queued) == (False, said)
    assert await passing


async def test_the_agent_goes_on_when_the_caller_is_back_and_silent() -> None:
    valve, source, said = await speaking()
    valve.pause()
    valve.away()
    await valve.resume()
    assert valve.is_paused, "nobody is there"
    valve.pause()
    await valve.back(valve.absences)
    assert valve.is_paused, "the caller makes a sound"
    assert source.queued == b""
    await valve.resume()
    assert (valve.is_paused, source.queued) == (False, said)


async def test_what_is_said_after_an_interruption_waits_for_the_caller_who_left() -> None:
    valve, source, _ = await speaking()
    valve.away()
    before = asyncio.create_task(valve.passes())
    await asyncio.sleep(0)
    valve.cut()
    after = asyncio.create_task(valve.passes())
    await asyncio.sleep(0)
    assert not after.done()
    await valve.back(valve.absences)
    assert source.queued == b""
    assert (await before, await after) == (False, True)


async def test_a_caller_who_left_before_it_heard_anything_is_waited_for() -> None:
    valve = Valve(lambda: cast(Any, Source()))
    valve.away()
    valve.ready()
    passing = asyncio.create_task(valve.passes())
    await asyncio.sleep(0)
    assert not passing.done()
    await valve.back(valve.absences)
    assert await passing


async def test_a_caller_who_leaves_as_it_comes_back_is_still_waited_for() -> None:
    valve, source, said = await speaking()
    valve.away()
    returning = asyncio.create_task(valve.back(valve.absences))
    valve.away()
    await returning
    assert (valve.is_paused, source.queued) == (True, b"")
    await valve.back(valve.absences)
    assert (valve.is_paused, source.queued) == (False, said)


async def test_a_sound_while_the_callers_return_waits_for_livekits_queue_does_not_hold_the_agent_for_ever() -> None:
    valve, source, resuming = await about_to_go_on()
    valve.away()
    returning = asyncio.create_task(valve.back(valve.absences))
    await asyncio.sleep(0)
    valve.pause()
    source.takes.set()
    await asyncio.gather(resuming, returning)
    assert valve.is_paused
    await valve.resume()
    assert not valve.is_paused


async def test_a_queue_that_takes_nothing_does_not_hold_the_agent_for_ever() -> None:
    valve, _, resuming = await about_to_go_on()
    async with asyncio.timeout(3):
        await resuming
    assert await valve.passes()


async def test_what_a_caller_missed_is_said_again_before_the_agent_goes_on() -> None:
    valve, source, said = await speaking()
    source.played()
    more = frame(RATE // 10 // 128 * 128)
    valve.writes(more)
    await source.capture_frame(more)
    valve.lost(1.5)
    assert (valve.is_paused, source.queued) == (True, b"")
    assert valve.missed_s == len(said) / 2 / RATE
    before = valve.clock.get_time()
    finding = asyncio.create_task(valve.found())
    await asyncio.sleep(0.05)
    assert (source.queued, valve.clock.get_time()) == (said, before), "its words have counted"
    source.played()
    await finding
    assert (valve.is_paused, source.queued) == (False, bytes(more.data))


async def test_what_was_said_long_before_the_network_was_lost_is_not_said_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    valve, source, _ = await speaking()
    source.played()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 2)
    valve.lost(1.5)
    assert valve.missed_s == 0
    monkeypatch.undo()
    await valve.found()
    assert (valve.is_paused, source.queued) == (False, b"")


async def test_an_interruption_ends_what_is_said_again() -> None:
    valve, source, _ = await speaking()
    source.played()
    valve.lost(1.5)
    finding = asyncio.create_task(valve.found())
    await asyncio.sleep(0.02)
    valve.cut()
    await finding
    assert (valve.is_paused, source.queued) == (False, b"")


async def test_a_network_that_is_lost_while_the_caller_makes_a_sound_holds_the_agent_after_it() -> None:
    valve, source, said = await speaking()
    valve.pause()
    valve.lost(1.5)
    await valve.resume()
    assert valve.is_paused
    await valve.found()
    assert (valve.is_paused, source.queued) == (False, said)


async def going_on_after_a_loss() -> tuple[Valve, Source, bytes, bytes, asyncio.Task[None]]:
    """A valve that says again 0.3 s that the caller missed, before 0.1 s that waits; the first 0.1 s is queued."""
    valve, source, _ = await speaking()
    said = frame(RATE // 10 // 128 * 128)
    for _ in range(2):
        source.played()
        valve.writes(said)
        await source.capture_frame(said)
    source.played()
    last = rtc.AudioFrame(bytes(reversed(said.data.cast("b").tobytes())), RATE, 1, said.samples_per_channel)
    valve.writes(last)
    await source.capture_frame(last)
    valve.lost(1.5)
    source.takes.clear()
    finding = asyncio.create_task(valve.found())
    await asyncio.sleep(0)
    return valve, source, 3 * bytes(said.data), bytes(last.data), finding


async def let_out(valve: Valve, source: Source, going_on: asyncio.Task[None]) -> bytes:
    """All that goes out until the agent has gone on."""
    out = b""
    await asyncio.sleep(0)
    while valve.is_paused:
        out += source.queued
        source.played()
        await asyncio.sleep(0)
    await going_on
    return out + source.queued


@pytest.mark.parametrize("holds", ["pause", "away", "lost"])
async def test_a_hold_while_it_is_said_again_loses_nothing_of_it_and_nothing_of_what_waits(holds: str) -> None:
    valve, source, missed, unplayed, finding = await going_on_after_a_loss()
    before = valve.clock.get_time()
    match holds:
        case "pause":
            valve.pause()
        case "away":
            valve.away()
        case _:
            valve.lost(1.5)
    source.takes.set()
    await finding
    assert (valve.is_paused, source.queued) == (True, b"")
    match holds:
        case "pause":
            going_on = asyncio.create_task(valve.resume())
        case "away":
            going_on = asyncio.create_task(valve.back(valve.absences))
        case _:
            going_on = asyncio.create_task(valve.found())
    assert await let_out(valve, source, going_on) == missed + unplayed
    assert valve.clock.get_time() - before < 1e9 / 10, "what the caller missed has counted"


async def test_a_caller_who_makes_a_sound_can_interrupt_what_is_said_again_after_it() -> None:
    valve, source, _, _, finding = await going_on_after_a_loss()
    valve.pause()
    source.takes.set()
    await finding
    async with asyncio.timeout(0.05):
        await valve.resume()
    assert valve.is_paused
    await asyncio.sleep(0.02)
    valve.cut()
    await asyncio.sleep(0.02)
    assert (valve.is_paused, source.queued) == (False, b"")


async def test_a_network_that_is_lost_again_after_it_was_said_again_has_it_said_again_once_more() -> None:
    valve, source, missed, unplayed, finding = await going_on_after_a_loss()
    source.takes.set()
    assert await let_out(valve, source, finding) == missed + unplayed
    valve.lost(1.5)
    going_on = asyncio.create_task(valve.found())
    assert await let_out(valve, source, going_on) == missed + unplayed


async def test_what_was_sent_into_the_gap_before_a_pause_is_said_again() -> None:
    valve, source, said = await speaking()
    source.played()
    valve.writes(frame(RATE // 10 // 128 * 128))
    await source.capture_frame(frame(RATE // 10 // 128 * 128))
    valve.pause()
    valve.lost(1.5)
    await valve.resume()
    going_on = asyncio.create_task(valve.found())
    await asyncio.sleep(0)
    assert await let_out(valve, source, going_on) == 2 * said
