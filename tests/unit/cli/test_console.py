"""What a terminal is shown of a text that comes from elsewhere."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom_cli.console import StackLines, printable
from greenroom_cli.stack.process import ProcessFailed


def test_a_process_that_ended_as_asked_reads_unlike_a_crash(capsys: pytest.CaptureFixture[str]) -> None:
    log = Path("agent-runner.log")

    StackLines().died(ProcessFailed("agent-runner", "exited with code 0", log, ["bye"], ended=True))
    ended = capsys.readouterr()
    StackLines().died(ProcessFailed("agent-runner", "exited with code 3", log, ["oh"]))
    crashed = capsys.readouterr()

    assert "stopped on request" in ended.out + ended.err
    assert "exited" not in ended.out + ended.err
    assert "exited with code 3" in crashed.out + crashed.err


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("Zoë", "utf-8", "Zoë"),
        ("Zoë", "ascii", r"Zo\xeb"),
        ("Zoë 日", "latin-1", r"Zoë \u65e5"),
        ("\x1b]0;owned\x07", "utf-8", r"\x1b]0;owned\x07"),
        ("a\x9b31m", "utf-8", r"a\x9b31m"),
        ("a\tb\nc", "utf-8", "a\tb\nc"),
    ],
)
def test_what_the_terminal_has_no_sign_for_is_escaped(text: str, encoding: str, shown: str) -> None:
    assert printable(text, encoding) == shown


@given(st.text(st.characters()), st.sampled_from(["ascii", "latin-1", "utf-8"]))
def test_any_text_can_be_written_in_any_encoding(text: str, encoding: str) -> None:
    shown = printable(text, encoding)

    assert "\x1b" not in shown
    assert shown.encode(encoding).decode(encoding) == shown
