"""The users of NATS and Redis on real servers, with the configuration that is shipped for Docker Compose."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats
import pytest
from nats.aio.msg import Msg
from nats.js.errors import APIError
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from agent_runner.adapters.redis_call_logs import RedisCallLogs
from chassis.nats import Bus, BusRefused
from contracts.events import EVENTS
from contracts.streams import BUCKETS, STREAMS
from contracts.users import NATS_USERS, REDIS_USERS, nats_variable, redis_variable
from tests.support.connections import written
from tests.support.servers import BIN, free_port

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
NATS_PASSWORDS = {user.name: str(number).zfill(24) for number, user in enumerate(NATS_USERS)}
REDIS_PASSWORDS = {user.name: f"secret{number}" for number, user in enumerate(REDIS_USERS)}

G, S, A, B = "gateway", "scheduler", "agent-runner", "billing"
NOBODY: frozenset[str] = frozenset()
EVERYBODY = {G, S, A, B}
STREAM_NAMES = (
    *("SESSIONS", "ROOMS", "DEAD"),
    *("KV_nodes", "KV_prejoined", "KV_slots", "KV_leaders", "KV_queue", "KV_seats", "KV_idempotency", "KV_keys"),
)
GATEWAYS_STREAMS = ("KV_seats", "KV_idempotency")

# Each subject that decides something, and the services whose users may publish to it.
PUBLISH: dict[str, set[str] | frozenset[str]] = {
    # The log.
    "voice.v1.session.requested.s1": {G, S},
    "voice.v1.session.end_requested.s1": {G},
    "voice.v1.session.queued.s1": {S},
    "voice.v1.session.assigned.s1": {S},
    "voice.v1.session.ended.s1": {S},
    "voice.v1.session.agent_ready.s1": {A},
    "voice.v1.session.started.s1": {A, S},  # the scheduler writes it again after a loss; tick, agent_stopped too
    "voice.v1.session.speaking.s1": {A},
    "voice.v1.session.turn.s1": {A},
    "voice.v1.session.tool.s1": {A},
    "voice.v1.session.fault.s1": {A},
    "voice.v1.session.tick.s1": {A, S},
    "voice.v1.session.agent_stopped.s1": {A, S},
    "voice.v1.session.time_lost.s1": {S},
    "voice.v1.session.billed.s1": {B},
    "voice.v1.session.erased.s1": {G},
    "voice.v1.room.participant_joined.s1": {G},
    "dead.voice.v1.session.ended.s1": EVERYBODY,
    # Commands and their answers.
    "voice.v1.node.n1.assign": {S},
    "voice.v1.node.n1.end": {S},
    "voice.v1.node.n1.prejoin": {S},
    "voice.v1.node.n1.describe": {S},
    "voice.v1.node.n1.drain": {G},
    "voice.v1.node.n1~0123abcd.assign": {S},
    "voice.v1.node.n1~0123abcd.end": {S},
    "voice.v1.billing.reserve": {G},
    "voice.v1.billing.grant": {A},
    "_INBOX_gateway.x": NOBODY,
    "_INBOX_scheduler.x": NOBODY,
    "_INBOX_agent-runner.x": NOBODY,
    "_INBOX_billing.x": NOBODY,
    # Keys.
    "$KV.nodes.n1": {A},
    "$KV.prejoined.s1": {A, S, G},
    "$KV.slots.0": {S},
    "$KV.leaders.scheduler": {S},
    "$KV.leaders.projector": {G},
    "$KV.queue.starts": {S},
    "$KV.seats.s1": {G},
    "$KV.keys.s1": {G, S},
    "$KV.idempotency.k1": {G},
    # JetStream: what exists, and what it is like.
    **{
        f"$JS.API.STREAM.{verb}.{name}": NOBODY
        for name in STREAM_NAMES
        for verb in ("DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE", "LEADER.STEPDOWN", "PEER.REMOVE")
    },
    "$JS.API.STREAM.MSG.DELETE.KV_keys": {G},  # to erase a session's words
    "$JS.API.STREAM.DELETE.KV_nodes": {S},  # to recreate it in memory; its keys are back within a second
    **{f"$JS.API.STREAM.UPDATE.{name}": {S} for name in STREAM_NAMES if name not in GATEWAYS_STREAMS},
    **{f"$JS.API.STREAM.UPDATE.{name}": {G} for name in GATEWAYS_STREAMS},
    "$JS.API.STREAM.CREATE.SESSIONS": EVERYBODY,
    "$JS.API.STREAM.CREATE.OTHER": NOBODY,
    # JetStream: reading. Consumers and direct gets make the server publish stored bytes to any subject: not for nodes.
    "$JS.API.STREAM.MSG.GET.SESSIONS": EVERYBODY,
    "$JS.API.DIRECT.GET.SESSIONS": {G, S, B},
    "$JS.API.CONSUMER.CREATE.SESSIONS.c1": {G, S, B},
    "$JS.API.CONSUMER.MSG.NEXT.SESSIONS.c1": {G, S, B},
    "$JS.API.CONSUMER.DURABLE.CREATE.SESSIONS.c1": NOBODY,
    "$JS.API.CONSUMER.CREATE.SESSIONS": NOBODY,
    **{f"$JS.API.CONSUMER.{verb}.SESSIONS.billing": {B} for verb in ("CREATE", "MSG.NEXT", "DELETE")},
    "$JS.API.CONSUMER.INFO.SESSIONS.billing": {S, B},
    "$JS.ACK.SESSIONS.billing.1.1.1.1700000000000000000.0": {B},
    "$JS.API.DIRECT.GET.ROOMS": {S},
    "$JS.API.CONSUMER.CREATE.ROOMS.c1": {S},
    "$JS.API.DIRECT.GET.DEAD": NOBODY,
    "$JS.API.STREAM.MSG.GET.DEAD": EVERYBODY,
    "$JS.API.CONSUMER.CREATE.DEAD.c1": NOBODY,
    "$JS.API.DIRECT.GET.KV_nodes": {S, G},
    "$JS.API.STREAM.MSG.GET.KV_nodes": {A, S, G},
    "$JS.API.CONSUMER.CREATE.KV_nodes.c1": {S},
    "$JS.API.DIRECT.GET.KV_prejoined": {S, G},
    "$JS.API.STREAM.MSG.GET.KV_prejoined": {A, S, G},
    "$JS.API.CONSUMER.CREATE.KV_prejoined.c1": {S, G},
    "$JS.API.DIRECT.GET.KV_slots": {S, G},
    "$JS.API.CONSUMER.CREATE.KV_slots.c1": NOBODY,
    "$JS.API.DIRECT.GET.KV_leaders": {S, G},
    "$JS.API.CONSUMER.CREATE.KV_leaders.c1": NOBODY,
    "$JS.API.DIRECT.GET.KV_queue": {G},
    "$JS.API.CONSUMER.CREATE.KV_queue.c1": {G},
    "$JS.API.DIRECT.GET.KV_seats": {G},
    "$JS.API.CONSUMER.CREATE.KV_seats.c1": NOBODY,
    # The keys of words are for those who open words themselves, not for nodes.
    "$JS.API.DIRECT.GET.KV_keys": {G},
    "$JS.API.STREAM.MSG.GET.KV_keys": {G, S},
    "$JS.API.CONSUMER.CREATE.KV_keys.c1": NOBODY,
    # A publish that gets no answer asks about its stream.
    **{f"$JS.API.STREAM.INFO.{stream}": {G, S} for stream in STREAM_NAMES},
    **{f"$JS.API.STREAM.INFO.{stream}": {G, S, A} for stream in ("KV_nodes", "KV_prejoined")},
    **{f"$JS.API.STREAM.INFO.{stream}": EVERYBODY for stream in ("SESSIONS", "DEAD")},
    "$JS.API.DIRECT.GET.KV_idempotency": {G},
    "$JS.API.CONSUMER.CREATE.KV_idempotency.c1": NOBODY,
    "$JS.API.STREAM.LIST": NOBODY,
    "$JS.API.SERVER.REMOVE": NOBODY,
    "$SYS.REQ.SERVER.PING": NOBODY,
}

SUBSCRIBE: dict[str, set[str] | frozenset[str]] = {
    ">": NOBODY,
    "voice.v1.session.>": NOBODY,
    "voice.v1.session.turn.*": NOBODY,
    "voice.v1.node.>": NOBODY,
    "voice.v1.node.*.assign": {A},
    "voice.v1.node.n1.end": {A},
    "voice.v1.node.n1.prejoin": {A},
    "voice.v1.node.n1.describe": {A},
    "voice.v1.node.n1.drain": {A},
    "voice.v1.node.n1~0123abcd.assign": {A},
    "voice.v1.billing.reserve": {B},
    "voice.v1.billing.grant": {B},
    "dead.>": NOBODY,
    "$KV.>": NOBODY,
    "$KV.idempotency.*": NOBODY,
    "$JS.>": NOBODY,
    "$SYS.>": NOBODY,
    "_INBOX.>": NOBODY,
    "_INBOX_gateway.>": {G},
    "_INBOX_scheduler.>": {S},
    "_INBOX_agent-runner.>": {A},
    "_INBOX_billing.>": {B},
}


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def running(command: list[str], environment: dict[str, str], port: int, folder: Path) -> Iterator[int]:
    """A server with its shipped configuration, until the end of the tests; its port."""
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=os.environ | environment, cwd=folder, stdout=file, stderr=file)
    try:
        until = time.monotonic() + 10
        while not listens(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.02)
        yield port
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def nats_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A nats-server with deploy/nats/nats.conf; only its addresses and its folder differ."""
    folder, port = tmp_path_factory.mktemp("nats"), free_port()
    shipped = (DEPLOY / "nats" / "nats.conf").read_text()
    assert '"/data"' in shipped
    (folder / "nats.conf").write_text(shipped.replace('"/data"', json.dumps(str(folder))))
    command = [str(BIN / "nats-server"), "-c", "nats.conf"]
    command += ["-a", "127.0.0.1", "-p", str(port), "-m", str(free_port())]
    # In quotes, as compose.yaml gives them: these are digits alone.
    passwords = {nats_variable(user): f'"{password}"' for user, password in NATS_PASSWORDS.items()}
    yield from running(command, passwords, port, folder)


