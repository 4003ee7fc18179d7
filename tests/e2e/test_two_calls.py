"""Two calls at once: each caller is answered, and neither hears the other's."""

import asyncio
from pathlib import Path

import pytest

from contracts.api import StartRequest
from greenroom_cli.call.place import Script, place_call
from greenroom_cli.call.report import CallReport
from greenroom_cli.settings import Settings
from tests.e2e.conftest import words

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]


async def test_two_calls_at_once_do_not_hear_each_other(settings: Settings, tmp_path: Path) -> None:
    async def call(name: str, persona: str, voice: str) -> CallReport:
        request = StartRequest(user_name=name, system_prompt=f"You are {persona}.", voice_id=voice)
        script = Script(request, says=("What is your name?",), voice="Craig")
        return await place_call(settings, script, tmp_path / f"{name}.wav", lambda *_: None)

    first, second = await asyncio.gather(call("Grace", "Max", "Ashley"), call("Peter", "Lucy", "Edward"))

    for report, name, persona, others in (
        (first, "grace", "max", {"peter", "lucy"}),
        (second, "peter", "lucy", {"grace", "max"}),
    ):
        heard = {*words(report.opening), *words(report.turns[0].heard)}
        # The opening line names the user, and the answer the prompt's persona; a busy machine's recogniser misses one.
        assert heard & {name, persona}, f"{heard}: this session's own words"
        assert not heard & others, f"{heard}: nothing of the other call"
        assert (report.bill.minutes, report.bill.user_id.lower()) == (1, name)
    assert first.session_id != second.session_id
