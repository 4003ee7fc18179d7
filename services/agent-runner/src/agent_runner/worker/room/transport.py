"""LiveKit's transport: ready before its room is known, hears only the caller, speaks once the caller can hear it.

Pipecat's own joins the room while the pipeline is set up, mixes the audio of all participants into one stream, and
writes audio before any participant subscribes. We replace its client and keep its input and output.
"""

# pyright: standard

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from livekit import rtc
from loguru import logger
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.transports.livekit.transport import LiveKitParams, LiveKitTransport

from agent_runner.domain.audience import Audience, AudienceStep, CallerHears, CallerPresent
from agent_runner.worker.room import livekit_proxy, nagle
from agent_runner.worker.room.caller_audio import CallerAudio
from agent_runner.worker.room.front_end import FrontEndLink
from agent_runner.worker.room.valve import Valve
from chassis.redaction import without_identity

_CONNECT_S: Final = 3.0
_WRITE_S: Final = 10.0  # a room that takes no audio for so long is lost; Pipecat closes the output at a TimeoutError
_QUEUE_MS: Final = 200  # with LiveKit's 1000 Pipecat reports the end of speech a second early
_PLAYOUT_S: Final = 1.5
_FLIGHT_S: Final = 0.25  # audio in the network and in the caller's jitter buffer, which LiveKit discards when we leave
_PACKET_S: Final = 0.05  # the end of a caption, which LiveKit discards when it comes behind our leave


class JoinFailed(Exception):
    """The room could not be joined; the text says why and names the fix."""


@dataclass(frozen=True, slots=True)
class RoomListener:
    """Callbacks for what happens in the room.

    Attributes:
        caller: The caller's media came up (True), or the caller left (False).
        heard: The first audio was written while the caller was subscribed; once.
        removed: LiveKit removed the agent, for LiveKit's own reason, such as DUPLICATE_IDENTITY.
    """

    caller: Callable[[bool], None]
    heard: Callable[[], None]
    removed: Callable[[str], None]


