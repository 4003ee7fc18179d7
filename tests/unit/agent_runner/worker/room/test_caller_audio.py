"""Which of the caller's tracks tells whether the caller's network is there."""

from types import SimpleNamespace
from typing import Any

import pytest
from livekit import rtc
from pipecat.transports.livekit.transport import LiveKitParams

from agent_runner.domain.audience import Audience
from agent_runner.worker.room.caller_audio import CallerAudio


class Microphone:
    """A track with its publication, from which 7 packets have come."""

    kind = rtc.TrackKind.KIND_AUDIO
    source = rtc.TrackSource.SOURCE_MICROPHONE

    def __init__(self, *, muted: bool = False) -> None:
        self.track = self
        self.muted = muted

    async def get_stats(self) -> list[Any]:
        received = SimpleNamespace(received=SimpleNamespace(packets_received=7))
        return [SimpleNamespace(inbound_rtp=received, HasField=lambda name: name == "inbound_rtp")]


def hearing(*microphones: Microphone) -> CallerAudio:
    """An agent that hears the last of the caller's microphones."""
    client: Any = CallerAudio(LiveKitParams(), None, "transport")
    client._audience = Audience("caller", in_room=True)
    client._connected = True
    client._room = SimpleNamespace(
        remote_participants={"caller": SimpleNamespace(track_publications=dict(enumerate(microphones)))}
    )
    client._audio_tracks["caller"] = microphones[-1]
    return client


@pytest.mark.parametrize(
    ("microphones", "packets"),
    [
        ((Microphone(),), 7),
        ((Microphone(muted=True),), None),
        ((Microphone(muted=True), Microphone()), 7),
        ((Microphone(), Microphone(muted=True)), None),
    ],
    ids=["open", "muted", "another one muted", "another one open"],
)
async def test_packets_are_due_while_the_microphone_that_is_heard_is_open(
    microphones: tuple[Microphone, ...], packets: int | None
) -> None:
    assert await hearing(*microphones).packets() == packets
