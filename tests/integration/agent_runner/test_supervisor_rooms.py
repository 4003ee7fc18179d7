"""Rooms joined ahead, on a whole supervisor with stand-in workers and a real NATS."""

import asyncio
import os
import signal

from contracts.commands import DRAIN, PREJOIN, CommandFailed, DrainNode, JobAccepted, PrejoinRoom, RoomPrejoined
from contracts.registry import PrejoinedRoom
from contracts.streams import PREJOINED
from tests.integration.agent_runner.node_process import Driver
from tests.support.processes import descendants, is_alive
from tests.support.waiting import until

SID = "session_1"


async def prejoin(
    drive: Driver, session_id: str = SID, *, token: str = "t", max_age_s: float = 600
) -> RoomPrejoined | CommandFailed:
    order = PrejoinRoom(session_id=session_id, url="ws://127.0.0.1:1", token=token, max_age_s=max_age_s)
    return await drive.bus.request(PREJOIN.at(drive.node.node_id), order, timeout_s=10)


async def joined(drive: Driver, session_id: str = SID, **how: float) -> int:
    """Have a worker wait in the room; its pid."""
    reply = await prejoin(drive, session_id, **how)  # pyright: ignore[reportArgumentType]
    assert isinstance(reply, RoomPrejoined), reply
    return reply.pid


async def keys(drive: Driver) -> set[str]:
    return set(await drive.bus.bucket(PREJOINED).all())


async def take(drive: Driver, session_id: str = SID) -> None:
    """Claim the room, as a gateway does."""
    bucket = drive.bus.bucket(PREJOINED)
    entry = await bucket.get(session_id)
    assert entry is not None
    await bucket.delete(session_id, entry.revision)


async def test_a_job_of_the_rooms_session_gets_the_worker_that_waits_there(drive: Driver) -> None:
    pid = await joined(drive)
    entry = await drive.bus.bucket(PREJOINED).get(SID)
    assert entry is not None
    room = PrejoinedRoom.model_validate_json(entry.data)
    assert (room.session_id, room.node_id) == (SID, drive.node.node_id)
    state = await drive.shows(lambda state: state.rooms == (SID,) and state.warm == 2)
    assert (state.busy, state.jobs) == (0, ())
    assert await drive.names(SID) == []  # the log has no event of it, so it is unbilled
    await take(drive)

    reply = await drive.assign(SID)

    assert reply == JobAccepted(node_id=drive.node.node_id, pid=pid)
    await drive.has(SID, "started")
    await drive.shows(lambda state: state.rooms == () and state.busy == 1)
    assert 'agent_starts_total{path="prejoined"} 1.0' in drive.node.metrics()
    await drive.ended(SID)
    await until(lambda: not is_alive(pid))


async def test_when_the_waiting_worker_has_died_the_job_gets_another(drive: Driver) -> None:
    pid = await joined(drive)
    await take(drive)
    os.kill(pid, signal.SIGKILL)
    await drive.shows(lambda state: state.rooms == ())

    reply = await drive.assign(SID)

    assert isinstance(reply, JobAccepted)
    assert reply.pid != pid
    await drive.has(SID, "started")


async def test_a_dead_worker_takes_its_key_along(drive: Driver) -> None:
    pid = await joined(drive)

    os.kill(pid, signal.SIGKILL)

    async def is_gone() -> bool:
        return await keys(drive) == set()

    await until(is_gone)


async def test_a_worker_that_cannot_join_is_no_room(drive: Driver) -> None:
    order = asyncio.ensure_future(prejoin(drive, token="nowhere"))
    waiting = await drive.shows(lambda state: state.processes == 5)  # a third worker, for the one that was sent
    assert waiting.rooms == ()
    reply = await order

    assert isinstance(reply, CommandFailed)
    assert await keys(drive) == set()
    await drive.shows(lambda state: state.processes == 4)


async def test_an_aged_room_is_withdrawn_and_its_worker_ends(drive: Driver) -> None:
    pid = await joined(drive, max_age_s=0.5)

    await until(lambda: not is_alive(pid))

    assert await keys(drive) == set()
    await drive.shows(lambda state: state.rooms == ())


async def test_rooms_and_calls_share_the_slots_and_a_call_goes_first(drive: Driver) -> None:
    first, second = await joined(drive, "session_1"), await joined(drive, "session_2")
    third = await joined(drive, "session_3")
    full = await prejoin(drive, "session_4")
    assert isinstance(full, CommandFailed)
    assert full.code == "full"

    await drive.start("session_5")

    await until(lambda: not is_alive(first))
    assert await keys(drive) == {"session_2", "session_3"}
    assert is_alive(second)
    assert is_alive(third)


async def test_a_drained_node_keeps_no_room_and_takes_none(drive: Driver) -> None:
    await drive.start("session_9")
    pid = await joined(drive)

    await drive.bus.request(DRAIN.at(drive.node.node_id), DrainNode(limit_s=60), timeout_s=10)

    await until(lambda: not is_alive(pid))
    assert await keys(drive) == set()
    refused = await prejoin(drive, "session_2")
    assert isinstance(refused, CommandFailed)
    assert refused.code == "draining"


async def test_a_new_configuration_replaces_the_rooms_that_nobody_has(drive: Driver) -> None:
    taken, free = await joined(drive, "session_1"), await joined(drive, "session_2")
    await take(drive, "session_1")

    drive.node.process.send_signal(signal.SIGHUP)

    await until(lambda: not is_alive(free))
    assert await keys(drive) == set()
    assert is_alive(taken)


async def test_sigterm_leaves_no_room_and_no_process(drive: Driver) -> None:
    await joined(drive)
    below = descendants(drive.node.pid)

    drive.node.terminate()

    assert await drive.node.exited() == 0
    assert await keys(drive) == set()
    assert not any(is_alive(pid) for pid in below)
