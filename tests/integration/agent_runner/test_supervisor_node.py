"""A whole supervisor process with stand-in workers, driven over a real NATS as the scheduler drives it."""

import asyncio
import json
import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest
from redis.asyncio import Redis

from chassis.nats import Bus
from contracts.commands import DRAIN, CommandFailed, DrainNode, JobAccepted, JobEnded, NodeDraining
from contracts.deadlines import KILL_S, LAST_WORDS_S, NODE_END_S
from contracts.events import AgentReady, AgentSpeaking, AgentStopped, ServedTick, TurnFinished
from contracts.streams import NODES
from tests.integration.agent_runner.node_process import STAND_IN, Driver, NodeProcess
from tests.support.processes import descendants, is_alive, parent_of
from tests.support.servers import NatsServer
from tests.support.waiting import until


async def test_a_job_from_assignment_to_end(drive: Driver) -> None:
    reply = await drive.assign("session_1")
    assert isinstance(reply, JobAccepted)
    assert is_alive(reply.pid)
    await drive.has("session_1", "started")
    await drive.has("session_1", "tick")

    ended = await drive.ended("session_1")

    assert (ended.found, ended.process_gone) == (True, True)
    assert not is_alive(reply.pid)
    assert await drive.names("session_1") == [
        "assigned",
        "agent_ready",
        "started",
        "speaking",
        "turn",
        "agent_stopped",
    ]
    heard = next(e for e in await drive.log("session_1") if isinstance(e, AgentSpeaking))
    assert {"pool_wait", "go", "connect", "joined", "heard"} == heard.stage_ms.keys()
    log = await drive.log("session_1")
    ready = next(e for e in log if isinstance(e, AgentReady))
    assert (ready.pid, ready.node_id) == (reply.pid, drive.node.node_id)
    assert {"pool_wait", "go", "connect", "joined"} <= ready.stage_ms.keys()
    assert Path(ready.log_file) == drive.node.log_dir / "session_1.log"
    stopped = log[-1]
    assert isinstance(stopped, AgentStopped)
    assert (stopped.cause, stopped.served_ms) == ("ended", ended.served_ms)
    ticks = [e.served_ms for e in log if isinstance(e, ServedTick)]
    assert ticks == sorted(ticks)
    assert ticks[-1] <= ended.served_ms


async def test_repeated_commands_change_nothing(drive: Driver) -> None:
    first = await drive.assign("session_1")
    assert await drive.assign("session_1") == first
    ended = await drive.ended("session_1")
    assert await drive.ended("session_1") == ended
    again = await drive.assign("session_1")
    assert isinstance(again, CommandFailed)
    assert again.code == "epoch_over"
    assert (await drive.names("session_1")).count("agent_stopped") == 1


async def test_an_unknown_job_ends_at_once(drive: Driver) -> None:
    assert await drive.end("session_9") == JobEnded(found=False, served_ms=0, process_gone=True)


async def test_a_stale_epoch_changes_nothing_and_a_newer_one_replaces(drive: Driver) -> None:
    await drive.start("session_1", epoch=2)
    for stale in (await drive.assign("session_1", epoch=1), await drive.end("session_1", epoch=1)):
        assert isinstance(stale, CommandFailed)
        assert stale.code == "stale_epoch"
    await drive.start("session_1", epoch=3, takeover=True)
    await drive.has("session_1", "agent_stopped", epoch=2, cause="superseded")
    await drive.shows(lambda s: [j.epoch for j in s.jobs] == [3])


async def test_a_full_node_refuses_and_has_room_again_after_an_end(drive: Driver) -> None:
    for n in range(3):
        await drive.start(f"session_{n}")
    full = await drive.assign("session_4")
    assert isinstance(full, CommandFailed)
    assert (full.code, full.retryable) == ("full", True)
    await drive.shows(lambda s: (s.busy, s.warm, s.free_slots) == (3, 0, 0))
    await drive.ended("session_0")
    await drive.start("session_4")


