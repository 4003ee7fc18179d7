"""The supervisor with real workers in a real LiveKit room; the providers are away."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from chassis.nats import Bus
from contracts.ids import agent_identity, caller_identity
from livekit import api, rtc

from tests.integration.agent_runner.livekit_server import BINARY, LiveKitServer
from tests.integration.agent_runner.node_process import Driver, NodeProcess, descendants, is_alive, until

SESSION = "session_1"

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="livekit-server is not built: make setup")


@pytest.fixture
def livekit(tmp_path: Path) -> Iterator[LiveKitServer]:
    with LiveKitServer(tmp_path / "livekit") as server:
        assert isinstance(server, LiveKitServer)
        yield server


@pytest.fixture
async def drive(tmp_path: Path, nats_url: str, bus: Bus) -> AsyncIterator[Driver]:
    node = NodeProcess(tmp_path / "node", nats_url, module="agent_runner.app").start()
    try:
        await node.ready(40)
        yield Driver(bus, node)
    finally:
        node.kill()


@pytest.fixture
async def rooms(livekit: LiveKitServer) -> AsyncIterator[api.LiveKitAPI]:
    rooms = livekit.rooms()
    yield rooms
    await rooms.aclose()


class Stage:
    """A room with its caller, and the agent's side of it on the node."""

    def __init__(self, drive: Driver, livekit: LiveKitServer, rooms: api.LiveKitAPI) -> None:
        self.drive = drive
        self.caller = rtc.Room()
        self._livekit = livekit
        self._rooms = rooms

    async def open(self) -> None:
        await self._rooms.room.create_room(api.CreateRoomRequest(name=SESSION, max_participants=2))

    async def enter(self) -> None:
        """With a microphone: LiveKit tells of a participant who publishes nothing up to 3 s late."""
        await self.caller.connect(self._livekit.url, self._livekit.token(SESSION, caller_identity(SESSION)))
        microphone = rtc.LocalAudioTrack.create_audio_track("microphone", rtc.AudioSource(16000, 1))
        await self.caller.local_participant.publish_track(microphone)

    async def start(self, **changes: object) -> int:
        token = self._livekit.token(SESSION, agent_identity(SESSION))
        return await self.drive.start(SESSION, "Be kind.", url=self._livekit.url, token=token, **changes)

    async def people(self) -> set[str]:
        found = await self._rooms.room.list_participants(api.ListParticipantsRequest(room=SESSION))
        return {person.identity for person in found.participants}


@pytest.fixture
async def stage(drive: Driver, livekit: LiveKitServer, rooms: api.LiveKitAPI) -> AsyncIterator[Stage]:
    stage = Stage(drive, livekit, rooms)
    await stage.open()
    yield stage
    await stage.caller.disconnect()


async def test_served_time_is_the_time_both_were_in_the_room(stage: Stage) -> None:
    pid = await stage.start()
    assert "started" not in await stage.drive.names(SESSION)
    await stage.enter()
    entered = time.monotonic()
    await stage.drive.has(SESSION, "started")
    await asyncio.sleep(1.5)

    asked = time.monotonic()
    ended = await stage.drive.ended(SESSION)

    assert time.monotonic() - asked < 2
    assert ended.process_gone
    assert not is_alive(pid)
    assert abs(ended.served_ms / 1000 - (asked - entered)) < 0.5
    assert await stage.people() == {caller_identity(SESSION)}
    names = await stage.drive.names(SESSION)
    assert names.index("agent_ready") < names.index("started") < names.index("agent_stopped")
    assert (stage.drive.node.log_dir / f"{SESSION}.log").stat().st_size > 0


async def test_another_worker_takes_over_the_room_of_a_killed_one(stage: Stage) -> None:
    await stage.enter()
    pid = await stage.start()
    os.kill(pid, signal.SIGKILL)
    await stage.drive.has(SESSION, "agent_stopped", epoch=1, cause="crashed")
    assert await stage.start(epoch=2, takeover=True) != pid
    assert (await stage.drive.ended(SESSION, epoch=2)).process_gone
    assert (await stage.drive.names(SESSION)).count("started") == 1


async def test_an_agent_whose_identity_a_newer_epoch_took_ends(stage: Stage, livekit: LiveKitServer) -> None:
    await stage.enter()
    pid = await stage.start()
    await stage.drive.assigned(SESSION, epoch=2)
    newer = rtc.Room()
    await newer.connect(livekit.url, livekit.token(SESSION, agent_identity(SESSION)))
    await stage.drive.has(SESSION, "agent_stopped", epoch=1, cause="superseded")
    await until(lambda: not is_alive(pid))
    assert await stage.people() == {caller_identity(SESSION), agent_identity(SESSION)}
    await newer.disconnect()


async def test_an_agent_whose_identity_nobody_may_have_taken_comes_back(stage: Stage, livekit: LiveKitServer) -> None:
    await stage.enter()
    pid = await stage.start()
    stranger = rtc.Room()
    gone = asyncio.Event()
    stranger.on("disconnected", lambda _reason: gone.set())
    await stranger.connect(livekit.url, livekit.token(SESSION, agent_identity(SESSION)))
    async with asyncio.timeout(5):
        await gone.wait()
    assert is_alive(pid)
    assert "agent_stopped" not in await stage.drive.names(SESSION)


async def test_a_deleted_room_ends_the_job(stage: Stage, rooms: api.LiveKitAPI) -> None:
    await stage.enter()
    pid = await stage.start()
    await rooms.room.delete_room(api.DeleteRoomRequest(room=SESSION))
    await stage.drive.has(SESSION, "agent_stopped", cause="room_closed")
    await until(lambda: not is_alive(pid))


async def test_a_room_that_is_not_there_is_named_as_the_cause(stage: Stage, rooms: api.LiveKitAPI) -> None:
    await rooms.room.delete_room(api.DeleteRoomRequest(room=SESSION))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await stage.start()
    await stage.drive.has(SESSION, "agent_stopped", cause="join_failed")


async def test_when_the_supervisor_is_killed_its_real_workers_die_too(stage: Stage) -> None:
    await stage.enter()
    await stage.start()
    below = descendants(stage.drive.node.pid)
    os.kill(stage.drive.node.pid, signal.SIGKILL)
    await until(lambda: not any(is_alive(pid) for pid in below), 5)
    assert await stage.people() == {caller_identity(SESSION)}


async def test_after_sigterm_nothing_is_left(stage: Stage) -> None:
    await stage.enter()
    await stage.start()
    below = descendants(stage.drive.node.pid)
    stage.drive.node.terminate()
    assert await stage.drive.node.exited() == 0
    await until(lambda: not any(is_alive(pid) for pid in below), 2)
    await stage.drive.has(SESSION, "agent_stopped", cause="drained")