@pytest.fixture
async def operator(nats_port: int) -> AsyncIterator[Bus]:
    """The operator's bus, with all streams and buckets made."""
    bus = await Bus.connect(url_of(nats_port, "operator"), name="operator", graceful_timeout_s=1)
    await bus.ensure(STREAMS, BUCKETS)
    yield bus
    await bus.close()


def url_of(port: int, user: str) -> str:
    return f"nats://{user}:{NATS_PASSWORDS[user]}@127.0.0.1:{port}"


async def refused(port: int, user: str, *, publish: list[str], subscribe: list[str]) -> set[str]:
    """The subjects that the server refuses this user."""
    errors: list[str] = []

    async def note(error: Exception) -> None:
        errors.append(str(error).lower())

    async def ignore(_: object) -> None:
        return None

    client = await nats.connect(url_of(port, user), error_cb=note, inbox_prefix=f"_INBOX_{user}".encode())
    try:
        for subject in publish:
            await client.publish(subject, b"{}")
        for subject in subscribe:
            await client.subscribe(subject, cb=ignore)
        await written(client)
        await asyncio.sleep(0.1)  # error callbacks are tasks
    finally:
        await client.close()
    kinds = {"publish": publish, "subscription": subscribe}
    return {
        subject
        for kind, subjects in kinds.items()
        for subject in subjects
        if any(f'permissions violation for {kind} to "{subject.lower()}"' in error for error in errors)
    }


