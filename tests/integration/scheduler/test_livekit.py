"""Rooms and tokens on a real LiveKit, without a single webhook."""

import asyncio
import time
from datetime import timedelta

import pytest
from livekit import api, rtc

from chassis.nats import Bus
from contracts.events import AgentReady, Outcome
from contracts.ids import agent_identity, caller_identity
from contracts.room_events import RoomEvent
from scheduler.adapters.livekit_rooms import LiveKitRooms
from scheduler.ports import Unavailable
from tests.integration.scheduler.conftest import Start, leading
from tests.integration.scheduler.stack import StandInNode, ask_end, ended, kinds, new_id, now, request, wait_for
from tests.integration.signalling import signalling
from tests.support.servers import API_KEY, API_SECRET, LiveKitServer


async def names(rooms: LiveKitRooms) -> set[str]:
    return {room.name for room in await rooms.list()}


async def comes_to_hold(rooms: LiveKitRooms, session_id: str, there: bool, *, timeout_s: float) -> None:
    """Wait until the room is there, or is not."""
    began = time.monotonic()
    while time.monotonic() - began < timeout_s:
        try:
            if (session_id in await names(rooms)) == there:
                return
        except Unavailable:
            pass
        await asyncio.sleep(0.05)
    raise AssertionError(f"{session_id} {'never came' if there else 'never went'}")


def caller_token(session_id: str) -> str:
    return (
        api.AccessToken(API_KEY, API_SECRET)
        .with_identity(caller_identity(session_id))
        .with_ttl(timedelta(minutes=1))
        .with_grants(api.VideoGrants(room_join=True, room=session_id))
        .to_jwt()
    )


async def join_as_caller(livekit: LiveKitServer, session_id: str) -> rtc.Room:
    room = rtc.Room()
    await room.connect(livekit.url, caller_token(session_id))
    return room


async def test_the_agents_token_opens_its_room_and_nothing_else(livekit: LiveKitServer, rooms: LiveKitRooms) -> None:
    session_id, other = new_id(), new_id()
    await rooms.create(session_id)
    await rooms.create(session_id)  # again: unchanged
    await rooms.create(other)
    token = rooms.agent_token(session_id, 3)
    claims = api.TokenVerifier(API_KEY, API_SECRET).verify(token)
    assert claims.identity == agent_identity(session_id)
    assert claims.attributes == {"greenroom.epoch": "3", "lk.agent.state": "initializing"}
    assert claims.kind == "agent"
    assert claims.video is not None
    assert claims.video.room == session_id
    assert claims.video.can_publish_sources == ["microphone"]
    assert {claims.video.room_admin, claims.video.room_create, claims.video.room_list} <= {None, False}

    room = rtc.Room()
    await room.connect(livekit.url, token)
    assert room.name == session_id
    assert set(await rooms.identities(session_id)) == {agent_identity(session_id)}
    assert await rooms.identities(other) == {}
    source = rtc.AudioSource(48_000, 1)
    await room.local_participant.publish_track(
        rtc.LocalAudioTrack.create_audio_track("voice", source),
        rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE),
    )
    await room.disconnect()
    await rooms.delete(session_id)
    await rooms.delete(session_id)
    assert await names(rooms) == {other}


async def test_a_signalling_connection_without_media_is_nobody(livekit: LiveKitServer, rooms: LiveKitRooms) -> None:
    session_id = new_id()
    await rooms.create(session_id)
    async with signalling(livekit.url, caller_token(session_id)):
        assert await rooms.identities(session_id) == {}
        caller = await join_as_caller(livekit, session_id)
        assert set(await rooms.identities(session_id)) == {caller_identity(session_id)}
        await caller.disconnect()


async def test_every_call_to_a_frozen_livekit_ends(livekit: LiveKitServer, rooms: LiveKitRooms) -> None:
    livekit.freeze()
    began = time.monotonic()
    with pytest.raises(Unavailable):
        await rooms.list()
    with pytest.raises(Unavailable):
        await rooms.delete(new_id())
    livekit.thaw()
    assert time.monotonic() - began < 12  # 3 s each


