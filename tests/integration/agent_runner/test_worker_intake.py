"""The caller's track: a subscription that fails, a microphone that is published again in mid-sentence."""

import asyncio

import pytest
from livekit import rtc

from agent_runner.link.messages import Faulty, Recovered, Stopped, Turn
from tests.integration.agent_runner.worker_stage import Greet, New, Preloaded, Sandbox, go, ready
from tests.support.servers import LiveKitServer

QUESTION = "How are you doing today my friend?"
ENTRY = "tests.integration.agent_runner.deaf_worker"


@pytest.mark.parametrize("how", ["once", "always"])
async def test_a_subscription_that_fails_is_asked_for_again_and_else_another_agent_takes_over(
    forks: Preloaded, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New, how: str
) -> None:
    await sandbox.control("transcripts", {"texts": ["How are you?"]})
    await sandbox.control("replies", {"replies": ["I am fine."]})
    worker = await ready(forks.fork(sandbox.config(), entry=f"{ENTRY}:{how}"))
    try:
        caller = await person().enter(session)
        worker.send(go(livekit, session, opening_line="Hello."))
        fault = await worker.heard(Faulty, timeout_s=9)
        assert (fault.provider, fault.ago_ms) == ("stt", 5_000)
        if how == "always":
            stopped = await worker.heard(Stopped, timeout_s=9)
            assert (stopped.cause, stopped.detail[:4]) == ("failed", "deaf")  # which another epoch takes over
        else:
            await worker.heard(Recovered, timeout_s=3)
            caller.say(QUESTION)
            assert (await worker.heard(Turn, 2)).user_text == "How are you?"
    finally:
        worker.kill()


async def test_a_microphone_that_is_published_again_in_mid_sentence_stays_heard(greet: Greet, sandbox: Sandbox) -> None:
    await sandbox.control("replies", {"replies": ["I am fine."] * 3})
    worker, caller = await greet()
    old = next(iter(caller.room.local_participant.track_publications))
    caller.say(QUESTION)
    await asyncio.sleep(0.7)
    track = rtc.LocalAudioTrack.create_audio_track("another", caller._source)  # pyright: ignore[reportPrivateUsage]
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    await caller.room.local_participant.publish_track(track, options)
    await caller.room.local_participant.unpublish_track(old)
    await caller.has_spoken()
    turn = await worker.heard(Turn, 2)
    assert turn.user_text
    caller.say(QUESTION)
    assert (await worker.heard(Turn, 3)).user_text
    assert not any(isinstance(m, Faulty) for m in worker.said)