@pytest.mark.parametrize("user", sorted(EVERYBODY))
async def test_a_service_may_publish_its_own_subjects_and_no_other(nats_port: int, operator: Bus, user: str) -> None:
    del operator  # it has made the streams

    found = await refused(nats_port, user, publish=list(PUBLISH), subscribe=[])

    assert found == {subject for subject, allowed in PUBLISH.items() if user not in allowed}


@pytest.mark.parametrize("user", sorted(EVERYBODY))
async def test_a_service_hears_its_own_subjects_and_no_other(nats_port: int, user: str) -> None:
    found = await refused(nats_port, user, publish=[], subscribe=list(SUBSCRIBE))

    assert found == {subject for subject, allowed in SUBSCRIBE.items() if user not in allowed}


def test_every_stream_and_every_service_is_in_the_tables() -> None:
    kept = {spec.name for spec in STREAMS} | {f"KV_{spec.name}" for spec in BUCKETS}
    assert kept == set(STREAM_NAMES)
    assert {user.name for user in NATS_USERS} == EVERYBODY | {"operator"}
    assert {f"voice.v1.session.{event.event}.s1" for event in EVENTS} <= PUBLISH.keys()


@pytest.mark.parametrize(
    ("user", "subject", "asker"), [(A, "voice.v1.node.n1.assign", S), (B, "voice.v1.billing.reserve", G)]
)
async def test_a_service_may_answer_what_it_is_asked(nats_port: int, user: str, subject: str, asker: str) -> None:
    """Only with `allow_responses`, since replies go to the inbox of another user."""
    responder = await nats.connect(url_of(nats_port, user), inbox_prefix=f"_INBOX_{user}".encode())
    requester = await nats.connect(url_of(nats_port, asker), inbox_prefix=f"_INBOX_{asker}".encode())

    async def answer(message: Msg) -> None:
        await message.respond(b"yes")

    await responder.subscribe(subject, cb=answer)
    await written(responder)

    assert (await requester.request(subject, b"?", timeout=2)).data == b"yes"
    await responder.close()
    await requester.close()


@pytest.mark.parametrize("url", ["nats://127.0.0.1:{port}", "nats://gateway:wrong@127.0.0.1:{port}"])
async def test_without_a_password_there_is_no_connection(nats_port: int, url: str) -> None:
    with pytest.raises(BusRefused, match="wrong user or password"):
        await Bus.connect(url.format(port=nats_port), name="stranger", deadline_s=5)