async def test_the_pool_refills_and_never_exceeds_the_slots(drive: Driver) -> None:
    seen: list[int] = []
    await drive.shows(lambda s: s.warm == 2)
    for n in range(3):
        await drive.start(f"session_{n}")
        seen.append((await drive.shows(lambda s, n=n: s.busy + s.warm == min(3, n + 3))).processes)
    assert max(seen) <= 2 + 3  # the supervisor, the forkserver, the slots
    assert 'agent_starts_total{path="warm"}' in drive.node.metrics()


async def test_served_time_is_the_overlap_and_is_fixed_at_the_command(drive: Driver) -> None:
    before = time.monotonic()
    pid = await drive.start("session_1", "deaf")
    await drive.has("session_1", "started")
    started = time.monotonic()
    await asyncio.sleep(1.3)
    asked = time.monotonic()
    ended = await drive.ended("session_1")
    answered = time.monotonic()
    assert answered - asked < KILL_S - 2, "the answer does not wait for SIGKILL"
    assert not ended.process_gone
    await drive.has("session_1", "agent_stopped", deadline_s=KILL_S + 2, served_ms=ended.served_ms)
    assert KILL_S - 0.5 < time.monotonic() - asked < KILL_S + 2, "SIGKILL comes KILL_S after the decision"
    assert not is_alive(pid)
    assert ended.served_ms / 1000 > (asked - started) / 2
    assert ended.served_ms / 1000 < answered - NODE_END_S - before + 0.5, "the wait for the worker's end counts"


async def test_a_last_sentence_is_spoken_before_the_end(drive: Driver) -> None:
    await drive.start("session_1")
    asked = time.monotonic()
    await drive.ended("session_1", say="Goodbye.")
    assert 0.3 < time.monotonic() - asked < LAST_WORDS_S - 1


async def test_a_second_end_cuts_the_last_sentence_and_bills_none_of_it(drive: Driver) -> None:
    await drive.start("session_1", "wordy")
    await drive.has("session_1", "tick")
    asked = time.monotonic()
    spoken = asyncio.create_task(drive.ended("session_1", say="Goodbye."))
    await asyncio.sleep(1)
    cut = await drive.ended("session_1")
    assert time.monotonic() - asked < 4, "the sentence takes 4.5 s"
    assert cut == await spoken
    assert cut.process_gone
    await drive.has("session_1", "agent_stopped", cause="ended", served_ms=cut.served_ms)


@pytest.mark.parametrize(
    ("prompt", "cause"),
    [("crash", "crashed"), ("stall", "stalled"), ("fails", "provider_failed:stt")],
)
async def test_a_worker_that_fails_is_reported_at_once_and_harms_no_other(
    drive: Driver, prompt: str, cause: str
) -> None:
    other = await drive.start("session_2")
    began = time.monotonic()
    await drive.start("session_1", prompt)
    stopped = await drive.has("session_1", "agent_stopped")
    assert isinstance(stopped, AgentStopped)
    assert stopped.cause == cause
    assert time.monotonic() - began < 4
    assert stopped.served_ms < 1000
    assert is_alive(other)
    assert await drive.state() is not None


async def test_a_worker_that_floods_its_log_fills_no_disk_and_its_call_goes_on(
    tmp_path: Path, nats_url: str, bus: Bus
) -> None:
    node = NodeProcess(tmp_path / "node", nats_url, module=STAND_IN, env={"WORKER_LOG_MB": "1"}).start()
    try:
        await node.ready()
        drive = Driver(bus, node)
        await drive.start("session_1", "flood")
        await drive.start("session_2")
        await drive.has("session_1", "tick")
        assert (node.log_dir / "session_1.log").stat().st_size == 1 << 20
        assert (await drive.ended("session_1")).process_gone
        assert (await drive.ended("session_2")).served_ms > 0
    finally:
        node.kill()


