"""The supervisor with real workers in a real LiveKit room, and the sandbox as its providers."""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from livekit import api, rtc
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from chassis.nats import Bus
from contracts.deadlines import KILL_S
from contracts.events import AgentStopped, ToolCalled, TurnFinished
from contracts.ids import agent_identity, caller_identity
from contracts.lines import lines_in
from contracts.tools import RecordedTool
from tests.integration.agent_runner.node_process import Driver, NodeProcess
from tests.integration.agent_runner.stage import Stage
from tests.integration.agent_runner.worker_stage import New, Person, Sandbox, loud_s
from tests.support.processes import descendants, is_alive
from tests.support.servers import LiveKitServer, NatsServer
from tests.support.waiting import until

LINES = lines_in(None)
TABLE = "Your table is number seven."


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with NatsServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[NodeProcess]]:
    """The supervisors so far. All tests share one; after a test that ends it the next one starts another."""
    nodes: list[NodeProcess] = []
    yield nodes
    for node in nodes:
        node.kill()


@pytest.fixture
async def drive(tmp_path: Path, nats_url: str, bus: Bus, sandbox: Sandbox, nodes: list[NodeProcess]) -> Driver:
    if not nodes or nodes[-1].process.poll() is not None:
        env = sandbox.environment(TOOL_ALLOWED_HOSTS="127.0.0.1")
        nodes.append(NodeProcess(tmp_path / f"node-{len(nodes)}", nats_url, module="agent_runner.app", env=env).start())
    await nodes[-1].ready(40)
    return Driver(bus, nodes[-1])


@pytest.fixture
async def rooms(livekit: LiveKitServer) -> AsyncIterator[api.LiveKitAPI]:
    rooms = livekit.rooms()
    yield rooms
    await rooms.aclose()


@pytest.fixture
async def stage(drive: Driver, livekit: LiveKitServer, rooms: api.LiveKitAPI) -> AsyncIterator[Stage]:
    stage = Stage(drive, livekit, rooms)
    await stage.open()
    yield stage
    await stage.close()


def heard(node: NodeProcess) -> float:
    """Calls so far in which the caller heard the agent."""
    found = re.search(r'^agent_stage_seconds_count\{stage="heard"\} (\S+)', node.metrics(), re.MULTILINE)
    return float(found[1]) if found else 0.0


async def test_a_call_with_a_spoken_turn(stage: Stage) -> None:
    before = heard(stage.drive.node)
    await stage.enter()
    pid = await stage.start()
    await stage.drive.has(stage.session, "started")
    opening = await stage.drive.has(stage.session, "turn", deadline_s=20)
    assert isinstance(opening, TurnFinished)
    assert (opening.user_text, opening.heard_text) == ("", "Hello Ann!")

    await stage.say("What time is it?")

    asked = await stage.drive.has(stage.session, "turn", deadline_s=20, n=opening.n + 1)
    assert isinstance(asked, TurnFinished)
    assert "time" in asked.user_text.lower()
    assert asked.heard_text
    ended = await stage.drive.ended(stage.session)
    await stage.drive.has(stage.session, "agent_stopped", cause="ended", served_ms=ended.served_ms)
    await until(lambda: not is_alive(pid))
    assert heard(stage.drive.node) == before + 1
    assert "llm.models_missing" in stage.drive.node.log.read_text(), (
        "the sandbox has no llama, as Groq has none any more"
    )


async def test_served_time_is_the_time_both_were_in_the_room(stage: Stage) -> None:
    pid = await stage.start()
    assert "started" not in await stage.drive.names(stage.session)
    before = time.monotonic()
    await stage.enter()
    await stage.drive.has(stage.session, "started")
    started = time.monotonic()
    await asyncio.sleep(1.5)

    asked = time.monotonic()
    ended = await stage.drive.ended(stage.session)

    answered = time.monotonic()
    assert answered - asked < KILL_S - 2, "the answer does not wait for SIGKILL"
    assert (asked - started) / 2 < ended.served_ms / 1000 < answered - before
    await until(lambda: not is_alive(pid))
    await _is_alone(stage)
    names = await stage.drive.names(stage.session)
    assert names.index("agent_ready") < names.index("started") < names.index("agent_stopped")
    assert (stage.drive.node.log_dir / f"{stage.session}.log").stat().st_size > 0


