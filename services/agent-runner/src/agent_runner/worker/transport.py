"""LiveKit's transport, ready before its room is known, deaf to strangers, silent until it is heard.

Pipecat's own joins the room while the pipeline is set up, takes everybody's audio into one stream, and starts to write
audio before anybody is subscribed to it. Its client is the part to change; input and output stay as they are.
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

from agent_runner.worker import livekit_proxy, nagle

_CONNECT_S: Final = 3.0
_WRITE_S: Final = 10.0  # a listener that takes no audio for so long is gone; Pipecat then gives the output up for good
_EAR_S: Final = 0.05  # from LiveKit's word that a late caller is subscribed; even without it nothing was lost, 16 of 16
_TOLD_EAR_S: Final = 0.3  # from its word that the caller is there, where somebody else was the first subscriber
_IN_FRAME_MS: Final = 32  # a window of the VAD's
_QUEUE_MS: Final = 200  # with LiveKit's 1000 the end of speech is reported a second early
_PLAYOUT_S: Final = 1.5
_FLIGHT_S: Final = 0.25  # what was sent is still in the network and in the listener's jitter buffer, which dies with us


class JoinFailed(Exception):
    """The room could not be joined; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class RoomListener:
    """Who is told what happens in the room.

    Attributes:
        caller: The caller's media came up (True), or the caller left (False).
        heard: The first audio was written with somebody listening; once.
        removed: LiveKit put the agent out; the reason is LiveKit's name for it, such as DUPLICATE_IDENTITY.
    """

    caller: Callable[[bool], None]
    heard: Callable[[], None]
    removed: Callable[[str], None]


class WarmClient(LiveKitTransportClient):
    """Sets up without joining; `join` and `leave` are ours."""

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
        """Make the room object and the track; the input and the output both call this."""
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
        """Called by the pipeline's set-up: only counts, as `disconnect` counts down."""
        self._disconnect_counter += 1

    async def join(self, url: str, token: str, caller_identity: str, *, is_deaf: bool = False) -> None:
        """Join and publish.

        Args:
            is_deaf: Take in nothing of the caller's until `listen`.

        Raises:
            JoinFailed: Within a few seconds; the pipeline's own retries would wait 4 to 10 s each.
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
        """Hear the caller from now on, in a room that was joined deaf."""
        self._is_deaf = False
        unheard, self._unheard = self._unheard, None
        if unheard is not None:
            await self._async_on_track_subscribed(*unheard)

    async def rejoin(self, url: str, token: str) -> None:
        """Join again after LiveKit put us out, with a room object of its own: a used one still holds its participants.

        Raises:
            JoinFailed: As in `join`.
        """
        await self._close_all_streams()
        if self._setup is not None:
            self._task_manager = None  # makes `setup` begin anew
            await self.setup(self._setup)
        await self.join(url, token, self.caller_identity)

    async def played_out(self) -> None:
        """Wait until what was written is heard."""
        if self._connected and self._ear.is_set() and self._audio_source is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._audio_source.wait_for_playout(), _PLAYOUT_S)
            await asyncio.sleep(_FLIGHT_S)

    async def leave(self) -> None:
        """Leave the room. A process that exits without it stays in the room for 20 s."""
        if self._connected:
            self._connected = False
            await self.room.disconnect()

    async def disconnect(self) -> None:
        """Called by the pipeline's end: leave after what is already written was heard."""
        if self._disconnect_counter <= 1:
            await self.played_out()
        await super().disconnect()

    async def publish_audio(self, audio_frame: rtc.AudioFrame) -> bool:
        """Write a frame, the first one when the caller can hear it."""
        await self._ear.wait()
        written = await super().publish_audio(audio_frame)
        if written and not self._was_heard:
            self._was_heard = True
            self.listener.heard()
        return written

    def _is_caller(self, identity: str) -> bool:
        """Whether this participant is the caller. With no identity given, whoever comes first is."""
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
        """Whether it is the caller who subscribed.

        A room that was joined ahead takes nobody but the caller, and LiveKit tells those who are in a room already up
        to 3 s late of one who publishes nothing: there the subscription itself is the sign.
        """
        return self.caller_in_room or (self._was_ahead and not self.get_participants())

    def _is_caller_alone(self) -> bool:
        """Whether a subscription can only be the caller's."""
        return set(self.get_participants()) == {self.caller_identity}

    def _caller_came(self) -> None:
        """The caller's media is up: a signalling connection alone hears nothing and says nothing.

        LiveKit says ACTIVE up to a second late of one who publishes nothing; a subscription or a track needs media too.
        """
        if not self.caller_in_room:
            self.caller_in_room = True
            self.listener.caller(True)
            self._open_ear(_TOLD_EAR_S)

    async def _participant_connected(self, participant_id: str) -> None:
        if not self._is_caller(participant_id):
            logger.warning("a participant who is not the caller joined; the agent does not hear it")
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
        """Take the caller's audio as the pipeline needs it.

        Pipecat's takes frames of 10 ms at 48 kHz, which are three times as many to pass through eight processors, and
        resamples each.
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
        """Pipecat's drops the reason; ours decides on it."""
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
            audio_out_end_silence_secs=0,  # the client waits for the playout instead
        )
        # Waiting for the caller happens inside a write, and the time for that is the scheduler's to bound.
        params.audio_out_write_timeout_secs = None  # pyright: ignore[reportAttributeAccessIssue]
        super().__init__("", "", "", params)
        self.client = WarmClient(params, self._client._callbacks, self.name)
        self._client = self.client

    def stop_listening(self) -> None:
        """Take in nothing more of the caller's."""
        self._params.audio_in_enabled = False


def _why(error: Exception, proxy: str | None = None) -> str:
    """LiveKit's error as one line with a fix; its text holds the URL and never the token.

    Args:
        proxy: The variable with the proxy that stands between us and LiveKit.
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
            "is reached without, else check the proxy"
        )
    return f"LiveKit could not be reached ({text}); check LIVEKIT_URL and that the server is up"
