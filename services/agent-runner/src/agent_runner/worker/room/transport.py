"""LiveKit's transport: ready before its room is known, hears only the caller, speaks once the caller can hear it.

Pipecat's own joins the room while the pipeline is set up, mixes the audio of all participants into one stream, and
writes audio before any participant subscribes. We replace its client and keep its input and output.
"""

# pyright: standard

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from chassis.redaction import without_identity
from livekit import rtc
from loguru import logger
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.transports.livekit.transport import LiveKitParams, LiveKitTransport, LiveKitTransportClient

from agent_runner.worker.room import livekit_proxy, nagle

_CONNECT_S: Final = 3.0
_WRITE_S: Final = 10.0  # a room that takes no audio for so long is lost; Pipecat then closes the output
# Delay from LiveKit reporting a late caller's subscription to our first audio; in 16 trials none was lost even at 0.
_EAR_S: Final = 0.05
_TOLD_EAR_S: Final = 0.3  # the same from LiveKit reporting the caller as present, if another participant came first
_IN_FRAME_MS: Final = 32  # one window of the VAD
_QUEUE_MS: Final = 200  # with LiveKit's 1000 Pipecat reports the end of speech a second early
_PLAYOUT_S: Final = 1.5
_FLIGHT_S: Final = 0.25  # audio in the network and in the caller's jitter buffer, which LiveKit discards when we leave


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


