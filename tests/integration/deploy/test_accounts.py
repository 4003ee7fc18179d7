"""Nodes in a NATS account of their own: all they do goes through, an answer sent to a foreign subject does not."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from nats.aio.msg import Msg

from agent_runner.adapters.nats_outbox import NatsOutboxes
from agent_runner.adapters.spool import Spool
from chassis.nats import Bus, Change, ChangeKind, KeyExists, NoResponder, SequenceConflict
from contracts.commands import DRAIN, GRANT, CreditGranted, DrainNode, EndJob, GrantCredit, JobEnded, NodeDraining
from contracts.events import Event, ProviderFault, ServedTick, TimeLost, ToolCalled
from contracts.server_config import nats_accounts
from contracts.streams import BUCKETS, NODES, PREJOINED, SESSIONS, STREAMS
from contracts.subjects import BILLING_GRANT, node_command, session_event, session_log
from contracts.users import AGENT_RUNNER, NATS_USERS, SCHEDULER, NatsUser
from scheduler.adapters.nats_session_log import NatsSessionLog
from scheduler.ports import WriteRefused
from tests.support.connections import written
from tests.support.events import NOW, SESSION, fault, requested, started, stopped, tool
from tests.support.events import tick as beat
from tests.support.responding import respond
from tests.support.servers import NatsServer

PASSWORD: Final = "0" * 24
LONG: Final = 300
FORMERLY_REFUSED: Final[tuple[Event, ...]] = (
    started(),
    beat(1),
    stopped(1),
    TimeLost(session_id=SESSION, time=NOW, epoch=2, billable_ms=1),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A nats-server with the users and accounts that are shipped."""
    yield from serving(tmp_path_factory.mktemp("accounts"), NATS_USERS)


@pytest.fixture
def former_server(tmp_path: Path) -> Iterator[NatsServer]:
    """One with former users: no `tool` and `fault`, and of a lost log the scheduler wrote only `requested` again."""
    users = {user.name: user for user in NATS_USERS}
    for name, events in ((SCHEDULER, FORMERLY_REFUSED), (AGENT_RUNNER, (ToolCalled, ProviderFault))):
        unknown = {session_event(event.event, "*") for event in events}
        permitted = tuple(subject for subject in users[name].publish if subject not in unknown)
        users[name] = replace(users[name], publish=permitted)
    yield from serving(tmp_path, list(users.values()))


def serving(folder: Path, users: Sequence[NatsUser]) -> Iterator[NatsServer]:
    accounts = nats_accounts(users, {user.name: json.dumps(PASSWORD) for user in users})
    with NatsServer(folder, config=accounts) as running:
        assert isinstance(running, NatsServer)
        yield running


async def connected(server: NatsServer, user: str) -> Bus:
    url = server.url.replace("//", f"//{user}:{PASSWORD}@")
    return await Bus.connect(url, name=user, graceful_timeout_s=1)


@pytest.fixture
async def node(server: NatsServer) -> AsyncIterator[Bus]:
    bus = await connected(server, "agent-runner")
    await bus.ensure([SESSIONS], [NODES, PREJOINED], owned=())
    yield bus
    await bus.close()


@pytest.fixture
async def scheduler(server: NatsServer) -> AsyncIterator[Bus]:
    bus = await connected(server, "scheduler")
    yield bus
    await bus.close()


@pytest.fixture
async def operator(server: NatsServer) -> AsyncIterator[Bus]:
    bus = await connected(server, "operator")
    await bus.ensure(STREAMS, BUCKETS)
    yield bus
    await bus.close()


def tick(session: str, served_ms: int) -> ServedTick:
    return ServedTick(session_id=session, time=datetime.now(UTC), epoch=1, served_ms=served_ms)


async def test_a_node_publishes_and_reads_the_log(node: Bus, operator: Bus) -> None:
    first = await node.publish(tick("session_log", 1), expect_last=0)
    again = await node.publish(tick("session_log", 1))
    with pytest.raises(SequenceConflict) as conflict:
        await node.publish(tick("session_log", 2), expect_last=0)
    for served_ms in range(2, LONG):
        await node.publish(tick("session_log", served_ms))

    last = await node.last("voice.v1.session.tick.session_log")
    history = await node.each("voice.v1.session.*.session_log")
    recorded = await operator.js.get_msg("SESSIONS", first.seq)

    assert (again.seq, again.duplicate, conflict.value.last_seq) == (first.seq, True, first.seq)
    assert last is not None
    assert last.seq == history[-1].seq
    assert len(history) == LONG - 1
    assert "Nats-Request-Info" not in (recorded.headers or {})


