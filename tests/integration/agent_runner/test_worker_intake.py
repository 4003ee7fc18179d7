"""The tracks of caller and agent: a subscription that fails or comes late, a microphone that is published again."""

import asyncio

import pytest
from livekit import rtc

from agent_runner.domain.muteness import MUTE_S
from agent_runner.link.messages import Caller, Faulty, Recovered, Stopped, Turn
from contracts.ids import agent_identity
from tests.integration.agent_runner.worker_stage import Fork, Greet, New, Preloaded, Sandbox, go, ready
from tests.support.servers import LiveKitServer
from tests.support.waiting import until

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
        fault = await worker.heard(Faulty)
        assert (fault.provider, fault.ago_ms) == ("stt", 5_000)
        if how == "always":
            stopped = await worker.heard(Stopped)
            assert (stopped.cause, stopped.detail[:4]) == ("failed", "deaf")  # which another epoch takes over
        else:
            await worker.heard(Recovered)
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


async def test_a_second_microphone_that_is_taken_back_leaves_the_first_one_heard(
    greet: Greet, sandbox: Sandbox
) -> None:
    await sandbox.control("transcripts", {"texts": ["How are you?"]})
    await sandbox.control("replies", {"replies": ["I am fine."]})
    worker, caller = await greet()
    silent = rtc.LocalAudioTrack.create_audio_track("second", rtc.AudioSource(48_000, 1))
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    second = await caller.room.local_participant.publish_track(silent, options)
    await asyncio.sleep(0.5)
    await caller.room.local_participant.unpublish_track(second.sid)
    await asyncio.sleep(0.5)
    caller.say(QUESTION)
    assert (await worker.heard(Turn, 2)).user_text == "How are you?"
    assert not any(isinstance(m, Faulty) for m in worker.said)


async def test_the_opening_line_waits_for_a_caller_who_subscribes_late(
    fork: Fork, livekit: LiveKitServer, session: str, person: New
) -> None:
    worker = await fork()
    caller = await person().enter(session, subscribes=False)
    worker.send(go(livekit, session, opening_line="Hello, here I am."))
    assert await worker.heard(Caller) == Caller(in_room=True)
    await asyncio.sleep(MUTE_S + 1.5)
    assert not [m for m in worker.said if isinstance(m, Stopped | Turn)]

    for publication in caller.room.remote_participants[agent_identity(session)].track_publications.values():
        publication.set_subscribed(True)
    assert (await worker.heard(Turn)).heard_text == "Hello, here I am."
    await until(lambda: caller.loud_s > 0.5)