class WarmClient(LiveKitTransportClient):
    """Sets up without joining; `join` and `leave` do that later."""

    listener: RoomListener
    caller_identity: str = ""
    caller_in_room: bool = False

    def __init__(self, params: LiveKitParams, callbacks: Any, transport_name: str) -> None:
        super().__init__("", "", "", params, callbacks, transport_name)
        self._ear = asyncio.Event()
        self._caller_was_first = False
        self._was_heard = False
        self._is_subscribed = False
        self._is_deaf = False
        self._was_ahead = False
        self._unheard: tuple[rtc.Track, rtc.RemoteTrackPublication, rtc.RemoteParticipant] | None = None
        self._setup: FrameProcessorSetup | None = None

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """Make the room object and the track. The input and the output both call this."""
        self._setup = setup
        is_first = self._task_manager is None
        await super().setup(setup)
        if is_first:
            self._make_track()
            self.room.on("local_track_subscribed", self._on_subscribed)
            self.room.on("participant_active", self._on_active)

    def _make_track(self) -> rtc.LocalAudioTrack:
        self._audio_source = rtc.AudioSource(self._out_sample_rate, 1, self._params.audio_out_queue_size_ms)
        self._audio_track = rtc.LocalAudioTrack.create_audio_track("agent", self._audio_source)
        return self._audio_track

    async def connect(self) -> None:  # pyright: ignore[reportIncompatibleVariableOverride] - not retried
        """Called by the pipeline's set-up: only counts, for `disconnect`."""
        self._disconnect_counter += 1

    async def join(self, url: str, token: str, caller_identity: str, *, is_deaf: bool = False) -> None:
        """Join the room and publish the track.

        Args:
            is_deaf: Take no audio from the caller until `listen`.

        Raises:
            JoinFailed: Within a few seconds; Pipecat's own retries would wait 4 to 10 s each.
        """
        self.caller_identity = caller_identity
        self._is_deaf = self._was_ahead = is_deaf
        self._ear.clear()
        self._is_subscribed = False
        try:
            # One peer connection: with two, ICE misses its first checks in half of the joins, at 48 ms each.
            options = rtc.RoomOptions(single_peer_connection=True, connect_timeout=_CONNECT_S)
            livekit_proxy.heed_no_proxy(url)
            async with nagle.off(url):
                await self.room.connect(url, token, options)
            self._participant_id = self.room.local_participant.identity
            self._caller_was_first = any(self._is_caller(identity) for identity in self.get_participants())
            self._connected = True
            track = self._audio_track or self._make_track()
            publishing = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
            await self.room.local_participant.publish_track(track, publishing)
        except Exception as error:
            self._connected = False
            raise JoinFailed(_why(error, livekit_proxy.in_force(url))) from error
        await self._callbacks.on_connected()
        for identity in self.get_participants():
            await self._participant_connected(identity)

    async def listen(self) -> None:
        """Take the caller's audio from now on, in a prejoined room."""
        self._is_deaf = False
        unheard, self._unheard = self._unheard, None
        if unheard is not None:
            await self._async_on_track_subscribed(*unheard)

    async def rejoin(self, url: str, token: str) -> None:
        """Join again after LiveKit removed the agent, with a new room object: the old one keeps its participants.

        Raises:
            JoinFailed: As in `join`.
        """
        await self._close_all_streams()
        if self._setup is not None:
            self._task_manager = None  # makes `setup` start from the beginning
            await self.setup(self._setup)
        await self.join(url, token, self.caller_identity)

    async def played_out(self) -> None:
        """Wait until the caller has heard the written audio."""
        if self._connected and self._ear.is_set() and self._audio_source is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._audio_source.wait_for_playout(), _PLAYOUT_S)
            await asyncio.sleep(_FLIGHT_S)

    async def leave(self) -> None:
        """Leave the room. Without this the agent stays in the room for 20 s after its process exits."""
        if self._connected:
            self._connected = False
            await self.room.disconnect()

    async def disconnect(self) -> None:
        """Called at the pipeline's end: leave once the written audio is heard."""
        if self._disconnect_counter <= 1:
            await self.played_out()
        await super().disconnect()

    async def publish_audio(self, audio_frame: rtc.AudioFrame) -> bool:
        """Write a frame. The first one waits until the caller can hear it."""
        await self._ear.wait()
        written = await super().publish_audio(audio_frame)
        if written and not self._was_heard:
            self._was_heard = True
            self.listener.heard()
        return written

    def _is_caller(self, identity: str) -> bool:
        """Whether this participant is the caller: without a configured identity, the first participant."""
        if not self.caller_identity:
            self.caller_identity = identity
        return identity == self.caller_identity

    def _on_subscribed(self, _track: rtc.LocalTrack) -> None:
        self._is_subscribed = True
        if self._is_caller_alone():
            self._caller_came()
        self._open_ear(0 if self._caller_was_first else _EAR_S)

    def _on_active(self, participant: rtc.RemoteParticipant) -> None:
        if participant.identity == self.caller_identity:
            self._caller_came()

    def _open_ear(self, delay_s: float) -> None:
        if self._is_subscribed and self._is_heard_by_caller() and not self._ear.is_set():
            self._params.audio_out_write_timeout_secs = _WRITE_S
            asyncio.get_running_loop().call_later(delay_s, self._ear.set)

    def _is_heard_by_caller(self) -> bool:
        """Whether the caller is the subscriber.

        A prejoined room admits only the caller, and LiveKit reports a participant who publishes nothing up to 3 s late:
        there the subscription itself shows that the caller is present.
        """
        return self.caller_in_room or (self._was_ahead and not self.get_participants())

    def _is_caller_alone(self) -> bool:
        """Whether the caller is the only other participant, so that any subscription is the caller's."""
        return set(self.get_participants()) == {self.caller_identity}

    def _caller_came(self) -> None:
        """The caller's media is up: with signalling alone the caller hears and says nothing.

        LiveKit reports ACTIVE up to a second late for a participant who publishes nothing; a subscription or a track
        also proves that media is up.
        """
        if not self.caller_in_room:
            self.caller_in_room = True
            self.listener.caller(True)
            self._open_ear(_TOLD_EAR_S)

    async def _participant_connected(self, participant_id: str) -> None:
        if not self._is_caller(participant_id):
            logger.warning("a participant other than the caller joined; the agent does not hear it")
            return
        caller = self.room.remote_participants.get(participant_id)
        is_active = caller is not None and caller.state == rtc.ParticipantState.PARTICIPANT_STATE_ACTIVE
        if is_active or (self._is_subscribed and self._is_caller_alone()):
            self._caller_came()
        await super()._participant_connected(participant_id)

    async def _async_on_participant_disconnected(self, participant: rtc.RemoteParticipant) -> None:
        if participant.identity == self.caller_identity:
            if self.caller_in_room:
                self.caller_in_room = False
                self.listener.caller(False)
            self._unheard = None
            await super()._async_on_participant_disconnected(participant)

    async def _async_on_track_subscribed(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        if not self._is_caller(participant.identity):
            publication.set_subscribed(False)
            return
        self._caller_came()
        if self._is_deaf:
            self._unheard = (track, publication, participant)
        elif track.kind == rtc.TrackKind.KIND_AUDIO:
            await self._hear(track, participant.identity)

    async def _hear(self, track: rtc.Track, identity: str) -> None:
        """Take the caller's audio in frames of one VAD window at the pipeline's rate.

        Pipecat's own takes frames of 10 ms at 48 kHz: three times as many frames through eight processors, each of them
        resampled.
        """
        assert self._task_manager is not None
        assert self._params.audio_in_sample_rate is not None
        await self._close_audio_stream(identity)
        self._audio_tracks[identity] = track
        stream = rtc.AudioStream(track, sample_rate=self._params.audio_in_sample_rate, frame_size_ms=_IN_FRAME_MS)
        task = self._task_manager.create_task(self._process_audio_stream(stream, identity), f"{self}::caller's audio")
        self._audio_streams[identity] = stream, task
        await self._callbacks.on_audio_track_subscribed(identity)

    async def _async_on_data_received(self, data: rtc.DataPacket) -> None:
        if data.participant is None or data.participant.identity == self.caller_identity:
            await super()._async_on_data_received(data)

    def _on_disconnected_wrapper(
        self, reason: rtc.DisconnectReason.ValueType = rtc.DisconnectReason.UNKNOWN_REASON
    ) -> None:
        """Report the reason, which Pipecat's own discards."""
        if self._connected:
            self._connected = False
            if self.caller_in_room:
                self.caller_in_room = False
                self.listener.caller(False)
            self.listener.removed(rtc.DisconnectReason.Name(reason))


class WarmTransport(LiveKitTransport):
    """A LiveKit transport around a `WarmClient`."""

    def __init__(self, *, in_sample_rate: int, out_sample_rate: int) -> None:
        params = LiveKitParams(
            audio_in_enabled=True,
            audio_in_sample_rate=in_sample_rate,
            audio_out_enabled=True,
            audio_out_sample_rate=out_sample_rate,
            audio_out_queue_size_ms=_QUEUE_MS,
            audio_out_end_silence_secs=0,  # the client waits for the end of the playout instead
        )
        # The first write waits for the caller, for as long as the scheduler allows.
        params.audio_out_write_timeout_secs = None  # pyright: ignore[reportAttributeAccessIssue]
        super().__init__("", "", "", params)
        self.client = WarmClient(params, self._client._callbacks, self.name)
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
