"""What a terminal is shown of a text that comes from elsewhere."""

from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom_cli import console
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


def test_a_slow_part_is_said_with_what_is_missing_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    StackLines().waiting("agent-runner", 11.2, "http://127.0.0.1:1/ready answered 503 " + "no warm\nworker " * 99)

    shown = capsys.readouterr().out
    assert shown.startswith(
        "  agent-runner   still starting after 11 s: http://127.0.0.1:1/ready answered 503 no warm worker"
    )
    assert shown.count("\n") == 1
    assert len(shown) < 240


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


@pytest.mark.parametrize(("columns", "kept"), [(70, set[str]()), (80, {"user"}), (100, {"user", "minutes"})])
def test_on_a_narrow_terminal_ids_stay_whole_and_spare_columns_go(
    columns: int, kept: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = StringIO()
    terminal = console._Output(file=screen, width=columns, force_terminal=True, color_system=None)  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(console, "_out", terminal)
    session = "session_1795912374951_301f94e1365a"
    heads = ("session", "status", "user", "minutes", "last answer")

    console.table(heads, [(session, "active", "Grace Hopper", 3, "1490 ms, slow: llm")] * 2, spare=("minutes", "user"))

    lines = [line.rstrip() for line in screen.getvalue().splitlines()]
    assert len(lines) == 3, "one line each"
    assert lines[1].startswith(session)
    assert lines[1].endswith("slow: llm")
    assert {name for name in ("minutes", "user") if name in lines[0]} == kept


@given(st.text(st.characters()), st.sampled_from(["ascii", "latin-1", "utf-8"]))
def test_any_text_can_be_written_in_any_encoding(text: str, encoding: str) -> None:
    shown = printable(text, encoding)

    assert "\x1b" not in shown
    assert shown.encode(encoding).decode(encoding) == shown
