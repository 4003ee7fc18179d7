"""A store whose streams are in NATS' global account, as versions without accounts left it, keeps all that it holds."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from nats.js.api import ConsumerConfig

from chassis.nats import Bus
from contracts.events import ServedTick
from contracts.server_config import nats_accounts
from contracts.streams import BUCKETS, LEADERS, NODES, SESSIONS, SLOTS, STREAMS
from contracts.users import ACCOUNT, NATS_USERS
from greenroom_cli.stack import Part, StackOptions, running_stack
from greenroom_cli.stack.nats_store import move_to_account
from tests.support.servers import BIN, NatsServer

PASSWORD = "0" * 24
SCRIPT = Path(__file__).resolve().parents[3] / "deploy" / "nats" / "nats-server"
ACCOUNTS = nats_accounts(NATS_USERS, {user.name: json.dumps(PASSWORD) for user in NATS_USERS})


def tick(served_ms: int) -> ServedTick:
    return ServedTick(session_id="session_kept", time=datetime.now(UTC), epoch=1, served_ms=served_ms)


def in_compose(store: Path) -> None:
    """The container's entry point, with a nats-server that ends at once."""
    done = subprocess.run(
        ["sh", str(SCRIPT), "--version"],
        env=os.environ | {"STORE": str(store), "PATH": f"{BIN}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    assert "nats-server: v" in done.stdout


def in_up(store: Path) -> None:
    """What `greenroom up` does before it starts nats-server."""
    move_to_account(store, ACCOUNT)


async def fill(url: str) -> None:
    """A log with a consumer that has handled two of its three messages, a slot and a lease that ends soon."""
    bus = await Bus.connect(url, name="operator", graceful_timeout_s=1)
    await bus.ensure(STREAMS, BUCKETS)
    for served_ms in range(3):
        await bus.publish(
            ServedTick(session_id="session_kept", time=datetime.now(UTC), epoch=1, served_ms=served_ms),
            expect_last=None,
        )
    await bus.js.add_consumer("SESSIONS", ConsumerConfig(durable_name="billing", name="billing"))
    consumer = await bus.js.pull_subscribe_bind("billing", "SESSIONS")
    for message in await consumer.fetch(2, timeout=5):
        await message.ack_sync()
    await bus.bucket(SLOTS).put("0", b"session_kept")
    await bus.bucket(LEADERS).put("scheduler", b"old", ttl_s=1)
    await bus.close()


@pytest.mark.parametrize("move", [in_up, in_compose])
async def test_a_store_of_before_is_moved_once_and_keeps_what_it_holds(
    tmp_path: Path, move: Callable[[Path], None]
) -> None:
    server = NatsServer(tmp_path)
    with server:
        await fill(server.url)
        server.stop()
    store = tmp_path / "store"
    move(store)
    move(store)
    server.configure(ACCOUNTS)
    with server:
        url = server.url.replace("//", f"//operator:{PASSWORD}@")
        bus = await Bus.connect(url, name="operator", graceful_timeout_s=1)
        await bus.ensure(STREAMS, BUCKETS)
        history = await bus.history("session_kept")
        info = await bus.js.consumer_info("SESSIONS", "billing")
        slot = await bus.bucket(SLOTS).get("0")
        await bus.bucket(NODES).put("n1", b"{}")
        await bus.close()

        node = await Bus.connect(
            server.url.replace("//", f"//agent-runner:{PASSWORD}@"), name="agent-runner", graceful_timeout_s=1
        )
        again = await node.publish(tick(2))
        await node.ensure([SESSIONS], [NODES], owned=())
        await node.close()

    assert [stored.seq for stored in history] == [1, 2, 3]
    assert (info.ack_floor.stream_seq if info.ack_floor else None, info.num_pending) == (2, 1)
    assert slot is not None
    assert slot.data == b"session_kept"
    assert (again.seq, again.duplicate) == (3, True)  # the ids of the last minutes are known again
    assert {path.name for path in (store / "jetstream").iterdir()} == {ACCOUNT}


async def test_greenroom_up_moves_the_store_of_its_state_folder(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "before")
    with server:
        await fill(server.url)
        server.stop()
    state = tmp_path / "state"
    state.mkdir()
    (tmp_path / "before" / "store").rename(state / "nats")

    async with running_stack(state, StackOptions(parts={Part.NATS})) as stack:
        bus = await Bus.connect(stack.environment["NATS_URL"], name="operator", graceful_timeout_s=1)
        history = await bus.history("session_kept")
        await bus.close()

    assert [stored.seq for stored in history] == [1, 2, 3]


@pytest.mark.parametrize("move", [in_up, in_compose])
def test_two_stores_are_left_alone_and_named(tmp_path: Path, move: Callable[[Path], None]) -> None:
    streams = [tmp_path / "jetstream" / account / "streams" / "SESSIONS" for account in ("$G", ACCOUNT)]
    for stream in streams:
        stream.mkdir(parents=True)

    with pytest.raises(Exception, match="both") as refused:
        move(tmp_path)

    assert str(tmp_path / "jetstream" / ACCOUNT) in str(refused.value)
    assert all(stream.is_dir() for stream in streams)


@pytest.mark.parametrize("move", [in_up, in_compose])
def test_an_empty_account_makes_room(tmp_path: Path, move: Callable[[Path], None]) -> None:
    kept = tmp_path / "jetstream" / "$G" / "streams" / "SESSIONS"
    kept.mkdir(parents=True)
    (tmp_path / "jetstream" / ACCOUNT / "streams").mkdir(parents=True)

    move(tmp_path)

    assert (tmp_path / "jetstream" / ACCOUNT / "streams" / "SESSIONS").is_dir()
    shutil.rmtree(tmp_path / "jetstream" / ACCOUNT)
    move(tmp_path)
    assert list((tmp_path / "jetstream").iterdir()) == []
