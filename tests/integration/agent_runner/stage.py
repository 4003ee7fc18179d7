"""A room with its caller, and the agent that a node sends there."""

from contextlib import suppress
from uuid import uuid4

from livekit import api, rtc

from contracts.ids import agent_identity, caller_identity
from contracts.rooms import room_shape
from sandbox.speech.espeak import Espeak, Voice
from tests.integration.agent_runner.node_process import Driver
from tests.support.servers import LiveKitServer

RATE = 22_050  # espeak's


class Stage:
    """A room with its caller, and the agent's side of it on the node."""

    def __init__(self, drive: Driver, livekit: LiveKitServer, rooms: api.LiveKitAPI) -> None:
        self.drive = drive
        self.session = f"session_{uuid4().hex}"
        self.caller = rtc.Room()
        self._source = rtc.AudioSource(RATE, 1, queue_size_ms=20_000)
        self._livekit = livekit
        self._rooms = rooms

    async def open(self) -> None:
        await self._rooms.room.create_room(api.CreateRoomRequest(name=self.session, **room_shape(30)))

    async def close(self) -> None:
        """Send everyone out, so that the node's worker ends."""
        await self.caller.disconnect()
        with suppress(api.TwirpError):  # a test deleted the room
            await self._rooms.room.delete_room(api.DeleteRoomRequest(room=self.session))

    async def enter(self) -> None:
        """With a microphone: LiveKit tells of a participant who publishes nothing up to 3 s late."""
        await self.caller.connect(self._livekit.url, self._livekit.token(self.session, caller_identity(self.session)))
        microphone = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        await self.caller.local_participant.publish_track(microphone)

    async def start(self, **changes: object) -> int:
        token = self._livekit.token(self.session, agent_identity(self.session))
        return await self.drive.start(self.session, "Be kind.", url=self._livekit.url, token=token, **changes)

    async def people(self) -> set[str]:
        found = await self._rooms.room.list_participants(api.ListParticipantsRequest(room=self.session))
        return {person.identity for person in found.participants}

    async def say(self, text: str) -> None:
        """Speak into the microphone, and be silent for as long as it takes to be taken for done."""
        speech = Espeak().speak(text, Voice("en-us"))
        assert speech.sample_rate == RATE
        pcm = speech.pcm + bytes(2 * RATE * 3)
        await self._source.capture_frame(rtc.AudioFrame(pcm, RATE, 1, len(pcm) // 2))
