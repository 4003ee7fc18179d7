"""The shell of one job: its worker, outbox, timers and the log, with workers that do what the test says."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from agent_runner.link.messages import (
    Beat,
    Caller,
    End,
    Go,
    Heard,
    Joined,
    Rejoin,
    Removed,
    Speak,
    Stopped,
    Turn,
)
from agent_runner.supervisor.call import Call
from chassis import telemetry
from contracts.causes import Cause
from contracts.events import AgentSpeaking, AgentStopped, ServedTick, SessionRequested
from tests.support.commands import assign_job
from tests.unit.agent_runner.node_scene import NodeScene
from tests.unit.agent_runner.supervisor_fakes import FakeWorker

SID = "session_1"
BEAT = Beat(tts_bytes=0, sent_bytes=0, caller_in_room=True)


class Scene(NodeScene):
    """A node with one warm worker, and the job."""

    def __init__(
        self, folder: Path, *, epoch: int = 1, takeover: bool = False, target: int = 1, **changes: object
    ) -> None:
        super().__init__(folder, slots=2, target=target)
        self.job = assign_job(SID, epoch=epoch, takeover=takeover, **changes)
        self.over: list[Call] = []
        self.call = Call(self.job, self.world, self.over.append)

    async def go(self) -> FakeWorker:
        """The job has its worker, and `Go` is sent."""
        await self.settle()
        self.forks.get_ready()
        self.call.begin()
        await self.settle()
        return next(w for w in self.forks.workers if w.told)

    async def live(self) -> FakeWorker:
        """Both are in the room since `now`."""
        worker = await self.go()
        worker.say(Joined(stage_ms={"connect": 5}), Caller(in_room=True))
        return worker

    def beat(self, worker: FakeWorker, seconds: float) -> None:
        """Time passes with beats and looks."""
        for _ in range(int(seconds * 2)):
            self.now += 0.5
            worker.say(BEAT)
            self.call.look(0.5)

    @property
    def stopped(self) -> AgentStopped:
        return next(e for e in self.outboxes.outbox.events if isinstance(e, AgentStopped))

    @property
    def names(self) -> list[str]:
        return [e.event for e in self.outboxes.outbox.events]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.close()


async def test_ticks_come_every_five_seconds_and_the_end_counts_to_its_instant(scene: Scene) -> None:
    worker = await scene.live()
    scene.beat(worker, 12)
    scene.now += 0.25
    scene.call.end("ended")
    scene.now += 5
    worker.say(BEAT, Stopped(cause=Cause.ENDED))
    worker.die()
    assert [e.served_ms for e in scene.outboxes.outbox.events if isinstance(e, ServedTick)] == [5000, 10_000]
    assert (scene.stopped.cause, scene.stopped.served_ms) == ("ended", 12_250)
    assert worker.told[-1] == End(how="cancel")
    assert (scene.pool.state.claimed, scene.call_logs.followed, scene.over) == (0, set(), [scene.call])


async def test_no_tick_repeats_what_the_last_one_said(scene: Scene) -> None:
    worker = await scene.go()
    worker.say(Joined())
    for _ in range(20):
        scene.now += 1
        worker.say(Beat(tts_bytes=0, sent_bytes=0, caller_in_room=False))
        scene.call.look(0.5)
    assert scene.names == ["agent_ready"]


async def test_an_end_before_there_is_a_worker_takes_effect_at_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path, target=0)
    scene.call.begin()
    await scene.settle()
    scene.call.end("ended")
    assert scene.names == ["agent_stopped"]
    assert scene.stopped.served_ms == 0
    await scene.settle()
    scene.forks.get_ready()
    await scene.settle()
    assert all(w.is_gone for w in scene.forks.workers), "the worker that was forked for it is killed"
    assert scene.pool.state.claimed == 0
    scene.close()


async def test_without_a_worker_in_time_the_job_is_given_back(tmp_path: Path) -> None:
    scene = Scene(tmp_path, target=0)
    scene.forks.broken = True
    scene.call.begin()
    async with asyncio.timeout(2):
        await scene.call.over.wait()
    assert scene.stopped.cause == "start_failed"
    scene.close()


async def test_a_worker_that_will_not_go_is_killed(scene: Scene) -> None:
    worker = await scene.live()
    scene.call.end("ended")
    async with asyncio.timeout(2):
        await scene.call.over.wait()
    assert worker.killed
    assert scene.stopped.cause == "ended"


@pytest.mark.parametrize(
    ("last_epoch", "answer", "cause"),
    [(1, Rejoin(), None), (None, End(how="cancel"), "removed")],
)
async def test_a_removed_agent_comes_back_only_for_the_last_epoch(
    scene: Scene, last_epoch: int | None, answer: object, cause: str | None
) -> None:
    worker = await scene.live()
    scene.session_log.epoch = last_epoch
    worker.say(Removed(duplicate=True))
    await scene.settle()
    assert worker.told[-1] == answer
    worker.die()
    assert scene.stopped.cause == (cause or "crashed")


async def test_the_first_sound_tells_every_stage_and_makes_a_span_of_each(scene: Scene) -> None:
    exporter = InMemorySpanExporter()
    telemetry.configure("agent-runner", None, exporter=exporter)
    with telemetry.span("respond AssignJob", SpanKind.SERVER) as above:
        scene.call = Call(scene.job, scene.world, scene.over.append)
    worker = await scene.go()
    scene.now += 0.2
    worker.say(Joined(stage_ms={"join": 110}), Caller(in_room=True))
    scene.now += 0.1
    worker.say(Heard(stage_ms={"join": 110, "tts_connected": 40}))

    assert scene.names == ["agent_ready", "started", "speaking"]
    speaking = scene.outboxes.outbox.events[-1]
    assert isinstance(speaking, AgentSpeaking)
    stages = {"pool_wait": 0, "go": 0, "tts_connected": 40, "join": 110, "joined": 200, "heard": 300}
    assert speaking.stage_ms == stages
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    provider.force_flush()
    parent = above.get_span_context().span_id
    made = {s.name: s for s in exporter.get_finished_spans() if s.parent is not None and s.parent.span_id == parent}
    took = {name: ((s.end_time or 0) - (s.start_time or 0)) / 1e6 for name, s in made.items()}
    assert took == {f"agent {stage}": ms for stage, ms in (stages | {"heard": 100}).items()}


async def test_a_take_over_gets_the_past_and_says_a_bridge(tmp_path: Path) -> None:
    scene = Scene(tmp_path, epoch=2, takeover=True)
    scene.session_log.events = [
        SessionRequested(
            session_id=SID,
            time=datetime.now(UTC),
            user_name="Ann",
            user_id="Ann",
            voice_id="Ashley",
            opening_line="Hello Ann!",
            system_prompt="Be kind.",
        )
    ]
    worker = await scene.go()
    go = worker.told[0]
    assert isinstance(go, Go)
    assert go.opening_line is None
    assert go.bridge
    assert json.loads(worker.history or b"") == [{"role": "assistant", "content": "Hello Ann!"}]
    scene.close()


async def test_a_take_over_without_the_log_goes_on_without_the_past(tmp_path: Path) -> None:
    scene = Scene(tmp_path, epoch=2, takeover=True)
    scene.session_log.events = None
    worker = await scene.go()
    go = worker.told[0]
    assert isinstance(go, Go)
    assert (go.has_history, worker.history) == (False, None)
    scene.close()


async def test_a_turn_is_published_as_it_was_heard(scene: Scene) -> None:
    worker = await scene.live()
    worker.say(Turn(n=1, user_text="Hi", heard_text="Hel", interrupted=True, stage_ms={"llm": 90}))
    turn = scene.outboxes.outbox.events[-1]
    assert turn.model_dump(include={"epoch", "n", "user_text", "heard_text", "interrupted", "stage_ms"}) == {
        "epoch": 1,
        "n": 1,
        "user_text": "Hi",
        "heard_text": "Hel",
        "interrupted": True,
        "stage_ms": {"llm": 90},
    }


@pytest.mark.parametrize(
    ("billable_ms_before", "served_s"), [(30_000, 29.5), (None, 9.5)], ids=["billable", "of an older scheduler"]
)
async def test_a_successor_ends_when_the_sum_is_spent(
    tmp_path: Path, billable_ms_before: int | None, served_s: float
) -> None:
    scene = Scene(
        tmp_path,
        epoch=2,
        granted_minutes=1,
        served_ms_before=50_000,
        billable_ms_before=billable_ms_before,
    )
    worker = await scene.live()
    scene.beat(worker, served_s - 0.5)
    assert scene.call.state.cause is None
    assert [m.text for m in worker.told if isinstance(m, Speak)] == ["Time is almost up."]

    scene.beat(worker, 0.5)
    assert scene.call.state.cause == "credit_spent"
    assert scene.call.state.served_ms == round(1000 * served_s)
    scene.close()


async def test_a_farewell_says_its_sentence_whatever_credit_is_left(tmp_path: Path) -> None:
    scene = Scene(tmp_path, takeover=True, farewell=True, granted_minutes=1, billable_ms_before=59_900)
    worker = await scene.live()

    go = worker.told[0]
    assert isinstance(go, Go)
    assert (go.opening_line, go.bridge) == (None, None)
    assert worker.told[-1] == End(how="say", text="Goodbye.")
    scene.close()


async def test_a_job_that_is_described_is_reported_again_under_the_same_ids(scene: Scene) -> None:
    worker = await scene.live()
    scene.beat(worker, 7)
    before = list(scene.outboxes.outbox.events)
    scene.outboxes.outbox.events.clear()

    described = await scene.call.describe(1)

    assert described is not None
    assert (described.user_id, described.system_prompt, described.granted_minutes) == ("Ann", "Be kind.", None)
    assert described.age_ms == 7_000
    ready, started, tick = scene.outboxes.outbox.events
    assert [ready, started] == [e for e in before if e.event in ("agent_ready", "started")]
    assert isinstance(tick, ServedTick)
    assert tick.served_ms == 7_000, "what it served before is billed"
