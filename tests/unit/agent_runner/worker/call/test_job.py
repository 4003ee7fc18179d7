"""A job in its worker, without a room."""

import pytest
from pipecat.workers.runner import WorkerRunner

from agent_runner.agent_config import AgentConfig
from agent_runner.worker.call.job import Job
from contracts.causes import Cause

CONFIG = AgentConfig(assembly_api_key="a", groq_api_key="g", inworld_api_key="i")  # pyright: ignore[reportArgumentType]


async def test_a_pipeline_that_fails_ends_the_call_with_the_errors_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_runner: WorkerRunner) -> None:
        raise RuntimeError("what somebody said")

    monkeypatch.setattr(WorkerRunner, "run", fail)
    job = Job(CONFIG, lambda _message: None)

    with pytest.raises(RuntimeError):
        await job.prepare()
    stopped = await job.stopped

    assert (stopped.cause, stopped.detail) == (Cause.FAILED, "the pipeline failed: RuntimeError")