async def test_another_worker_takes_over_the_room_of_a_killed_one(stage: Stage) -> None:
    await stage.enter()
    pid = await stage.start()
    os.kill(pid, signal.SIGKILL)
    await stage.drive.has(stage.session, "agent_stopped", epoch=1, cause="crashed")
    successor = await stage.start(epoch=2, takeover=True)
    assert successor != pid
    bridge = await stage.drive.has(stage.session, "turn", deadline_s=20, epoch=2)
    assert isinstance(bridge, TurnFinished)
    assert bridge.heard_text.startswith("Sorry, I lost you")
    assert (await stage.drive.ended(stage.session, epoch=2)).found
    await until(lambda: not is_alive(successor))
    assert (await stage.drive.names(stage.session)).count("started") == 1


@pytest.mark.parametrize("when", ["5 ms after the request", "0.3 s after the answer"])
async def test_a_tools_call_survives_its_agent_and_takes_effect_once(
    stage: Stage, sandbox: Sandbox, person: New, when: str
) -> None:
    call = {"tool_calls": [{"name": "book_table", "arguments": {"day": "Friday", "persons": 2}}]}
    again = {"tool_calls": [{"name": "book_table", "arguments": {"persons": 2.0, "day": "Friday"}}]}
    is_early = when.endswith("request")
    await sandbox.control("transcripts", {"texts": ["Book a table for two on Friday."]})
    await sandbox.control("replies", {"replies": [call, *([] if is_early else ["It is being done."])]})
    asked, keys = asyncio.Event(), list[str]()

    async def book(request: web.Request) -> web.Response:
        keys.append(request.headers["Idempotency-Key"])
        asked.set()
        if is_early and len(keys) == 1:
            await asyncio.sleep(5)
        return web.json_response({"table": 7})

    async with served(book) as url:
        tools = (RecordedTool(name="book_table", description="Books.", url=url),)
        caller = await person().enter(stage.session)
        pid = await stage.start(tools=tools)
        await stage.drive.has(stage.session, "turn", deadline_s=20)
        caller.say("Book a table, please.")
        await asyncio.wait_for(asked.wait(), 20)
        if not is_early:
            await stage.drive.has(stage.session, "tool", outcome="done")
        await asyncio.sleep(0.005 if is_early else 0.3)
        os.kill(pid, signal.SIGKILL)
        await stage.drive.has(stage.session, "agent_stopped", epoch=1, cause="crashed")
        # The killed agent may not have asked for its answer yet; its successor would get it.
        await sandbox.control("reset", {})
        before_s, after = caller.loud_s, [again] if is_early else []
        await sandbox.control("replies", {"replies": [*after, TABLE]})
        await stage.start(epoch=2, takeover=True, tools=tools)
        await _said(stage, "number seven")
    said = [await sandbox.voice(text, "Ashley", 1.0) for text in (LINES.bridge_to_answer, TABLE)]
    lasts_s = sum(map(loud_s, said))
    await until(lambda: caller.loud_s - before_s > 0.9 * lasts_s, what="the caller hears both lines")
    bridge = await stage.drive.has(stage.session, "turn", epoch=2, n=0)
    assert isinstance(bridge, TurnFinished)
    assert bridge.heard_text.startswith(LINES.bridge_to_answer)
    assert not bridge.heard_text.startswith(LINES.bridge), "the caller is not asked to go on"
    assert len(set(keys)) == 1
    assert len(keys) == (2 if is_early else 1)
    log = await stage.drive.log(stage.session)
    called = [(e.epoch, e.outcome) for e in log if isinstance(e, ToolCalled)]
    assert called == ([(1, ""), (2, ""), (2, "done")] if is_early else [(1, ""), (1, "done")])
    (told,) = [m["content"] for m in (await sandbox.asked())[-1] if m["role"] == "developer"][:1]
    assert ("may have taken effect" if is_early else '"table": 7') in told


