"""A job in its worker, without a room."""

import pytest
from pipecat.workers.runner import WorkerRunner
from structlog.testing import capture_logs

from agent_runner.agent_config import AgentConfig
from agent_runner.worker.call.job import Job
from contracts.causes import Cause

CONFIG = AgentConfig(assembly_api_key="a", groq_api_key="g", inworld_api_key="i")  # pyright: ignore[reportArgumentType]


async def test_a_pipeline_that_fails_ends_the_call_with_the_errors_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_runner: WorkerRunner) -> None:
        raise RuntimeError("what somebody said")

    monkeypatch.setattr(WorkerRunner, "run", fail)
    job = Job(CONFIG, lambda _message: None)

    with capture_logs() as logged:
        with pytest.raises(RuntimeError):
            await job.prepare()
        stopped = await job.stopped

    assert (stopped.cause, stopped.detail) == (Cause.FAILED, "the pipeline failed: RuntimeError")
    assert "somebody" not in str(logged)


async def test_a_pipeline_that_ends_before_it_has_started_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    async def end(_runner: WorkerRunner) -> None:
        return

    monkeypatch.setattr(WorkerRunner, "run", end)
    with pytest.raises(TimeoutError):
        await Job(CONFIG, lambda _message: None).prepare()