async def test_a_frozen_worker_bills_nothing_while_it_is_frozen(drive: Driver) -> None:
    before = time.monotonic()
    pid = await drive.start("session_1")
    await drive.has("session_1", "started")
    await asyncio.sleep(0.6)
    os.kill(pid, signal.SIGSTOP)
    frozen = time.monotonic()
    stopped = await drive.has("session_1", "agent_stopped")
    assert isinstance(stopped, AgentStopped)
    assert stopped.cause == "stalled"
    assert stopped.served_ms / 1000 < frozen - before + 0.2


async def test_a_dead_and_a_frozen_idle_worker_are_replaced(drive: Driver) -> None:
    await drive.shows(lambda s: s.warm == 2)
    workers = [p for p in descendants(drive.node.pid) if parent_of(p) != drive.node.pid]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    os.kill(workers[1], signal.SIGSTOP)
    await until(lambda: not is_alive(workers[0]) and not is_alive(workers[1]), 15)
    await drive.shows(lambda s: s.warm == 2)
    await drive.start("session_1")


async def test_a_removed_worker_of_the_last_epoch_rejoins(drive: Driver) -> None:
    await drive.start("session_1", "removed")
    back = await drive.has("session_1", "turn", n=2)
    assert isinstance(back, TurnFinished)
    assert "agent_stopped" not in await drive.names("session_1")


async def test_a_removed_worker_of_an_older_epoch_ends(drive: Driver) -> None:
    await drive.assigned("session_1", epoch=1)
    await drive.assigned("session_1", epoch=5)
    await drive.command_assign("session_1", "removed", epoch=1)
    await drive.has("session_1", "agent_stopped", cause="superseded")


async def test_a_worker_does_not_import_what_only_the_supervisor_needs(drive: Driver) -> None:
    await drive.start("session_1", "imports")
    turn = await drive.has("session_1", "turn", n=1)
    assert isinstance(turn, TurnFinished)
    assert turn.heard_text == "Hello Ann! with []"


async def test_a_take_over_gets_the_conversation_and_a_bridge(drive: Driver) -> None:
    await drive.start("session_1", "crash")
    await drive.has("session_1", "agent_stopped", epoch=1)
    await drive.start("session_1", epoch=2, takeover=True)
    turn = await drive.has("session_1", "turn", epoch=2)
    assert isinstance(turn, TurnFinished)
    assert turn.heard_text.endswith("after 1 messages")
    assert not turn.heard_text.startswith("Hello Ann!")


async def test_calls_go_on_without_nats_and_their_events_arrive_once_and_in_order(
    drive: Driver, nats_server: NatsServer
) -> None:
    pid = await drive.start("session_1")
    await drive.has("session_1", "tick")
    nats_server.kill9()
    await asyncio.sleep(2)
    assert is_alive(pid)
    nats_server.start()
    await until(lambda: _connected(drive))
    ended = await drive.ended("session_1")

    log = await drive.log("session_1")
    ticks = [e.served_ms for e in log if isinstance(e, ServedTick)]
    assert ticks == sorted(set(ticks))
    assert max(b - a for a, b in pairwise(ticks)) < 1500, "no tick of the outage is missing"
    assert log[-1].event == "agent_stopped"
    assert ended.served_ms > 2000
    await drive.shows(lambda s: s.busy == 0)


async def test_what_waited_for_nats_survives_the_supervisor_and_is_published_by_the_next(
    drive: Driver, nats_server: NatsServer
) -> None:
    await drive.start("session_1")
    await drive.has("session_1", "started")
    spool = drive.node.log_dir / "outbox" / drive.node.node_id / "session_1.1.jsonl"
    assert not spool.exists()
    nats_server.kill9()
    await until(lambda: spool.exists() and spool.read_bytes().count(b"\n") > 3)
    before = set(await asyncio.to_thread(_kept_ids, spool))
    os.kill(drive.node.pid, signal.SIGKILL)
    await drive.node.exited()
    kept = _kept_ids(spool)
    assert before <= set(kept)
    with spool.open("ab") as torn:
        torn.write(b'{"subject":"voice.v1.session.ti')

    nats_server.start()
    drive.node.start()
    await drive.node.ready()

    await until(lambda: not spool.exists())
    assert [str(e.id) for e in await drive.log("session_1")][-len(kept) :] == kept