async def test_the_room_goes_with_its_session(
    bus: Bus, start: Start, livekit: LiveKitServer, rooms: LiveKitRooms, node: StandInNode
) -> None:
    await leading(start, livekit, RECONCILE_S="600")  # which would delete it, too
    session_id = new_id()
    await rooms.create(session_id)
    await request(bus, session_id)
    await wait_for(bus, session_id, AgentReady)
    assert node.jobs[session_id].url == livekit.url
    await ask_end(bus, session_id)
    await ended(bus, session_id)
    await comes_to_hold(rooms, session_id, False, timeout_s=10)


async def test_a_room_that_livekit_lost_is_there_again_within_seconds(
    bus: Bus, start: Start, livekit: LiveKitServer, rooms: LiveKitRooms, node: StandInNode
) -> None:
    await leading(start, livekit)
    session_id = new_id()
    await rooms.create(session_id)
    await request(bus, session_id)
    await wait_for(bus, session_id, AgentReady)
    await asyncio.sleep(2.2)  # younger sessions are not looked for
    livekit.restart()
    await comes_to_hold(rooms, session_id, True, timeout_s=8)
    assert "ended" not in await kinds(bus, session_id)


async def test_a_room_that_somebody_closed_ends_the_session_and_a_false_report_does_not(
    bus: Bus, start: Start, livekit: LiveKitServer, rooms: LiveKitRooms, node: StandInNode
) -> None:
    await leading(start, livekit)
    closed, kept = new_id(), new_id()
    for session_id in (closed, kept):
        await rooms.create(session_id)
        await request(bus, session_id)
        await wait_for(bus, session_id, AgentReady)
    await rooms.delete(closed)
    for session_id in (closed, kept):
        event = RoomEvent(id=f"EV_{session_id}", event="room_finished", session_id=session_id, time=now())
        await bus.publish(event)
    end = await ended(bus, closed)
    assert (end.outcome, end.reason) == (Outcome.COMPLETED, "room_closed")
    await asyncio.sleep(0.5)
    assert "ended" not in await kinds(bus, kept)


async def test_a_caller_who_left_is_noticed_without_webhooks(
    bus: Bus, start: Start, livekit: LiveKitServer, rooms: LiveKitRooms, node: StandInNode
) -> None:
    await leading(start, livekit, RECONNECT_GRACE_S="2", CALLER_JOIN_TIMEOUT_S="4")
    node.starts_calls = False
    here, gone = new_id(), new_id()
    callers: list[rtc.Room] = []
    for session_id in (here, gone):
        await rooms.create(session_id)
        callers.append(await join_as_caller(livekit, session_id))
        await request(bus, session_id)
        await wait_for(bus, session_id, AgentReady)
    await asyncio.sleep(2.5)  # several reconciliations, one of which sees them
    await callers[1].disconnect()
    end = await ended(bus, gone, timeout_s=10)
    assert (end.outcome, end.reason) == (Outcome.COMPLETED, "caller_left")
    # Without `started` the other's time to join has expired by now; but LiveKit shows the caller.
    await asyncio.sleep(1)
    assert "ended" not in await kinds(bus, here)
    await callers[0].disconnect()


async def test_a_livekit_that_hangs_delays_no_session(
    bus: Bus, start: Start, livekit: LiveKitServer, rooms: LiveKitRooms, node: StandInNode
) -> None:
    await leading(start, livekit)
    livekit.freeze()
    began = time.monotonic()
    session_id = await request(bus)
    await wait_for(bus, session_id, AgentReady)
    await ask_end(bus, session_id)
    await ended(bus, session_id)
    assert time.monotonic() - began < 3  # LiveKit's API times out after 3 s
    livekit.thaw()
