"""The servers of the stack, for real."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import httpx
import nats
import pytest
from livekit import api
from redis.asyncio import Redis

from chassis.nats import Bus, BusUnavailable, NotStored
from contracts.streams import SESSIONS
from greenroom_cli.errors import CommandError
from greenroom_cli.stack import Part, StackOptions, running_stack, system_environment
from greenroom_cli.stack.ports import free_ports

MIB = 1024**2


async def test_jetstream_keeps_its_messages_over_a_kill_and_over_a_restart_of_the_stack(tmp_path: Path) -> None:
    only_nats = StackOptions(parts={Part.NATS})
    async with running_stack(tmp_path, only_nats) as stack:
        url = stack.environment["NATS_URL"]
        client = await nats.connect(url)
        await client.jetstream().add_stream(name="S", subjects=["s"])
        await client.jetstream().publish("s", b"kept")
        await client.close()
        stack.processes["nats"].signal(signal.SIGKILL)
        assert await stack.processes["nats"].wait() == -signal.SIGKILL
        await stack.processes["nats"].start()

    async with running_stack(tmp_path, only_nats) as stack:
        assert stack.environment["NATS_URL"] == url, "the ports of the last run"
        client = await nats.connect(url)
        assert (await client.jetstream().get_last_msg("S", "s")).data == b"kept"
        await client.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 1 GB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"a disk of its own cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_disk_that_does_not_hold_what_nats_reserves_is_refused_before_anything_starts(small_disk: Path) -> None:
    with pytest.raises(CommandError) as caught:
        async with running_stack(small_disk, StackOptions(parts={Part.NATS})):
            pass
    assert re.fullmatch(r"NATS reserves 2,656 MB for its streams, and in \S+ [\d,]+ MB are free", caught.value.problem)
    assert re.search(r"free 1,6\d\d MB", caught.value.fix)


async def test_nats_on_a_disk_that_was_full_stores_again_once_there_is_room(small_disk: Path) -> None:
    sizes = {"SESSIONS_MAX_MB": "64", "IDEMPOTENCY_MAX_MB": "1", "SEATS_MAX_MB": "1", "KEYS_MAX_MB": "1"}
    options = StackOptions(parts={Part.NATS}, environment=system_environment() | sizes)
    async with running_stack(small_disk, options) as stack:
        supervising = asyncio.create_task(stack.supervisor.supervise())
        bus = await Bus.connect(stack.environment["NATS_URL"], name="test", graceful_timeout_s=1)
        await bus.ensure([replace(SESSIONS, max_bytes=64 * MIB)])
        try:
            filler = small_disk / "filler"
            with filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(small_disk).free - 2 * MIB)
            with pytest.raises(NotStored, match="can be read, but nats-server stores nothing in it"):
                await fill(bus)
            filler.unlink()
            async with asyncio.timeout(20):
                while True:
                    try:
                        await publish(bus, 99, deadline_s=1)
                        break
                    except BusUnavailable:
                        assert not supervising.done()
        finally:
            supervising.cancel()
            await asyncio.gather(supervising, return_exceptions=True)
            await bus.close()


async def fill(bus: Bus) -> None:
    for n in range(20):
        await publish(bus, n, deadline_s=1)


async def publish(bus: Bus, n: int, *, deadline_s: float) -> None:
    headers = {"Nats-Msg-Id": str(n)}
    await bus.publish_raw("voice.v1.session.tick.s1", b"x" * 400_000, headers=headers, deadline_s=deadline_s)


async def test_redis_keeps_its_data_and_evicts_nothing(tmp_path: Path) -> None:
    only_redis = StackOptions(parts={Part.REDIS})
    async with running_stack(tmp_path, only_redis) as stack:
        redis = Redis.from_url(stack.environment["REDIS_URL"])
        await redis.set("key", "kept")
        assert await redis.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        await redis.aclose()

    async with running_stack(tmp_path, only_redis) as stack:
        redis = Redis.from_url(stack.environment["REDIS_URL"])
        assert await redis.get("key") == b"kept"
        await redis.aclose()


async def test_livekit_takes_the_generated_key_and_creates_no_room_by_itself(tmp_path: Path) -> None:
    async with running_stack(tmp_path, StackOptions(parts={Part.LIVEKIT})) as stack:
        url, key = stack.environment["LIVEKIT_URL"], stack.environment["LIVEKIT_API_KEY"]
        client = api.LiveKitAPI(url, key, stack.environment["LIVEKIT_API_SECRET"])
        try:
            await client.room.create_room(api.CreateRoomRequest(name="made"))
            rooms = await client.room.list_rooms(api.ListRoomsRequest())
        finally:
            await client.aclose()
        token = api.AccessToken(key, stack.environment["LIVEKIT_API_SECRET"]).with_identity("x")
        unmade = token.with_grants(api.VideoGrants(room_join=True, room="unmade")).to_jwt()
        async with httpx.AsyncClient(trust_env=False) as http:
            joined = await http.get(f"{url.replace('ws', 'http')}/rtc/validate", params={"access_token": unmade})

    assert [room.name for room in rooms.rooms] == ["made"]
    assert joined.status_code == 404


async def test_postgresql_keeps_its_data_and_asks_for_its_password(tmp_path: Path) -> None:
    only_postgres = StackOptions(parts={Part.POSTGRES})
    async with running_stack(tmp_path, only_postgres) as stack:
        dsn = stack.environment["DATABASE_URL"].replace("+asyncpg", "")
        connection = await asyncpg.connect(dsn)
        await connection.execute("create table kept (n int)")
        await connection.close()
        stack.processes["postgres"].signal(signal.SIGKILL)
        await stack.processes["postgres"].wait()
        await stack.processes["postgres"].start()

    async with running_stack(tmp_path, only_postgres):
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("select count(*) from kept") == 0
        await connection.close()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(dsn, password="wrong")


async def test_a_configured_port_that_is_taken_is_refused_before_anything_starts(tmp_path: Path) -> None:
    port = next(free_ports())
    taken = StackOptions(parts={Part.NATS}, ports={"nats": port})
    async with running_stack(tmp_path / "one", taken):
        began = time.monotonic()
        with pytest.raises(CommandError, match=rf"port {port}, wanted by nats, is taken by nats-server \(pid \d+\)"):
            async with running_stack(tmp_path / "two", taken):
                pytest.fail("it started")

    assert time.monotonic() - began < 3


async def test_a_broken_server_program_stops_the_start_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "livekit-server"
    program.write_text("#!/bin/sh\necho 'no such option'\nexit 7\n")
    program.chmod(0o755)
    monkeypatch.setenv("LIVEKIT_SERVER_BIN", str(program))

    with pytest.raises(CommandError, match="livekit exited with code 7"):
        async with running_stack(tmp_path / "state", StackOptions(parts={Part.NATS, Part.LIVEKIT})):
            pytest.fail("it started")