async def test_a_supervisor_that_slept_longer_than_its_lease_ends_its_stale_jobs_first(drive: Driver) -> None:
    stale, own = await drive.start("session_1"), await drive.start("session_2")
    drive.node.process.send_signal(signal.SIGSTOP)
    await drive.assigned("session_1", epoch=2)
    await asyncio.sleep((NODES.key_ttl_s or 0) + 0.5)
    drive.node.process.send_signal(signal.SIGCONT)

    await drive.has("session_1", "agent_stopped", epoch=1, cause="superseded", deadline_s=5)
    await until(lambda: not is_alive(stale))
    assert is_alive(own)
    assert (await drive.ended("session_2")).found


async def test_a_drained_node_takes_nothing_new_finishes_its_calls_and_leaves(drive: Driver) -> None:
    pid = await drive.start("session_1")
    reply = await drive.bus.request(DRAIN.at(drive.node.node_id), DrainNode(limit_s=4), timeout_s=10)
    assert reply == NodeDraining(jobs=1)
    refused = await drive.assign("session_2")
    assert isinstance(refused, CommandFailed)
    assert refused.code == "draining"
    await drive.shows(lambda s: s.draining and s.warm == 0)
    assert is_alive(pid)
    assert await drive.node.exited() == 0
    await drive.has("session_1", "agent_stopped", cause="drained")
    assert await drive.state() is None


async def test_a_drained_node_without_calls_answers_and_leaves(drive: Driver) -> None:
    drain = DRAIN.at(drive.node.node_id)
    assert await drive.bus.request(drain, DrainNode(limit_s=600), timeout_s=10) == NodeDraining(jobs=0)
    assert await drive.node.exited() == 0


async def test_sigterm_ends_everything_in_order(drive: Driver) -> None:
    await drive.start("session_1")
    below = descendants(drive.node.pid)
    drive.node.terminate()
    assert await drive.node.exited() == 0
    await until(lambda: not any(is_alive(pid) for pid in below))
    await drive.has("session_1", "agent_stopped", cause="drained")
    assert await drive.state() is None


async def test_the_second_node_with_a_name_refuses_to_start_and_the_first_ones_call_goes_on(
    drive: Driver, tmp_path: Path, nats_url: str
) -> None:
    pid = await drive.start("session_1")
    env = {"NODE_ID": drive.node.node_id}
    second = NodeProcess(tmp_path / "second", nats_url, module=STAND_IN, env=env).start()
    try:
        assert await second.exited() == 1
        assert f"another process runs as node {drive.node.node_id} (pid {drive.node.pid}" in second.log.read_text()
        assert "Give each agent-runner its own NODE_ID" in second.log.read_text()
    finally:
        second.kill()

    await drive.shows(lambda s: s.pid == drive.node.pid and s.busy == 1)
    assert is_alive(pid)
    assert (await drive.ended("session_1")).found


async def test_a_second_sigterm_cuts_the_drain_short(tmp_path: Path, nats_url: str, bus: Bus) -> None:
    node = NodeProcess(tmp_path / "node", nats_url, module=STAND_IN, env={"DRAIN_LIMIT_S": "600"}).start()
    try:
        await node.ready()
        drive = Driver(bus, node)
        await drive.start("session_1")
        node.terminate()
        await drive.shows(lambda s: s.draining)
        assert (await drive.names("session_1"))[-1] != "agent_stopped"
        assert isinstance(await drive.assign("session_2"), CommandFailed)
        node.terminate()
        assert await node.exited() == 0
        await drive.has("session_1", "agent_stopped", cause="drained")
    finally:
        node.kill()


