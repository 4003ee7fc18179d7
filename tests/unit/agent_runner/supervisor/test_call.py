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

from agent_runner.domain.credit import Credit
from agent_runner.link.messages import (
    Beat,
    Caller,
    End,
    Failed,
    Go,
    Heard,
    Joined,
    Rejoin,
    Removed,
    Stopped,
    ToolCall,
    Turn,
    Unanswered,
    Unreachable,
)
from agent_runner.supervisor.call import Call
from chassis import metrics, telemetry
from chassis.words import new_secret
from contracts.causes import Cause
from contracts.events import (
    AgentSpeaking,
    AgentStopped,
    ProviderFault,
    ServedTick,
    ToolCalled,
    TurnFinished,
)
from tests.support.agent_runner.fakes import CALL_LIMITS, FakeWorker
from tests.support.agent_runner.node_scene import NodeScene
from tests.support.commands import assign_job
from tests.support.events import requested

SID = "session_1"
BEAT = Beat(caller_in_room=True)


class Scene(NodeScene):
    """A node with one warm worker, and the job."""

    def __init__(
        self, folder: Path, *, epoch: int = 1, takeover: bool = False, target: int = 1, **changes: object
    ) -> None:
        super().__init__(folder, slots=2, target=target)
        self.job = assign_job(SID, epoch=epoch, takeover=takeover, **changes)
        self.ended: list[Call] = []
        self.call = Call(self.job, self.world, self.ended.append)

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


async def test_ticks_and_the_end_are_published_and_the_end_releases_slot_and_log_file(scene: Scene) -> None:
    worker = await scene.live()
    scene.beat(worker, 6)
    scene.call.end("ended")
    worker.say(Stopped(cause=Cause.ENDED))
    worker.die()
    assert [e.served_ms for e in scene.outboxes.outbox.events if isinstance(e, ServedTick)] == [5000]
    assert (scene.stopped.cause, scene.stopped.served_ms) == ("ended", 6_000)
    assert worker.told[-1] == End(how="cancel")
    assert (scene.pool.state.jobs, scene.call_logs.followed, scene.ended) == (0, set(), [scene.call])


async def test_no_tick_repeats_what_the_last_one_said(scene: Scene) -> None:
    worker = await scene.go()
    worker.say(Joined())
    for _ in range(20):
        scene.now += 1
        worker.say(Beat(caller_in_room=False))
        scene.call.look(0.5)
    assert scene.names == ["agent_ready"]


async def test_a_worker_that_was_forked_for_an_ended_job_is_killed(tmp_path: Path) -> None:
    scene = Scene(tmp_path, target=0)
    scene.call.begin()
    await scene.settle()
    scene.call.end("ended")
    assert scene.names == ["agent_stopped"]
    await scene.settle()
    scene.forks.get_ready()
    await scene.settle()
    assert all(w.is_gone for w in scene.forks.workers), "the worker that was forked for it is killed"
    assert scene.pool.state.jobs == 0
    scene.close()


async def test_the_wait_for_a_worker_has_a_deadline(tmp_path: Path) -> None:
    scene = Scene(tmp_path, target=0)
    scene.forks.broken = True
    scene.call.begin()
    async with asyncio.timeout(2):
        await scene.call.ended.wait()
    assert scene.stopped.cause == "start_failed"
    scene.close()


async def test_a_worker_that_will_not_go_is_killed(scene: Scene) -> None:
    worker = await scene.live()
    scene.call.end("ended")
    async with asyncio.timeout(2):
        await scene.call.ended.wait()
    assert worker.killed
    assert scene.stopped.cause == "ended"


@pytest.mark.parametrize(
    ("last_epoch", "answer", "cause"),
    [(1, Rejoin(), None), (None, End(how="cancel"), "removed")],
)
async def test_the_log_is_asked_for_the_last_epoch_when_livekit_removed_the_agent(
    scene: Scene, last_epoch: int | None, answer: object, cause: str | None
) -> None:
    worker = await scene.live()
    scene.session_log.epoch, scene.session_log.is_away = last_epoch, last_epoch is None
    worker.say(Removed(duplicate=True))
    await scene.settle()
    assert worker.told[-1] == answer
    worker.die()
    assert scene.stopped.cause == (cause or "crashed")


