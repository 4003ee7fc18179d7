"""What a node does with the commands of the scheduler."""

from pathlib import Path

import pytest

from agent_runner.domain.node import NodeJobs
from contracts.commands import AssignJob
from tests.support.agent_runner.lease_scene import Scene
from tests.support.commands import assign_job


async def test_a_job_whose_former_epoch_has_no_call_starts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path)
    await scene.begin()
    started: list[AssignJob] = []
    monkeypatch.setattr(scene.node, "start", started.append)
    scene.node.jobs = NodeJobs(running={"session_2": 1})
    job = assign_job("session_2", epoch=2)

    await scene.commands.assign(job)

    assert started == [job]
    scene.close()