async def test_sigterm_ends_everything_also_without_nats(drive: Driver, nats_server: NatsServer) -> None:
    await drive.start("session_1")
    below = descendants(drive.node.pid)
    nats_server.kill9()
    drive.node.terminate()
    assert await drive.node.exited(30) == 0
    await until(lambda: not any(is_alive(pid) for pid in below))
    assert "outbox.left_on_disk" in drive.node.log.read_text()

    nats_server.start()
    drive.node.start()
    await drive.node.ready()
    await drive.has("session_1", "agent_stopped", cause="drained")


async def test_without_nats_it_does_not_start_and_says_so_in_its_last_line(tmp_path: Path) -> None:
    env = {"START_TIMEOUT_S": "2"}
    node = NodeProcess(tmp_path / "node", "nats://127.0.0.1:1", module=STAND_IN, env=env).start()
    try:
        await until(lambda: descendants(node.pid))
        below = descendants(node.pid)
        assert await node.exited() == 1
        assert "NATS_URL" in node.log.read_text()
        await until(lambda: not any(is_alive(pid) for pid in below))
    finally:
        node.kill()


async def test_when_the_supervisor_is_killed_nothing_of_it_stays(drive: Driver) -> None:
    await drive.start("session_1")
    below = descendants(drive.node.pid)
    assert len(below) >= 3  # the forkserver, the call's worker and an idle one
    os.kill(drive.node.pid, signal.SIGKILL)
    await until(lambda: not any(is_alive(pid) for pid in below))


async def test_when_the_forkserver_is_killed_calls_go_on_and_the_pool_refills(drive: Driver) -> None:
    pid = await drive.start("session_1")
    os.kill(parent_of(pid), signal.SIGKILL)
    await until(lambda: parent_of(pid) == drive.node.pid)
    await drive.start("session_2")
    await drive.start("session_3")
    assert is_alive(pid)
    ended = await drive.ended("session_1")
    assert ended.process_gone
    await until(lambda: not Path(f"/proc/{pid}").exists())


async def test_a_hangup_renews_what_is_idle_and_leaves_calls_alone(tmp_path: Path, nats_url: str, bus: Bus) -> None:
    file = tmp_path / "agent.env"
    file.write_text("APOLOGY=first\n")
    node = NodeProcess(tmp_path / "node", nats_url, module=STAND_IN, env={"AGENT_ENV_FILE": str(file)}).start()
    try:
        await node.ready()
        drive = Driver(bus, node)
        running = await drive.start("session_1", "apology")
        assert (await _said(drive, "session_1")).endswith("first")
        await drive.shows(lambda s: s.warm == 2)
        server = parent_of(running)
        idle = {pid for pid in descendants(node.pid) if parent_of(pid) == server} - {running}
        assert len(idle) == 2

        file.write_text("APOLOGY=second\n")
        node.process.send_signal(signal.SIGHUP)

        await until(lambda: "config.renewed" in node.log.read_text())
        await until(lambda: not any(is_alive(pid) for pid in idle))
        assert (is_alive(server), is_alive(running)) == (False, True)
        await drive.shows(lambda s: s.warm == 2)
        await drive.start("session_2", "apology")
        assert (await _said(drive, "session_2")).endswith("second")
        assert (await drive.ended("session_1")).found
        await drive.start("session_4", farewell=True)
        await drive.has("session_4", "agent_stopped", cause="farewell")
        assert '"detail": "second"' in node.log.read_text(), "the farewell is the old one"

        file.write_text("LLM_MAX_TOKENS=many\n")
        node.process.send_signal(signal.SIGHUP)
        await until(lambda: "config.refused" in node.log.read_text())
        assert "bad settings: LLM_MAX_TOKENS" in node.log.read_text()
        await drive.start("session_3", "apology")
        assert (await _said(drive, "session_3")).endswith("second")
    finally:
        node.kill()


