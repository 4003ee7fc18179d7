"""A worker that waits in a room for its job: silent, deaf, free of charge, and then at once there."""

import asyncio
import time

from agent_runner.link.messages import Caller, End, Heard, Joined, Prejoin, Stopped, Turn
from contracts.ids import agent_identity, caller_identity
from tests.integration.agent_runner.worker_stage import Fork, New, Sandbox, delete_room, go, resemblance
from tests.support.servers import LiveKitServer

OPENING = "Hello! How can I help you today?"


def prejoin(livekit: LiveKitServer, session: str) -> Prejoin:
    token = livekit.token(session, agent_identity(session))
    return Prejoin(session_id=session, url=livekit.url, token=token, caller_identity=caller_identity(session))


async def test_it_waits_unbilled_and_deaf_and_speaks_at_once(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    await sandbox.control("transcripts", {"texts": ["What time is it?"]})
    await sandbox.control("replies", {"replies": ["It is noon."]})
    worker = await fork()
    worker.send(prejoin(livekit, session))
    await worker.heard(Joined)
    caller = await person().enter(session)
    assert await worker.heard(Caller) == Caller(in_room=True)
    caller.say("Nobody can hear this.")
    await caller.has_spoken()
    await asyncio.sleep(0.5)
    assert caller.loud_s == 0
    await sandbox.is_open({"assemblyai": 0, "groq": 0, "inworld": 1})  # the one that is free of charge

    went = time.monotonic()
    worker.send(go(livekit, session, opening_line=OPENING))
    joined = await worker.heard(Joined, 2)
    await worker.heard(Heard)
    opening = await worker.heard(Turn)

    assert joined.stage_ms["join"] < 500  # 1 on an idle host
    assert opening.heard_text == OPENING
    assert caller.first_sound_at - went < 2  # 0.15 on an idle host
    caller.say("What time is it?")
    turn = await worker.heard(Turn, 2)
    assert (turn.user_text, turn.heard_text) == ("What time is it?", "It is noon.")
    assert resemblance(caller.recording, await sandbox.voice(OPENING, "Ashley", 1.0)) > 0.6
    worker.send(End())
    assert (await worker.heard(Stopped)).cause == "ended"
    assert await worker.gone() == 0


async def test_a_caller_without_a_microphone_whom_livekit_tells_of_late_hears_it_at_once_and_whole(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    worker = await fork()
    worker.send(prejoin(livekit, session))
    await worker.heard(Joined)
    worker.send(go(livekit, session, opening_line=OPENING))
    await worker.heard(Joined, 2)
    await asyncio.sleep(0.5)

    caller = await person().enter(session, has_microphone=False)
    await worker.heard(Turn)

    await caller.hears_line(await sandbox.voice(OPENING, "Ashley", 1.0))
    # Not from its arrival on: LiveKit takes up to 3 s to say who it is.
    assert caller.first_sound_at - caller.listens_since < 2


async def test_it_goes_when_its_room_is_closed(fork: Fork, livekit: LiveKitServer, session: str) -> None:
    worker = await fork()
    worker.send(prejoin(livekit, session))
    await worker.heard(Joined)

    await delete_room(livekit, session)

    assert (await worker.heard(Stopped)).cause == "room_closed"
    assert await worker.gone() == 0


async def test_without_the_room_it_says_so_and_goes(fork: Fork, livekit: LiveKitServer) -> None:
    worker = await fork()
    worker.send(prejoin(livekit, "session_of_nobody"))

    assert (await worker.heard(Stopped)).cause == "join_failed"
    assert await worker.gone() == 0


async def test_put_away_it_leaves_the_room_in_order(fork: Fork, livekit: LiveKitServer, session: str) -> None:
    worker = await fork()
    worker.send(prejoin(livekit, session))
    await worker.heard(Joined)

    worker.send(End())

    assert (await worker.heard(Stopped)).cause == "ended"
    assert await worker.gone() == 0
