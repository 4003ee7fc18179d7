"""The caller in the room: a LiveKit participant with a microphone and an ear."""

# pyright: reportUnknownMemberType=false

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self, TypeVar

from livekit import rtc

from chassis.tasks import first_of
from contracts.ids import AGENT_PREFIX
from greenroom_cli import network
from greenroom_cli.call.audio import Samples, Speech
from greenroom_cli.call.captions import Captions
from greenroom_cli.call.ear import Ear, Utterance
from greenroom_cli.call.microphone import Microphone
from greenroom_cli.errors import CommandError

CONNECT_S = 10.0
# A busy machine plays slower than real time.
SAY_FACTOR, SAY_SLACK_S = 2.0, 10.0
T = TypeVar("T")


class NotSpoken(CommandError):
    """A sentence was not sent, or not all of it; the call can go on while the room is open."""


class Call:
    """Join, speak, listen, leave. Every wait has a deadline and ends when the room is closed.

    Create it before requesting the session, so that the native library and the track are ready before the agent speaks.

    Args:
        recording: The wav file for the agent's audio.
        feed: Called with each frame of it, for example a transcriber's `feed`.
        captions: Gets the agent's captions.
    """

    def __init__(self, recording: Path, feed: Callable[[Samples], None], captions: Captions | None = None) -> None:
        self.ear = Ear(recording, feed)
        self.agent_joined_at: float | None = None
        self._microphone = Microphone()
        self._room = rtc.Room()
        self._captions = captions
        if captions:
            captions.watch(self._room)
        self._agent_joined = asyncio.Event()
        self._closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._room.on("participant_connected", self._on_participant)
        self._room.on("track_subscribed", self._on_track)
        self._room.on("disconnected", self._on_disconnected)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()
        if self._captions:
            await self._captions.close()
        await self.ear.close()
        # Last, since the room's native side reads from the source as long as it has the track.
        await self._microphone.close()

    async def join(self, url: str, token: str) -> None:
        """Join the room and publish the microphone.

        Raises:
            CommandError: LiveKit does not answer, or no media path works.
        """
        try:
            async with asyncio.timeout(CONNECT_S):
                with network.as_no_proxy_says(url):  # the SDK's native side ignores NO_PROXY
                    await self._room.connect(url, token, rtc.RoomOptions(auto_subscribe=True))
                options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
                await self._room.local_participant.publish_track(self._microphone.track, options)
        except (rtc.ConnectError, rtc.participant.PublishTrackError, TimeoutError) as error:
            why = str(error) or f"no answer within {CONNECT_S:g} s"
            raise CommandError(
                f"cannot join the room at {url}: {why}", "check LiveKit with: greenroom doctor"
            ) from None
        for participant in self._room.remote_participants.values():
            self._on_participant(participant)

    async def leave(self) -> None:
        """Leave the room, before the session ends: a client whose room the server closes leaks its tracks natively
        (livekit/rust-sdks#1443), which can crash the process some seconds later.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_S):
                await self._room.disconnect()

    async def agent_joined(self, deadline_s: float) -> float:
        """Wait for the agent; return the monotonic time at which it joined."""
        await self._until(self._agent_joined.wait(), deadline_s, "no agent in the room")
        assert self.agent_joined_at is not None
        return self.agent_joined_at

    async def first_sound(self, deadline_s: float) -> float:
        """Wait for the agent's first sound; return its monotonic time."""
        await self._until(self.ear.sounded.wait(), deadline_s, "the agent has not said a word")
        assert self.ear.first_sound_at is not None
        return self.ear.first_sound_at

    async def listen(self, deadline_s: float) -> Utterance:
        """Wait until the agent has spoken and is silent again."""
        return await self._until(self.ear.utterances.get(), deadline_s, "the agent has not said anything more")

    async def say(self, speech: Speech) -> float:
        """Speak; return the monotonic time at which the last sound was sent.

        Raises:
            NotSpoken: The machine is too busy to play the sound, or the room was closed meanwhile.
        """
        limit_s = SAY_FACTOR * speech.seconds + SAY_SLACK_S
        missing = f"{speech.text!r} was not spoken in full: its {speech.seconds:.1f} s of sound were not sent"
        try:
            await self._until(
                self._microphone.say(speech.samples), limit_s, missing, "say it again on a less busy machine"
            )
        except CommandError as error:
            raise NotSpoken(error.problem, error.fix) from error
        return time.monotonic()

    async def closed(self) -> str:
        """Wait until the room is closed (the session has ended); return the reason."""
        return await asyncio.shield(self._closed)

    async def _until(
        self,
        event: Awaitable[T],
        deadline_s: float,
        missing: str,
        fix: str = "see the logs of agent-runner and of the session",
    ) -> T:
        waiting = asyncio.ensure_future(event)
        try:
            if await first_of(waiting, asyncio.shield(self._closed), timeout_s=deadline_s) == 0:
                return waiting.result()
        finally:
            waiting.cancel()
        if self._closed.done():
            raise CommandError(
                f"{missing}, and the room was closed: {self._closed.result()}", "see the session's reason"
            )
        raise CommandError(f"{missing} within {deadline_s:g} s", fix)

    def _on_participant(self, participant: rtc.RemoteParticipant) -> None:
        if participant.identity.startswith(AGENT_PREFIX) and self.agent_joined_at is None:
            self.agent_joined_at = time.monotonic()
            self._agent_joined.set()

    def _on_track(
        self, track: rtc.RemoteTrack, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        self._on_participant(participant)
        if participant.identity.startswith(AGENT_PREFIX) and track.kind == rtc.TrackKind.KIND_AUDIO:
            self.ear.attach(track)

    def _on_disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        if not self._closed.done():
            self._closed.set_result(rtc.DisconnectReason.Name(reason))
