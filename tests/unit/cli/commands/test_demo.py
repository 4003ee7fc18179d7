"""What `demo` says of its call."""

from pathlib import Path

import pytest

from contracts.api import EndDetails, EndReply
from greenroom_cli.call.report import CallReport, Timeline
from greenroom_cli.commands.demo import show
from tests.support.bills import session_bill


def test_the_steps_of_a_call_are_in_the_order_of_their_times(capsys: pytest.CaptureFixture[str]) -> None:
    show(
        CallReport(
            session_id="session_a",
            timeline=Timeline(
                post_answered_s=0.03, caller_joined_s=0.20, agent_joined_s=0.15, first_audio_s=0.57, ended_s=9
            ),
            opening="Hello",
            turns=(),
            end=EndReply.model_construct(details=EndDetails.model_construct()),
            bill=session_bill(),
            recording=Path("heard.wav"),
        )
    )

    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines.index("0.15 agent in the room") < lines.index("0.20 caller in the room")
