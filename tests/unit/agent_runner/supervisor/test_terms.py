"""A node obeys the scheduler that led last, and any that does not say when it led."""

from pathlib import Path

import pytest

from contracts.commands import CommandFailed, EndJob, JobEnded
from contracts.refusals import RefusalCode
from tests.support.agent_runner.lease_scene import SID, Scene


async def ask(scene: Scene, term: int) -> CommandFailed | JobEnded:
    return await scene.commands.end(EndJob(session_id="session_other", epoch=1, reason="rest", term=term))


async def test_a_command_of_an_earlier_leader_changes_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await scene.begin()
    assert isinstance(await ask(scene, 7), JobEnded)

    refused = await scene.commands.end(EndJob(session_id=SID, epoch=1, reason="rest", term=6))

    assert isinstance(refused, CommandFailed)
    assert (refused.code, refused.term) == (RefusalCode.STALE_TERM, 7)
    assert scene.node.state().jobs
    scene.close()


@pytest.mark.parametrize("term", [7, 8, 0])
async def test_the_last_leader_the_next_one_and_one_of_an_older_version_are_obeyed(tmp_path: Path, term: int) -> None:
    scene = Scene(tmp_path)
    await scene.begin()
    await ask(scene, 7)

    assert isinstance(await ask(scene, term), JobEnded)
    scene.close()
