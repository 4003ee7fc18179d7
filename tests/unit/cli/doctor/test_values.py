"""The doctor on values that the services refuse when they start."""

from pathlib import Path

import pytest

from greenroom_cli.doctor.check import Verdict
from greenroom_cli.doctor.values import check_values
from greenroom_cli.errors import CommandError
from greenroom_cli.stack import StackOptions
from greenroom_cli.stack.plan import Plan
from greenroom_cli.stack.state import StateFolder

WRONG = {"MAX_BOTS": "-1", "LLM_TEMPERATURE": "-1", "SPOKEN_LINES": '{"de":', "SANDBOX_LLM_TOKEN_MS": "soon"}


def test_every_mistake_of_every_service_is_shown_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    found = check_values(WRONG)

    assert {check.verdict for check in found} == {Verdict.BROKEN}
    said = [check.detail for check in found]
    assert len(said) == len(set(said)) == len(WRONG), "two services read MAX_BOTS, and two SPOKEN_LINES"
    for name in WRONG:
        assert sum(f": {name}: " in line for line in said) == 1
    assert not list(tmp_path.iterdir()), "nothing is left in the folder"


def test_lines_in_an_unknown_language_are_named() -> None:
    (check,) = check_values({"SPOKEN_LINES": '{"xx": {"sorry": "?"}}'})

    assert "SPOKEN_LINES: " in check.detail


def test_the_values_of_an_empty_environment_are_well() -> None:
    assert [check.verdict for check in check_values({})] == [Verdict.OK]


def test_servers_that_the_environment_names_need_their_keys() -> None:
    said = [check.detail for check in check_values({"LIVEKIT_URL": "wss://livekit.example", "LIVEKIT_API_KEY": "k"})]

    assert len(said) == 1
    assert "LIVEKIT_API_SECRET: is not set" in said[0]


def test_up_refuses_with_every_mistake_too(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    with state.locked(), pytest.raises(CommandError) as refused:
        Plan(state, StackOptions(environment=WRONG)).refuse_bad_settings()

    for name in WRONG:
        assert refused.value.problem.count(f"{name}: ") == 1