async def test_a_node_keeps_its_keys_and_the_scheduler_follows_them(node: Bus, scheduler: Bus, operator: Bus) -> None:
    del operator  # it has made the buckets
    told: asyncio.Queue[Change] = asyncio.Queue()
    ready = asyncio.Event()
    watching = asyncio.create_task(scheduler.bucket(NODES).watch(told.put, ready=ready))
    await asyncio.wait_for(ready.wait(), 10)
    keys = node.bucket(NODES)

    revision = await keys.create("n1", b"one", ttl_s=60)
    with pytest.raises(KeyExists):
        await keys.create("n1", b"other")
    revision = await keys.update("n1", b"two", revision, ttl_s=60)
    entry = await keys.get("n1")
    await keys.delete("n1", revision)
    await keys.put("n2", b"", ttl_s=1)

    changes = [await asyncio.wait_for(told.get(), 15) for _ in range(5)]
    watching.cancel()
    assert entry is not None
    assert (entry.data, entry.revision) == (b"two", revision)
    assert [(c.key, c.data) for c in changes[:4]] == [("n1", b"one"), ("n1", b"two"), ("n1", None), ("n2", b"")]
    assert changes[4].kind is ChangeKind.EXPIRED


async def test_commands_and_grants_pass_between_the_accounts_also_after_the_server_was_killed(
    server: NatsServer, node: Bus, scheduler: Bus
) -> None:
    gateway, billing = await connected(server, "gateway"), await connected(server, "billing")

    async def drain(command: DrainNode) -> NodeDraining:
        return NodeDraining(jobs=int(command.limit_s))

    async def grant(command: GrantCredit) -> CreditGranted:
        return CreditGranted(granted_minutes=command.total_minutes)

    answering = [
        respond(node, node_command("n1", "drain"), drain),
        respond(billing, BILLING_GRANT, grant),
    ]
    for responder in answering:
        await responder.start()
    for round_ in range(2):
        for number in range(50):
            told = await gateway.request(DRAIN.at("n1"), DrainNode(limit_s=number + 1))
            assert told == NodeDraining(jobs=number + 1)
            asked = GrantCredit(session_id="session_g", user_id="u", total_minutes=number + 1)
            assert await node.request(GRANT, asked) == CreditGranted(granted_minutes=number + 1)
        with pytest.raises(NoResponder):
            await gateway.request(DRAIN.at("n2"), DrainNode(limit_s=1))
        await node.publish(tick("session_restart", round_))
        if round_ == 0:
            back = [asyncio.Event() for _ in range(4)]
            for bus, event in zip((node, scheduler, gateway, billing), back, strict=True):
                bus.on_reconnect(_setting(event))
            server.restart()
            async with asyncio.timeout(20):
                for event in back:
                    await event.wait()
            for bus in (node, scheduler, gateway, billing):
                await bus.nc.flush(5)
    for responder in answering:
        await responder.stop()
    await gateway.close()
    await billing.close()


def _setting(event: asyncio.Event) -> Callable[[], Coroutine[Any, Any, None]]:
    async def call() -> None:
        event.set()

    return call


FORGED = ("voice.v1.session.ended.session_x", "voice.v1.session.assigned.session_x", "$KV.slots.0", "$KV.leaders.x")
API = (
    *(f"$JS.API.STREAM.{verb}.{name}" for verb in ("DELETE", "PURGE") for name in ("KV_slots", "SESSIONS")),
    "$JS.API.CONSUMER.DELETE.SESSIONS.billing",
)


