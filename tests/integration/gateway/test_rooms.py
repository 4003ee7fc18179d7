"""Rooms that exist under a session's id before its start, on a real LiveKit server."""

import httpx
from livekit import rtc
from livekit.api import AccessToken, LiveKitAPI, VideoGrants
from livekit.protocol.room import CreateRoomRequest

from chassis.nats import Bus
from contracts.ids import caller_identity
from contracts.rooms import RoomShape, room_shape
from tests.integration.gateway.one_stack import bus, folder, gateway, nats
from tests.integration.gateway.playing import START, requests_in, rooms
from tests.support.servers import API_KEY, API_SECRET, LiveKitServer

__all__ = ["bus", "folder", "gateway", "nats"]  # one stack for the module


async def make_room(livekit: LiveKitServer, name: str, shape: RoomShape) -> str:
    wanted = CreateRoomRequest(name=name, **shape)
    async with LiveKitAPI(livekit.url, API_KEY, API_SECRET) as client:
        return (await client.room.create_room(wanted)).sid


async def join(livekit: LiveKitServer, name: str, identity: str) -> rtc.Room:
    token = AccessToken(API_KEY, API_SECRET).with_identity(identity)
    token = token.with_grants(VideoGrants(room_join=True, room=name))
    room = rtc.Room()
    await room.connect(livekit.url, token.to_jwt())
    return room


async def test_a_room_for_fifty_with_a_stranger_inside_is_replaced(
    api: httpx.AsyncClient, livekit_server: LiveKitServer, bus: Bus
) -> None:
    foreign = RoomShape(max_participants=50, empty_timeout=300, departure_timeout=20)
    sid = await make_room(livekit_server, "session_held", foreign)
    stranger = await join(livekit_server, "session_held", "eve")
    try:
        answer = await api.post(START, json={"userName": "Ann", "sessionId": "session_held"})
    finally:
        await stranger.disconnect()

    assert answer.status_code == 200
    [room] = await rooms(livekit_server, "session_held")
    assert room.sid != sid
    assert (room.max_participants, room.empty_timeout, room.departure_timeout) == (100, 90_030, 7_200)
    assert [request.session_id for request in await requests_in(bus)].count("session_held") == 1


async def test_a_room_of_a_session_that_runs_is_left_alone(
    api: httpx.AsyncClient, livekit_server: LiveKitServer
) -> None:
    session_id = (await api.post(START, json={"userName": "Ann"})).json()["sessionId"]
    [before] = await rooms(livekit_server, session_id)

    answer = await api.post(START, json={"userName": "Eve", "sessionId": session_id})

    assert answer.json()["code"] == "session_id_taken"
    assert [room.sid for room in await rooms(livekit_server, session_id)] == [before.sid]


async def test_a_room_with_our_settings_and_its_own_caller_is_kept(
    api: httpx.AsyncClient, livekit_server: LiveKitServer
) -> None:
    sid = await make_room(livekit_server, "session_kept", room_shape(30))
    caller = await join(livekit_server, "session_kept", caller_identity("session_kept"))
    try:
        answer = await api.post(START, json={"userName": "Ann", "sessionId": "session_kept"})
        assert answer.status_code == 200
        assert [room.sid for room in await rooms(livekit_server, "session_kept")] == [sid]
    finally:
        await caller.disconnect()


async def test_a_listener_who_comes_first_does_not_lock_the_caller_out(
    api: httpx.AsyncClient, livekit_server: LiveKitServer
) -> None:
    started = (await api.post(START, json={"userName": "Ann"})).json()
    listeners = [await join(livekit_server, started["sessionId"], f"supervisor-{n}") for n in range(3)]
    caller = rtc.Room()
    try:
        await caller.connect(livekit_server.url, started["token"])
        assert len(caller.remote_participants) == 3
    finally:
        for room in (*listeners, caller):
            await room.disconnect()