async def test_a_warm_floor_of_this_hour_holds_more_workers_ready(tmp_path: Path, nats_url: str, bus: Bus) -> None:
    env = {"PREWARM_POOL_SIZE": "0", "WARM_FLOORS": "mon-sun 00:00-24:00=9"}
    node = NodeProcess(tmp_path / "node", nats_url, module=STAND_IN, env=env).start()
    try:
        await node.ready()
        await Driver(bus, node).shows(lambda s: (s.warm, s.slots) == (3, 3))
    finally:
        node.kill()


async def test_broken_workers_are_no_fork_bomb(tmp_path: Path, nats_url: str, bus: Bus) -> None:
    node = NodeProcess(tmp_path / "node", nats_url, module=STAND_IN, args=("broken",)).start()
    try:
        await until(lambda: "workers in a row" in (node.not_ready() or {}).get("workers", ""))
        deaths = node.log.read_text().count("pool.worker_died")
        await asyncio.sleep(2)
        assert node.log.read_text().count("pool.worker_died") - deaths <= 4
        drive = Driver(bus, node)
        refused = await drive.assign("session_1")
        assert isinstance(refused, CommandFailed)
        assert refused.code == "not_ready"
        assert await drive.state() is None, "a node that can take nothing is not offered"
        node.terminate()
        assert await node.exited() == 0
    finally:
        node.kill()


async def test_log_lines_reach_redis_and_expire_after_the_end(
    tmp_path: Path, nats_url: str, redis_url: str, bus: Bus
) -> None:
    node = NodeProcess(tmp_path / "node", nats_url, module=STAND_IN, env={"REDIS_URL": redis_url}).start()
    redis: Redis = Redis.from_url(redis_url, decode_responses=True)
    try:
        await node.ready()
        drive = Driver(bus, node)
        pid = await drive.start("session_1")
        lines = [f"hello from {pid}"]
        await until(lambda: _equals(redis, lines))
        assert await redis.ttl("agent:session_1:logs") == -1
        with (node.log_dir / "session_1.log").open("a") as log:
            log.writelines(f"line {n}\n" for n in range(300))
        await until(lambda: _equals(redis, [f"line {n}" for n in range(200, 300)]))
        await drive.ended("session_1")
        await until(lambda: _expires(redis))
    finally:
        await redis.aclose()
        node.kill()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NODE_ID", "a node"),
        ("NODE_SLOTS", "0"),
        ("REDIS_URL", "localhost"),
        ("TICK_S", "soon"),
        ("WARM_FLOORS", "mon 7-10"),
        ("AGENT_ENV_FILE", "nowhere.env"),
        ("GROQ_API_KEY", ""),
        ("ASSEMBLY_API_KEY", ""),
        ("INWORLD_API_KEY", ""),
    ],
)
async def test_a_bad_setting_is_named_in_one_line(tmp_path: Path, nats_url: str, variable: str, value: str) -> None:
    node = NodeProcess(tmp_path / "node", nats_url, module=STAND_IN, env={variable: value}).start()
    try:
        assert await node.exited() == 2
        assert variable in node.log.read_text()
        assert node.log.read_text().count("\n") == 1
    finally:
        node.kill()


def _kept_ids(spool: Path) -> list[str]:
    """The ids of the events in a file, in order; a last line that is being written is left out."""
    whole = spool.read_bytes().rpartition(b"\n")[0]
    return [json.loads(line)["event"]["id"] for line in whole.splitlines()]


async def _said(drive: Driver, session_id: str) -> str:
    """What its first turn was."""
    turn = await drive.has(session_id, "turn", n=1)
    assert isinstance(turn, TurnFinished)
    return turn.heard_text


async def _connected(drive: Driver) -> bool:
    return drive.bus.is_connected and drive.node.not_ready() is None


async def _equals(redis: Redis, lines: list[str]) -> bool:
    return await redis.lrange("agent:session_1:logs", 0, -1) == lines  # pyright: ignore[reportGeneralTypeIssues, reportUnknownMemberType]


async def _expires(redis: Redis) -> bool:
    return await redis.ttl("agent:session_1:logs") > 0
