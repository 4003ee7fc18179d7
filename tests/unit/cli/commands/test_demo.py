"""What `demo` says of its call."""

from pathlib import Path

import pytest

from contracts.api import EndDetails, EndReply
from greenroom_cli.call.report import CallReport, Timeline
from greenroom_cli.commands.demo import show
from tests.support.bills import session_bill

REPORT = CallReport(
    session_id="session_a",
    timeline=Timeline(post_answered_s=0.03, caller_joined_s=0.20, agent_joined_s=0.15, first_audio_s=0.57, ended_s=9),
    opening="Hello",
    turns=(),
    end=EndReply.model_construct(details=EndDetails.model_construct()),
    bill=session_bill(),
    recording=Path("heard.wav"),
)


@pytest.mark.parametrize("sandbox_hears", [True, False])
def test_words_that_the_sandbox_may_have_misheard_are_marked(
    sandbox_hears: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    show(REPORT, sandbox_hears=sandbox_hears)

    said = " ".join(capsys.readouterr().out.split())
    assert ("as the sandbox heard them, sometimes wrongly" in said) == sandbox_hears
    assert "recording: heard.wav" in said


def test_the_steps_of_a_call_are_in_the_order_of_their_times(capsys: pytest.CaptureFixture[str]) -> None:
    show(REPORT, sandbox_hears=False)

    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines.index("0.15 agent in the room") < lines.index("0.20 caller in the room")