async def ask_for_everything(node: Bus, reply: str, body: bytes) -> None:
    """Bytes of the node's choice by a direct get, and each other answer that it can ask for, to one reply subject."""
    chosen = "voice.v1.session.tick.session_x"
    await node.publish_raw(chosen, body, headers={"Nats-Msg-Id": f"{reply} {body!r}"})
    await node.bucket(NODES).put("empty", b"")
    for stream, subject in (("SESSIONS", chosen), ("KV_nodes", "$KV.nodes.empty")):
        for wanted in ({"last_by_subj": subject}, {"multi_last": [subject]}, {"seq": 1, "next_by_subj": subject}):
            for verb in ("DIRECT.GET", "STREAM.MSG.GET"):
                await node.nc.publish(f"$JS.API.{verb}.{stream}", json.dumps(wanted).encode(), reply=reply)
    await node.nc.publish(chosen, b"{}", reply=reply)
    await node.nc.publish("$KV.nodes.mine", b"{}", reply=reply)
    await node.nc.publish("$JS.API.INFO", reply=reply)
    await node.nc.publish("$JS.API.STREAM.CREATE.SESSIONS", b"{}", reply=reply)
    await written(node.nc)
    await node.publish(tick("session_after", 1))  # of the same connection, so the server has handled those above
    await asyncio.sleep(0.1)


@pytest.mark.parametrize("foreign", [*FORGED, *API])
async def test_an_answer_that_a_node_sends_to_a_foreign_subject_arrives_nowhere(
    node: Bus, operator: Bus, foreign: str
) -> None:
    ended = {"session_id": "session_x", "time": "2026-11-28T21:00:00Z", "outcome": "completed", "epoch": 1}
    heard: list[Msg] = []

    async def hear(message: Msg) -> None:
        heard.append(message)

    await operator.nc.subscribe(foreign, cb=hear)
    await written(operator.nc)

    await ask_for_everything(node, foreign, json.dumps(ended).encode())

    await written(operator.nc)
    assert heard == []
    for name in ("SESSIONS", "KV_slots"):
        await operator.js.stream_info(name)
    for subject in FORGED:
        stream = "SESSIONS" if subject.startswith("voice") else f"KV_{subject.split('.')[1]}"
        info = await operator.js.stream_info(stream, subjects_filter=subject)
        assert not info.state.subjects


async def test_a_node_cannot_command_another(server: NatsServer, node: Bus, operator: Bus) -> None:
    """All nodes are in one account: an answer with a node's subject as its reply arrives there."""
    del operator  # it has made the streams
    other = await connected(server, "agent-runner")
    ended: list[EndJob] = []

    async def end(command: EndJob) -> JobEnded:
        ended.append(command)
        return JobEnded(found=True, served_ms=0, process_gone=True)

    subject = node_command("n2", "end")
    responder = respond(other, subject, end)
    await responder.start()

    await ask_for_everything(
        node, subject, EndJob(session_id="session_x", epoch=1, reason="x").model_dump_json().encode()
    )

    await written(other.nc)
    await responder.stop()
    await other.close()
    assert ended == []


async def test_users_of_a_former_version_refuse_what_they_do_not_know_as_such_and_nothing_else(
    former_server: NatsServer,
) -> None:
    bus = await connected(former_server, "scheduler")
    await bus.ensure([SESSIONS], [], owned=())
    log = NatsSessionLog(bus)

    async def refusal_of(event: Event) -> str:
        with pytest.raises(WriteRefused) as refused:
            await log.append(event)
        return str(refused.value)

    refusals = await asyncio.gather(*map(refusal_of, FORMERLY_REFUSED))
    await log.append(requested(), expect_last=0)
    await bus.close()

    for event, refusal in zip(FORMERLY_REFUSED, refusals, strict=True):
        assert f"may not publish to {event.subject}" in refusal


async def test_users_of_a_former_version_refuse_a_nodes_new_events_and_keep_none_behind_them_from_the_log(
    former_server: NatsServer, tmp_path: Path
) -> None:
    bus = await connected(former_server, "agent-runner")
    await bus.ensure([SESSIONS], [], owned=())
    outboxes = NatsOutboxes(bus, Spool(tmp_path / "spool", 10_000))
    outbox = outboxes.open(SESSION, 1)

    for event in (started(), fault(), tool(), stopped(1)):
        outbox.put(event)

    assert await outbox.flush(15)
    assert [stored.event for stored in await bus.each(session_log(SESSION))] == [started(), stopped(1)]
    await outboxes.close(1)
    await bus.close()