@pytest.mark.parametrize("says_hello", [False, True])
async def test_a_tool_behind_a_sentence_is_answered_by_the_successor_of_an_agent_that_was_killed(
    stage: Stage, sandbox: Sandbox, person: New, says_hello: bool
) -> None:
    """The agent has said its "let me look that up" to the end, or has answered a "hello?", while the tool runs."""
    call = {"tool_calls": [{"name": "book_table", "arguments": {"day": "Friday"}}]}
    first = [{"text": "Let me look that up.", **call}, *(["I am still at it."] if says_hello else [])]
    async with booking(stage, sandbox, person(), replies=first) as (caller, pid, tools, keys, is_booked):
        if says_hello:
            await caller.type("Hello?")
            await _said(stage, "still at it")
        os.kill(pid, signal.SIGKILL)
        await stage.drive.has(stage.session, "agent_stopped", epoch=1, cause="crashed")
        is_booked.set()
        await sandbox.control("replies", {"replies": [call, "Your table is number seven."]})
        await stage.start(epoch=2, takeover=True, tools=tools)
        await _said(stage, "number seven")
    bridge = await stage.drive.has(stage.session, "turn", epoch=2, n=0)
    assert isinstance(bridge, TurnFinished)
    assert bridge.heard_text.startswith(lines_in(None).bridge_to_answer)
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def test_a_question_that_two_agents_left_open_behind_their_lines_is_answered_by_the_third(
    stage: Stage, sandbox: Sandbox, person: New
) -> None:
    """The first dies behind its "let me see", the second behind its bridge and a notice; their tools still run."""
    call = {"tool_calls": [{"name": "book_table", "arguments": {"day": "Friday"}}]}
    first, warning = {"text": "Let me see.", **call}, lines_in(None).credit_warning
    async with booking(stage, sandbox, person(), replies=[first]) as (_, pid, tools, keys, is_booked):
        os.kill(pid, signal.SIGKILL)
        await stage.drive.has(stage.session, "agent_stopped", epoch=1, cause="crashed")

        await sandbox.control("replies", {"replies": [call]})
        few_s = {"granted_minutes": 1, "served_ms_before": 44_000, "billable_ms_before": 44_000}
        pid = await stage.start(epoch=2, takeover=True, tools=tools, **few_s)
        await until(lambda: len(keys) == 2, 20)
        notice = await stage.drive.has(stage.session, "turn", deadline_s=20, epoch=2, heard_text=warning)
        os.kill(pid, signal.SIGKILL)
        await stage.drive.has(stage.session, "agent_stopped", epoch=2, cause="crashed")

        await sandbox.control("replies", {"replies": [call, "Your table is number seven."]})
        is_booked.set()
        await stage.start(epoch=3, takeover=True, tools=tools)
        await _said(stage, "number seven")
    assert isinstance(notice, TurnFinished)
    assert notice.n == 2, "behind the answer's number, which is 1"
    assert len(set(keys)) == 1
    turns = [e for e in await stage.drive.log(stage.session) if isinstance(e, TurnFinished) and e.n]
    assert [(e.epoch, e.n, e.user_text, e.heard_text) for e in turns] == [
        (1, 1, "Book a table.", "Let me see."),
        (2, 2, "", warning),
        (3, 1, "", "Your table is number seven."),
    ]


class Booking(NamedTuple):
    """An agent whose tool runs until `is_booked` is set, and the Idempotency-Keys of all its requests."""

    caller: Person
    pid: int
    tools: tuple[RecordedTool, ...]
    keys: list[str]
    is_booked: asyncio.Event


@asynccontextmanager
async def booking(stage: Stage, sandbox: Sandbox, caller: Person, *, replies: Sequence[Any]) -> AsyncIterator[Booking]:
    """The caller asks for a table, and hears to its end what the model says before the tool's result."""
    line = await sandbox.voice(replies[0]["text"], "Ashley", 1.0)
    keys, is_booked = list[str](), asyncio.Event()

    async def book(request: web.Request) -> web.Response:
        keys.append(request.headers["Idempotency-Key"])
        await is_booked.wait()
        return web.json_response({"table": 7})

    async with served(book) as url:
        tools = (RecordedTool(name="book_table", description="Books.", url=url, timeout_s=30),)
        await caller.enter(stage.session)
        pid = await stage.start(tools=tools)
        await stage.drive.has(stage.session, "turn", deadline_s=20)
        await sandbox.control("replies", {"replies": [*replies]})
        asked_at = time.monotonic()
        await caller.type("Book a table.")
        await until(lambda: keys, 20)
        await caller.hears_line(line, asked_at)
        await asyncio.sleep(1)  # until the supervisor knows it, too
        yield Booking(caller, pid, tools, keys, is_booked)


async def _is_alone(stage: Stage) -> None:
    """Wait until LiveKit knows that only the caller is left in the room."""

    async def only_the_caller() -> bool:
        return await stage.people() == {caller_identity(stage.session)}

    await until(only_the_caller, what="the agent is still in the room")


async def _said(stage: Stage, words: str) -> None:
    async with asyncio.timeout(20):
        while True:
            if any(words in e.heard_text for e in await stage.drive.log(stage.session) if isinstance(e, TurnFinished)):
                return
            await asyncio.sleep(0.05)


