"""The caller's audio into the pipeline: of all participants only the caller's voice, subscribed again after a stall."""

# pyright: standard

import asyncio
from typing import Any, Final

from livekit import rtc
from loguru import logger
from pipecat.transports.livekit.transport import LiveKitParams, LiveKitTransportClient

from agent_runner.domain.audience import Audience
from agent_runner.domain.intake import Intake, Verdict
from agent_runner.worker.room.noise_filter import NoiseFilter

_IN_FRAME_MS: Final = 32  # one window of the VAD
_STATS_S: Final = 1.0
_RESUBSCRIBE_S: Final = 0.3  # between leaving a subscription and asking for it again


class CallerAudio(LiveKitTransportClient):
    """The half of the client that listens.

    Attributes:
        suppresses_noise: Filter the caller's audio before the pipeline.
    """

    suppresses_noise = False

    def __init__(self, params: LiveKitParams, callbacks: Any, transport_name: str) -> None:
        super().__init__("", "", "", params, callbacks, transport_name)
        self._audience = Audience()
        self._listens = True
        self._intake = Intake()
        self._has_frames = False
        self._unheard: tuple[rtc.Track, rtc.RemoteTrackPublication, rtc.RemoteParticipant] | None = None

    @property
    def caller_in_room(self) -> bool:
        return self._audience.in_room

    async def listen(self) -> None:
        """Take the caller's audio from now on, in a prejoined room."""
        self._listens = True
        unheard, self._unheard = self._unheard, None
        if unheard is not None:
            await self._async_on_track_subscribed(*unheard)

    def look(self, now: float) -> Verdict:
        """Whether the caller's audio arrives; call it a few times a second. After a stall this subscribes again."""
        voices = self._open_microphones()
        is_due = bool(voices) and self.caller_in_room and self._listens and self._params.audio_in_enabled
        self._intake, verdict = self._intake.looked(now, is_due=is_due, came=self._has_frames)
        self._has_frames = False
        if verdict == "resubscribe":
            logger.warning("no audio of the caller arrives; subscribing again")
            for publication in voices:
                publication.set_subscribed(False)
                asyncio.get_running_loop().call_later(_RESUBSCRIBE_S, publication.set_subscribed, True)
        return verdict

    async def packets(self) -> int | None:
        """How many packets have come on the track that is heard; None: none is due, or LiveKit does not tell."""
        track = self._audio_tracks.get(self._audience.caller)
        if track is None or not self.caller_in_room or all(one.track is not track for one in self._open_microphones()):
            return None
        try:
            async with asyncio.timeout(_STATS_S):
                stats = await track.get_stats()
        except Exception:  # the SDK raises nothing more precise
            return None
        return next((one.inbound_rtp.received.packets_received for one in stats if one.HasField("inbound_rtp")), None)

    def _open_microphones(self) -> list[rtc.RemoteTrackPublication]:
        """The caller's voices that are not muted."""
        caller = self.room.remote_participants.get(self._audience.caller) if self._connected else None
        return [one for one in caller.track_publications.values() if _is_voice(one) and not one.muted] if caller else []

    async def _async_on_track_subscribed(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        if participant.identity != self._audience.caller:
            publication.set_subscribed(False)
        elif not self._listens:
            self._unheard = (track, publication, participant)
        elif _is_voice(publication):
            await self._hear(track, participant.identity)

    async def _async_on_track_unsubscribed(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        """Stop the track's stream, unless another track has replaced it: a republished microphone is heard first.

        Of two microphones the newest is heard, and the other one when that is gone.
        """
        if self._audio_tracks.get(participant.identity) is not track:
            return
        await super()._async_on_track_unsubscribed(track, publication, participant)
        others = [
            one for one in participant.track_publications.values() if _is_voice(one) and one.sid != publication.sid
        ]
        if other := next((one.track for one in reversed(others) if one.track is not None), None):
            await self._hear(other, participant.identity)

    async def _async_on_participant_disconnected(self, participant: rtc.RemoteParticipant) -> None:
        if participant.identity == self._audience.caller:
            self._unheard = None
            await super()._async_on_participant_disconnected(participant)

    async def _hear(self, track: rtc.Track, identity: str) -> None:
        """Take the caller's audio in frames of one VAD window at the pipeline's rate.

        Pipecat's own takes frames of 10 ms at 48 kHz: three times as many frames through eight processors, each of them
        resampled.
        """
        assert self._task_manager is not None
        assert self._params.audio_in_sample_rate is not None
        self._audio_tracks[identity] = track
        await self._close_audio_stream(identity)
        stream = rtc.AudioStream(track, sample_rate=self._params.audio_in_sample_rate, frame_size_ms=_IN_FRAME_MS)
        task = self._task_manager.create_task(self._process_audio_stream(stream, identity), f"{self}::caller's audio")
        self._audio_streams[identity] = stream, task
        await self._callbacks.on_audio_track_subscribed(identity)

    async def _process_audio_stream(self, audio_stream: rtc.AudioStream, participant_id: str) -> None:
        assert self._params.audio_in_sample_rate is not None
        noise = NoiseFilter(self._params.audio_in_sample_rate) if self.suppresses_noise else None
        async for event in audio_stream:
            self._has_frames = True
            heard = rtc.AudioFrameEvent(noise.filtered(event.frame)) if noise else event
            await self._audio_queue.put((heard, participant_id))


def _is_voice(publication: rtc.RemoteTrackPublication) -> bool:
    return (
        publication.kind == rtc.TrackKind.KIND_AUDIO and publication.source != rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO
    )
