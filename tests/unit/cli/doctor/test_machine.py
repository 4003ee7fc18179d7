"""A port that is taken: by whom, and the way out."""

from pathlib import Path

import pytest

from greenroom_cli.doctor.check import Verdict
from greenroom_cli.doctor.machine import check_machine, taken_port
from greenroom_cli.stack.port_holder import Holder

OTHER = Holder(4711, "redis-server")
STACK = Holder(4712, "python -m gateway.app", Path("/home/ann/my stack"))


def test_another_programs_port_is_told_with_its_pid_and_another_port() -> None:
    check = taken_port(OTHER, "8000", is_set=True)

    assert check.verdict is Verdict.BROKEN
    assert "redis-server (pid 4711)" in check.detail
    assert "greenroom up --port N" in check.fix
    assert "--state" not in check.fix


def test_a_stack_of_another_folder_is_told_with_the_folder_and_the_option_that_finds_it() -> None:
    for is_set, verdict in ((False, Verdict.NOTE), (True, Verdict.BROKEN)):
        check = taken_port(STACK, "8000", is_set=is_set)

        assert check.verdict is verdict
        assert "the Greenroom stack in /home/ann/my stack" in check.detail
        assert "--state '/home/ann/my stack'" in check.fix
        assert ("--port N" in check.fix) == is_set, "without PORT, greenroom up takes another itself"


def test_a_name_in_the_env_file_that_nothing_reads_is_a_warning_without_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("GROQ_API_KYE=gsk_secret\n")

    (check,) = [check for check in check_machine({}, tmp_path, stack_is_running=True) if check.name == ".env"]

    assert check.verdict is Verdict.WARNING
    assert "GROQ_API_KYE" in check.detail
    assert "GROQ_API_KEY?" in check.fix
    assert "gsk_secret" not in check.detail + check.fix