class WarmClient(CallerAudio):
    """Sets up without joining; `join` and `leave` do that later.

    Attributes:
        valve: The agent's audio.
    """

    listener: RoomListener

    def __init__(
        self,
        params: LiveKitParams,
        callbacks: Any,
        transport_name: str,
        front_end: Callable[[Callable[[], str]], FrontEndLink],
    ) -> None:
        super().__init__(params, callbacks, transport_name)
        self.front_end = front_end(lambda: self._audience.caller)
        self.valve = Valve(lambda: self._audio_source)
        self._was_heard = False
        self._setup: FrameProcessorSetup | None = None

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """Make the room object and the track. The input and the output both call this."""
        self._setup = setup
        is_first = self._task_manager is None
        await super().setup(setup)
        if is_first:
            self._make_track()
            self.front_end.attach(self.room)
            others = self.get_participants
            self.room.on(
                "local_track_subscribed",
                lambda _: self._take(self._audience.subscribed(others(), is_recorded=self.room.is_recording)),
            )
            self.room.on("participant_active", lambda one: self._take(self._audience.active(one.identity, others())))

    def _make_track(self) -> rtc.LocalAudioTrack:
        self._audio_source = rtc.AudioSource(self._out_sample_rate, 1, self._params.audio_out_queue_size_ms)
        self._audio_track = rtc.LocalAudioTrack.create_audio_track("agent", self._audio_source)
        return self._audio_track

    async def connect(self) -> None:  # pyright: ignore[reportIncompatibleVariableOverride] - not retried
        """Called by the pipeline's set-up: only counts, for `disconnect`."""
        self._disconnect_counter += 1

    async def join(self, url: str, token: str, caller_identity: str, *, listens: bool = True) -> None:
        """Join the room and publish the track.

        Args:
            listens: False: take no audio from the caller until `listen`.

        Raises:
            JoinFailed: Within a few seconds; Pipecat's own retries would wait 4 to 10 s each.
        """
        self._audience = Audience(caller_identity, is_ahead=not listens, in_room=self._audience.in_room)
        self._listens = listens
        self.valve.not_ready()
        self.front_end.captions.not_ready()
        try:
            # One peer connection: with two, ICE misses its first checks in half of the joins, at 48 ms each.
            options = rtc.RoomOptions(single_peer_connection=True, connect_timeout=_CONNECT_S)
            livekit_proxy.heed_no_proxy(url)
            async with nagle.off(url):
                await self.room.connect(url, token, options)
            self._participant_id = self.room.local_participant.identity
            self._take(self._audience.connected(self.get_participants()))
            self._connected = True
            track = self._audio_track or self._make_track()
            publishing = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
            await self.room.local_participant.publish_track(track, publishing)
        except Exception as error:
            self._connected = False
            raise JoinFailed(_why(error, livekit_proxy.in_force(url))) from error
        self.front_end.joined(self.room)
        await self._callbacks.on_connected()
        for identity in self.get_participants():
            await self._participant_connected(identity)

    async def rejoin(self, url: str, token: str) -> None:
        """Join again after LiveKit removed the agent, with a new room object: the old one keeps its participants.

        Raises:
            JoinFailed: As in `join`.
        """
        await self._close_all_streams()
        if self._audio_source is not None:
            await self._audio_source.aclose()
        if self._setup is not None:
            self._task_manager = None  # makes `setup` start from the beginning
            await self.setup(self._setup)
        self.front_end.succeeds = True
        await self.join(url, token, self._audience.caller)

    async def played_out(self) -> None:
        """Wait until the caller has heard the written audio."""
        if self._connected and self.valve.is_ready and self._audio_source is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._audio_source.wait_for_playout(), _PLAYOUT_S)
            await self.front_end.captions.finish()
            await asyncio.sleep(_FLIGHT_S)

    async def leave(self) -> None:
        """Leave the room. Without this the agent stays in the room for 20 s after its process exits."""
        if self._connected:
            self._connected = False
            if await self.front_end.captions.finish():
                await asyncio.sleep(_PACKET_S)
            await self.room.disconnect()

    async def disconnect(self) -> None:
        """Called at the pipeline's end: leave once the written audio is heard."""
        if self._disconnect_counter <= 1:
            await self.played_out()
        await super().disconnect()

    async def publish_audio(self, audio_frame: rtc.AudioFrame) -> bool:
        """Write a frame, once the caller can hear it. An interruption discards one that waits.

        Raises:
            TimeoutError: The room did not take it.
        """
        if not await self.valve.passes():
            return False
        self.valve.writes(audio_frame)
        async with asyncio.timeout(_WRITE_S):
            written = await super().publish_audio(audio_frame)
        if written and not self._was_heard:
            self._was_heard = True
            self.listener.heard()
        return written

    def _take(self, step: AudienceStep) -> None:
        self._audience, effects = step
        for effect in effects:
            if not isinstance(effect, CallerPresent) or effect.in_room:
                self.front_end.captions.ready()
            if isinstance(effect, CallerHears):
                asyncio.get_running_loop().call_later(effect.after_s, self._hears, self.valve.absences)
                continue
            if not effect.in_room:
                self.valve.away()
            self.listener.caller(effect.in_room)

    def _hears(self, absences: int) -> None:
        """The caller can hear the agent, unless it has left since."""
        if self._task_manager is not None:
            self._task_manager.create_task(self.valve.back(absences), f"{self}::back")

    async def _participant_connected(self, participant_id: str) -> None:
        participant = self.room.remote_participants.get(participant_id)
        is_active = participant is not None and participant.state == rtc.ParticipantState.PARTICIPANT_STATE_ACTIVE
        self._take(self._audience.arrived(participant_id, self.get_participants(), is_active=is_active))
        if participant_id == self._audience.caller:
            await super()._participant_connected(participant_id)
        else:
            logger.warning("a participant other than the caller joined; the agent does not hear it")

    async def _async_on_participant_disconnected(self, participant: rtc.RemoteParticipant) -> None:
        self._take(self._audience.left(participant.identity))
        self.front_end.captions.left(participant.identity)
        await super()._async_on_participant_disconnected(participant)

    async def _async_on_track_subscribed(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        self._take(self._audience.published(participant.identity, self.get_participants()))
        await super()._async_on_track_subscribed(track, publication, participant)

    async def _async_on_data_received(self, data: rtc.DataPacket) -> None:
        """Ignore packets: the caller's text comes as text streams."""

    def _on_disconnected_wrapper(
        self, reason: rtc.DisconnectReason.ValueType = rtc.DisconnectReason.UNKNOWN_REASON
    ) -> None:
        """Report the reason, which Pipecat's own discards."""
        if self._connected:
            self._connected = False
            self._take(self._audience.disconnected())
            self.listener.removed(rtc.DisconnectReason.Name(reason))


class WarmTransport(LiveKitTransport):
    """A LiveKit transport around a `WarmClient`."""

    def __init__(
        self,
        *,
        in_sample_rate: int,
        out_sample_rate: int,
        typed: Callable[[str], None],
        shows_captions: bool,
        longest_typed: int,
        suppresses_noise: bool,
    ) -> None:
        """Make the transport; `typed` and the two after it are `FrontEndLink`'s."""
        front_end = partial(FrontEndLink, typed=typed, shows=shows_captions, longest=longest_typed)
        params = LiveKitParams(
            audio_in_enabled=True,
            audio_in_sample_rate=in_sample_rate,
            audio_out_enabled=True,
            audio_out_sample_rate=out_sample_rate,
            audio_out_queue_size_ms=_QUEUE_MS,
            audio_out_end_silence_secs=0,  # the client waits for the end of the playout instead
        )
        # A write waits for a caller who is not in the room, for as long as the scheduler allows.
        params.audio_out_write_timeout_secs = None  # pyright: ignore[reportAttributeAccessIssue]
        super().__init__("", "", "", params)
        self.client = WarmClient(params, self._client._callbacks, self.name, front_end)
        self.client.suppresses_noise = suppresses_noise
        self._client = self.client

    def stop_listening(self) -> None:
        """Ignore the caller's audio from now on."""
        self._params.audio_in_enabled = False


def _why(error: Exception, proxy: str | None = None) -> str:
    """LiveKit's error as one line with a fix; the text contains the URL and never the token.

    Args:
        proxy: The name of the variable whose proxy the SDK uses, if it uses one.
    """
    text = " ".join(without_identity(str(error)).split())[:300] or type(error).__name__
    lowered = text.lower()
    if (
        "401" in lowered
        or "unauthorized" in lowered
        or "invalid token" in lowered
        or "invalid authorization" in lowered
    ):
        return (
            f"LiveKit refused the token ({text}); mint it with the server's own LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
        )
    if "404" in lowered or "does not exist" in lowered:
        return f"the room does not exist ({text}); create it first"
    if proxy is not None:
        return (
            f"LiveKit could not be reached through the proxy of {proxy} ({text}); add LiveKit's host to NO_PROXY if it "
            "needs no proxy, else check the proxy"
        )
    return f"LiveKit could not be reached ({text}); check LIVEKIT_URL and that the server is up"
