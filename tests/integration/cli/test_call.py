"""The caller in a real room, opposite a participant that stands in for the agent."""

import asyncio
import time
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from livekit import api, rtc

from contracts.captions import FINAL, SEGMENT, TOPIC
from contracts.rooms import room_shape
from greenroom_cli.call.audio import FRAME_SAMPLES, RATE, Samples, Speech, is_loud
from greenroom_cli.call.captions import Captions
from greenroom_cli.call.participant import Call
from greenroom_cli.errors import CommandError
from greenroom_cli.stack import Part, StackOptions, running_stack
from tests.support.waiting import until

ROOM = "session_1_a"
TONE = (6000 * np.sin(2 * np.pi * 300 * np.arange(RATE) / RATE)).astype(np.int16)


@dataclass(frozen=True)
class LiveKit:
    """A LiveKit server with one room."""

    url: str
    key: str
    secret: str

    def token(self, identity: str) -> str:
        grants = api.VideoGrants(room_join=True, room=ROOM)
        return api.AccessToken(self.key, self.secret).with_identity(identity).with_grants(grants).to_jwt()

    async def delete_room(self) -> None:
        async with api.LiveKitAPI(self.url, self.key, self.secret) as client:
            await client.room.delete_room(api.DeleteRoomRequest(room=ROOM))


@pytest.fixture
async def livekit(tmp_path: Path) -> AsyncIterator[LiveKit]:
    async with running_stack(tmp_path / "state", StackOptions(parts={Part.LIVEKIT})) as stack:
        names = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
        server = LiveKit(*(stack.environment[name] for name in names))
        async with api.LiveKitAPI(server.url, server.key, server.secret) as client:
            await client.room.create_room(api.CreateRoomRequest(name=ROOM, **room_shape(30)))
        yield server


class StandIn:
    """Joins as the agent, says one second of a tone when told to, and notes how much of the caller it hears."""

    def __init__(self) -> None:
        self.room = rtc.Room()
        self.loud_ms = 0
        self.is_subscribed = asyncio.Event()
        self.source = rtc.AudioSource(RATE, 1)
        self._tasks: list[asyncio.Task[None]] = []
        self.room.on("track_subscribed", self._on_track)

    async def join(self, livekit: LiveKit) -> None:
        """Publish, and wait until caller and agent have subscribed to each other's track."""
        await self.room.connect(livekit.url, livekit.token(f"agent:{ROOM}"))
        voice = rtc.LocalAudioTrack.create_audio_track("voice", self.source)
        publication = await self.room.local_participant.publish_track(voice)
        async with asyncio.timeout(20):
            await publication.wait_for_subscription()
            await self.is_subscribed.wait()

    async def say(self, samples: Samples) -> None:
        for start in range(0, len(samples), FRAME_SAMPLES):
            frame = samples[start : start + FRAME_SAMPLES]
            await self.source.capture_frame(rtc.AudioFrame(frame.tobytes(), RATE, 1, len(frame)))

    async def caption(self, segment: str, *versions: str, is_final: bool = True) -> None:
        """Send a caption that grows, as the agent does: its last attributes say that it is final."""
        attributes = {SEGMENT: segment, FINAL: "false"}
        writer = await self.room.local_participant.stream_text(topic=TOPIC, attributes=attributes)
        for before, text in pairwise(("", *versions)):
            await writer.write(text.removeprefix(before))
        await writer.aclose(attributes={SEGMENT: segment, FINAL: str(is_final).lower()})

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.room.disconnect()
        await self.source.aclose()

    def _on_track(self, track: rtc.Track, _publication: object, _participant: object) -> None:
        self._tasks.append(asyncio.create_task(self._listen(track)))
        self.is_subscribed.set()

    async def _listen(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=20)
        try:
            async for event in stream:
                self.loud_ms += 20 * is_loud(np.frombuffer(event.frame.data, dtype=np.int16))
        finally:
            await stream.aclose()


@pytest.fixture
async def agent() -> AsyncIterator[StandIn]:
    stand_in = StandIn()
    yield stand_in
    await stand_in.leave()


async def test_caller_and_agent_hear_each_other(livekit: LiveKit, agent: StandIn, tmp_path: Path) -> None:
    fed: list[Samples] = []
    async with Call(tmp_path / "heard.wav", fed.append) as call:
        await call.join(livekit.url, livekit.token(f"caller:{ROOM}"))
        before = time.monotonic()
        await agent.join(livekit)
        assert await call.agent_joined(5) >= before
        await asyncio.sleep(0.5)  # a subscription takes a moment more, and what is said before is not heard
        await agent.say(TONE)
        utterance = await call.listen(10)
        assert await call.first_sound(1) == utterance.began_at

        said_at = await call.say(Speech("tone", TONE))
        await until(lambda: agent.loud_ms >= 800, 10)
        await asyncio.sleep(0.3)

    assert 800 <= utterance.end_ms - utterance.start_ms <= 1200
    assert said_at > utterance.ended_at
    assert agent.loud_ms <= 1300, "the caller's second of sound, and nothing of its silence"
    with wave.open(str(tmp_path / "heard.wav")) as file:
        recorded = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
    assert len(recorded) == sum(len(frame) for frame in fed)
    assert np.abs(recorded).max() > 2000


async def test_the_agents_final_captions_are_shown_once_each(livekit: LiveKit, agent: StandIn, tmp_path: Path) -> None:
    shown: list[str] = []
    captions = Captions(shown.append)
    async with Call(tmp_path / "heard.wav", lambda _: None, captions) as call:
        await call.join(livekit.url, livekit.token(f"caller:{ROOM}"))
        await agent.join(livekit)
        await agent.caption("1", "Hello", "Hello, this is Max.")
        await agent.caption("1", "Hello, this is Max.")  # a second time, as after a broken connection
        await agent.caption("2", "Good", is_final=False)
        await agent.caption("3", "Goodbye.")
        await until(lambda: len(shown) == 2, 10)
        await asyncio.sleep(0.2)

    assert captions.came
    assert shown == ["Hello, this is Max.", "Goodbye."]


async def test_without_an_agent_the_wait_ends_at_its_deadline(livekit: LiveKit, tmp_path: Path) -> None:
    async with Call(tmp_path / "heard.wav", lambda _: None) as call:
        await call.join(livekit.url, livekit.token(f"caller:{ROOM}"))
        with pytest.raises(CommandError, match=r"no agent in the room within 0\.3 s"):
            await call.agent_joined(0.3)


async def test_a_room_that_is_closed_ends_every_wait(livekit: LiveKit, tmp_path: Path) -> None:
    async with Call(tmp_path / "heard.wav", lambda _: None) as call:
        await call.join(livekit.url, livekit.token(f"caller:{ROOM}"))
        waiting = asyncio.create_task(call.listen(30))
        await livekit.delete_room()

        async with asyncio.timeout(10):
            with pytest.raises(CommandError, match="and the room was closed: ROOM_DELETED"):
                await waiting
            assert await call.closed() == "ROOM_DELETED"


async def test_a_room_that_does_not_exist_is_an_error_that_names_livekit(livekit: LiveKit, tmp_path: Path) -> None:
    await livekit.delete_room()
    async with Call(tmp_path / "heard.wav", lambda _: None) as call:
        with pytest.raises(CommandError, match="cannot join the room at ws://"):
            await call.join(livekit.url, livekit.token(f"caller:{ROOM}"))