async def test_not_even_the_operator_deletes_or_purges_the_log(nats_port: int, operator: Bus) -> None:
    await operator.js.publish("voice.v1.session.tick.kept", b"{}")

    with pytest.raises(APIError, match="purge not permitted"):
        await operator.js.purge_stream("SESSIONS")
    last = await operator.js.get_last_msg("SESSIONS", "voice.v1.session.tick.kept")
    with pytest.raises(APIError, match="delete not permitted"):
        await operator.js.delete_msg("SESSIONS", last.seq or 0)


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A redis-server as deploy/redis/redis-server starts it; only its address differs."""
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    entrypoint = folder / "entrypoint"
    entrypoint.write_text('#!/bin/sh\nexec "$@"\n')
    entrypoint.chmod(0o755)
    environment = {redis_variable(user): password for user, password in REDIS_PASSWORDS.items()}
    environment |= {"ENTRYPOINT": str(entrypoint), "PATH": f"{BIN}:{os.environ['PATH']}"}
    command = ["sh", str(DEPLOY / "redis" / "redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
    yield from running(command, environment, port, folder)


def redis_url(port: int, user: str) -> str:
    return f"redis://{user}:{REDIS_PASSWORDS[user]}@127.0.0.1:{port}/0"


READS = (("HGETALL", "session:s1"), ("LRANGE", "agent:s1:logs", "0", "-1"), ("SCARD", "pool:ready"))
WRITES = (("HSET", "session:s1", "status", "ended"), ("DEL", "agent:s1:pid"), ("SADD", "pool:ready", "x"))
FOREIGN = (("GET", "other"), ("SET", "other", "x"))
INTERNAL = (("GET", "projection:position"), ("SET", "projection:position", "1"))
LOGS = (
    ("RPUSH", "agent:s1:logs", "line"),
    ("LTRIM", "agent:s1:logs", "-100", "-1"),
    ("EXPIRE", "agent:s1:logs", "60"),
    ("DEL", "agent:s1:logs"),
)
ADMINISTRATION = (("FLUSHALL",), ("CONFIG", "GET", "*"), ("ACL", "LIST"), ("KEYS", "*"), ("SHUTDOWN",), ("INFO",))


@pytest.mark.parametrize(
    ("user", "allowed", "denied"),
    [
        ("gateway", (*READS, *WRITES, *INTERNAL), (*FOREIGN, *ADMINISTRATION)),
        ("agent-runner", LOGS, (*READS, *WRITES, *INTERNAL, *FOREIGN, *ADMINISTRATION)),
        ("reader", READS, (*WRITES, *LOGS, *INTERNAL, *FOREIGN, *ADMINISTRATION)),
        ("operator", (*READS, *WRITES, *FOREIGN, *INTERNAL, ("INFO",), ("KEYS", "*")), ()),
    ],
)
async def test_a_user_of_redis_has_its_own_keys_and_commands(
    redis_port: int, user: str, allowed: tuple[tuple[str, ...], ...], denied: tuple[tuple[str, ...], ...]
) -> None:
    async with Redis.from_url(redis_url(redis_port, user)) as redis:
        for command in allowed:
            await redis.execute_command(*command)
        for command in denied:
            with pytest.raises(NoPermissionError):
                await redis.execute_command(*command)


async def test_redis_serves_no_client_without_a_password(redis_port: int) -> None:
    async with Redis.from_url(f"redis://127.0.0.1:{redis_port}/0") as redis:
        with pytest.raises(AuthenticationError):
            await redis.get("session:s1")


async def test_a_node_carries_its_log_lines_over_as_its_own_user(redis_port: int, tmp_path: Path) -> None:
    logs = RedisCallLogs(redis_url(redis_port, "agent-runner"))
    file = tmp_path / "session.log"
    logs.follow("s2", file)
    file.write_text("one\ntwo\n")
    logs.leave("s2")

    assert await logs.carry()

    await logs.close()
    async with Redis.from_url(redis_url(redis_port, "reader"), decode_responses=True) as redis:
        assert await redis.lrange("agent:s2:logs", 0, -1) == ["one", "two"]


async def test_a_key_that_holds_something_else_is_written_over_and_costs_the_other_calls_nothing(
    redis_port: int, tmp_path: Path
) -> None:
    async with Redis.from_url(redis_url(redis_port, "operator"), decode_responses=True) as redis:
        await redis.set("agent:spoilt:logs", "no list")
        logs = RedisCallLogs(redis_url(redis_port, "agent-runner"))
        for session in ("before", "spoilt", "zafter"):
            logs.follow(session, tmp_path / session)
            (tmp_path / session).write_text("one\n")
        logs.leave("spoilt")

        carried = [await logs.carry(), await logs.carry()]

        await logs.close()
        assert carried == [True, True]
        for session in ("before", "spoilt", "zafter"):
            assert await redis.lrange(f"agent:{session}:logs", 0, -1) == ["one"]
        assert await redis.ttl("agent:spoilt:logs") > 0