async def test_each_stage_of_a_start_is_published_and_a_span(scene: Scene) -> None:
    exporter = InMemorySpanExporter()
    telemetry.configure("agent-runner", None, exporter=exporter)
    with telemetry.span("respond AssignJob", SpanKind.SERVER) as above:
        scene.call = Call(scene.job, scene.world, scene.ended.append)
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


@pytest.mark.parametrize(
    "unspeakable",
    ["[happy]", "(laughs)", "*waves*", "~~Hello~~", "[Name]", "https://", "<think>Hello</think>", ""],
)
async def test_an_opening_line_without_a_word_to_speak_is_replaced_by_the_languages(
    tmp_path: Path, unspeakable: str
) -> None:
    scene = Scene(tmp_path, opening_line=unspeakable)
    await scene.go()
    go = next(m for w in scene.forks.workers for m in w.told if isinstance(m, Go))
    assert go.opening_line == CALL_LIMITS.opening.replace("{name}", scene.job.user_name)
    scene.close()


async def test_an_opening_line_with_words_is_said_as_it_was_asked_for(tmp_path: Path) -> None:
    scene = Scene(tmp_path, opening_line="[happy] **Hello** Ann!")
    await scene.go()
    go = next(m for w in scene.forks.workers for m in w.told if isinstance(m, Go))
    assert go.opening_line == scene.job.opening_line
    scene.close()


async def test_a_take_over_gets_the_past_and_says_a_bridge(tmp_path: Path) -> None:
    scene = Scene(tmp_path, epoch=2, takeover=True, interruptible=False)
    scene.session_log.events = [requested(SID, opening_line="Hello Ann!")]
    worker = await scene.go()
    go = worker.told[0]
    assert isinstance(go, Go)
    assert go.opening_line is None
    assert go.interruptible is False
    assert go.bridge
    assert json.loads(worker.history or b"") == [{"role": "assistant", "content": "Hello Ann!"}]
    assert (go.bridge, go.is_asked) == (CALL_LIMITS.bridge, False)
    scene.close()


async def test_an_open_question_is_answered_after_a_bridge_that_does_not_ask_the_caller_to_go_on(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path, epoch=2, takeover=True)
    turn = TurnFinished(
        session_id=SID,
        time=datetime.now(UTC),
        epoch=1,
        n=1,
        user_text="What time is it?",
        heard_text="",
        interrupted=True,
    )
    scene.session_log.events = [turn]
    worker = await scene.go()
    go = worker.told[0]
    assert isinstance(go, Go)
    assert (go.bridge, go.is_asked) == (CALL_LIMITS.bridge_to_answer, True)
    scene.close()


async def test_a_take_over_without_the_log_goes_on_without_the_past(tmp_path: Path) -> None:
    scene = Scene(tmp_path, epoch=2, takeover=True)
    scene.session_log.is_away = True
    worker = await scene.go()
    go = worker.told[0]
    assert isinstance(go, Go)
    assert (go.has_history, worker.history) == (False, None)
    scene.close()


async def test_a_providers_fault_is_published_without_its_words(scene: Scene) -> None:
    worker = await scene.live()
    worker.say(Failed(provider="tts", detail="it refuses to say Xylophone", name="invalid_request: ValueError"))
    fault = scene.outboxes.outbox.events[-1]
    assert isinstance(fault, ProviderFault)
    assert (fault.epoch, fault.n, fault.provider, fault.kind, fault.ms) == (1, 1, "tts", "unusable", None)
    assert fault.detail == "invalid_request: ValueError"
    assert "Xylophone" not in fault.model_dump_json()
    scene.close()


async def test_an_answer_that_only_led_to_an_apology_is_published_and_counted(scene: Scene) -> None:
    failed_before = metrics.REGISTRY.get_sample_value("agent_answers_failed_total") or 0
    worker = await scene.live()
    worker.say(Unanswered(provider="llm", ms=2_400, name="server: NoAnswer"))
    fault = scene.outboxes.outbox.events[-1]
    assert isinstance(fault, ProviderFault)
    assert (fault.provider, fault.kind, fault.ms, fault.detail) == ("llm", "unanswered", 2_400, "server: NoAnswer")
    assert metrics.REGISTRY.get_sample_value("agent_answers_failed_total") == failed_before + 1
    scene.close()