@asynccontextmanager
async def served(handler: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    """A tool's server; its URL."""
    app = web.Application()
    app.router.add_post("/", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


async def test_a_farewell_is_said_in_the_room_and_costs_nothing(stage: Stage) -> None:
    await stage.enter()
    pid = await stage.start(takeover=True, farewell=True)
    stopped = await stage.drive.has(stage.session, "agent_stopped", deadline_s=15, cause="farewell")
    assert isinstance(stopped, AgentStopped)
    assert stopped.served_ms == 0
    said = await stage.drive.has(stage.session, "turn")
    assert isinstance(said, TurnFinished)
    assert said.heard_text == lines_in(None).apology
    await until(lambda: not is_alive(pid))
    await _is_alone(stage)


async def test_a_call_is_warned_and_ends_just_before_its_limit_of_billable_time(stage: Stage) -> None:
    await stage.enter()
    pid = await stage.start(granted_minutes=1, served_ms_before=90_000, billable_ms_before=48_000)  # 12 s are left

    stopped = await stage.drive.has(stage.session, "agent_stopped", deadline_s=20, cause="credit_spent")

    assert isinstance(stopped, AgentStopped)
    assert 11_500 <= stopped.served_ms - stopped.fault_ms < 12_000
    turns = [e.heard_text for e in await stage.drive.log(stage.session) if isinstance(e, TurnFinished)]
    assert turns == ["Hello Ann!", lines_in(None).credit_warning]
    assert not is_alive(pid)


async def test_an_agent_whose_identity_a_newer_epoch_took_ends(stage: Stage, livekit: LiveKitServer) -> None:
    await stage.enter()
    pid = await stage.start()
    await stage.drive.assigned(stage.session, epoch=2)
    newer = rtc.Room()
    await newer.connect(livekit.url, livekit.token(stage.session, agent_identity(stage.session)))
    await stage.drive.has(stage.session, "agent_stopped", epoch=1, cause="superseded")
    await until(lambda: not is_alive(pid))
    assert await stage.people() == {caller_identity(stage.session), agent_identity(stage.session)}
    await newer.disconnect()


async def test_an_agent_whose_identity_nobody_may_have_taken_comes_back(stage: Stage, livekit: LiveKitServer) -> None:
    await stage.enter()
    pid = await stage.start()
    removed = stage.drive.node.log.read_text().count("job.removed")
    # Signalling alone takes the identity; a real client would try again and again.
    token = livekit.token(stage.session, agent_identity(stage.session))
    async with connect(f"{livekit.url}/rtc?access_token={token}&protocol=16") as stranger, asyncio.timeout(10):
        with suppress(ConnectionClosed):
            while True:
                await stranger.recv()  # until the agent, back again, has put it out

    assert stage.drive.node.log.read_text().count("job.removed") == removed + 1
    assert is_alive(pid)
    assert "agent_stopped" not in await stage.drive.names(stage.session)
    assert await stage.people() == {caller_identity(stage.session), agent_identity(stage.session)}
    assert (await stage.drive.ended(stage.session)).found


async def test_a_deleted_room_ends_the_job(stage: Stage, rooms: api.LiveKitAPI) -> None:
    await stage.enter()
    pid = await stage.start()
    await rooms.room.delete_room(api.DeleteRoomRequest(room=stage.session))
    await stage.drive.has(stage.session, "agent_stopped", cause="room_closed")
    await until(lambda: not is_alive(pid))


async def test_a_room_that_is_not_there_is_named_as_the_cause(stage: Stage, rooms: api.LiveKitAPI) -> None:
    await rooms.room.delete_room(api.DeleteRoomRequest(room=stage.session))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await stage.start()
    await stage.drive.has(stage.session, "agent_stopped", cause="join_failed")


async def test_when_the_supervisor_is_killed_its_real_workers_die_too(stage: Stage) -> None:
    await stage.enter()
    await stage.start()
    below = descendants(stage.drive.node.pid)
    os.kill(stage.drive.node.pid, signal.SIGKILL)
    await until(lambda: not any(is_alive(pid) for pid in below))
    await _is_alone(stage)


async def test_after_sigterm_nothing_is_left(stage: Stage) -> None:
    await stage.enter()
    await stage.start()
    below = descendants(stage.drive.node.pid)
    stage.drive.node.terminate()
    assert await stage.drive.node.exited() == 0
    await until(lambda: not any(is_alive(pid) for pid in below))
    await stage.drive.has(stage.session, "agent_stopped", cause="drained")