async def test_a_lost_network_of_the_caller_is_published(scene: Scene) -> None:
    worker = await scene.live()
    worker.say(Unreachable(ms=1_250), Unreachable(end="back", ms=3_200, again_ms=1_400))
    lost, back = scene.outboxes.outbox.events[-2:]
    assert isinstance(lost, ProviderFault)
    assert isinstance(back, ProviderFault)
    assert (lost.provider, lost.kind, lost.ms, lost.again_ms) == ("network", "lost", None, 0)
    assert (back.provider, back.kind, back.ms, back.again_ms) == ("network", "lost", 3_200, 1_400)
    assert lost.id != back.id
    scene.close()


async def test_a_turn_is_published_as_it_was_heard(scene: Scene) -> None:
    worker = await scene.live()
    worker.say(Turn(n=1, user_text="Hi", heard_text="Hel", interrupted=True, stage_ms={"llm": 90}))
    turn = scene.outboxes.outbox.events[-1]
    assert turn.model_dump(include={"epoch", "n", "user_text", "heard_text", "interrupted", "stage_ms", "said"}) == {
        "epoch": 1,
        "n": 1,
        "user_text": "Hi",
        "heard_text": "Hel",
        "interrupted": True,
        "stage_ms": {"llm": 90},
        "said": "answer",
    }


@pytest.mark.parametrize(
    ("heard", "said", "told"),
    [("Sorry?", "sorry", "sorry"), ("Our ti", "line", "line"), ("", "answer", "nothing"), ("", "line", "nothing")],
)
async def test_a_turn_tells_whose_words_were_heard(scene: Scene, heard: str, said: str, told: str) -> None:
    worker = await scene.live()
    worker.say(Turn(n=1, user_text="Hi", heard_text=heard, interrupted=False, said=said))
    turn = scene.outboxes.outbox.events[-1]
    assert isinstance(turn, TurnFinished)
    assert turn.said == told


async def test_a_turn_over_its_budget_is_published_and_counted(scene: Scene) -> None:
    def counted() -> float:
        return metrics.REGISTRY.get_sample_value("agent_turns_over_budget_total", {"stage": "tts"}) or 0

    before = counted()
    worker = await scene.live()
    stages = {"llm": 200, "tts": 1800, "total": 2000}
    worker.say(Turn(n=1, user_text="Hi", heard_text="Hello", interrupted=False, stage_ms=stages))
    turn = scene.outboxes.outbox.events[-1]
    assert turn.model_dump(include={"budget_ms", "over"}) == {"budget_ms": 1200, "over": "tts"}
    assert counted() == before + 1


async def test_with_a_key_the_words_are_sealed_before_the_outbox_and_a_successor_opens_them(tmp_path: Path) -> None:
    secret = new_secret()
    first = Scene(tmp_path, words_key=secret)
    worker = await first.live()
    worker.say(
        ToolCall(
            n=1, turn=1, name="weather", key="k", arguments='{"at": "Hull"}', outcome="done", answer="Hull is wet"
        ),
        Turn(n=1, user_text="Hull?", heard_text="Wet.", interrupted=False),
    )
    told = [e for e in first.outboxes.outbox.events if isinstance(e, TurnFinished | ToolCalled)]
    first.close()
    assert len(told) == 2
    assert not any(word in e.model_dump_json() for e in told for word in ("Hull", "Wet", "wet"))

    second = Scene(tmp_path, epoch=2, takeover=True, words_key=secret, seals=False)  # an older node is alive
    second.session_log.events = [*told]
    successor = await second.live()
    history = (successor.history or b"").decode()
    assert all(words in history for words in ("Hull?", "Wet.", "Hull is wet"))
    successor.say(Turn(n=2, user_text="And York?", heard_text="Dry.", interrupted=False))
    [turn] = [e for e in second.outboxes.outbox.events if isinstance(e, TurnFinished)]
    second.close()
    assert (turn.user_text, turn.heard_text, turn.sealed) == ("And York?", "Dry.", "")


@pytest.mark.parametrize(("billable_ms_before", "before_ms"), [(30_000, 30_000), (None, 50_000)])
async def test_the_time_before_this_epoch_is_the_commands_billable_or_served_time(
    tmp_path: Path, billable_ms_before: int | None, before_ms: int
) -> None:
    scene = Scene(tmp_path, epoch=2, granted_minutes=1, served_ms_before=50_000, billable_ms_before=billable_ms_before)
    assert scene.call.state.job.credit == Credit(granted_minutes=1, before_ms=before_ms)
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
