"""A process's output in its log file, and on a stream."""

import io
import os
from pathlib import Path

import pytest

from greenroom_cli.stack import output as outputs
from greenroom_cli.stack.output import Output


class Closed(io.BytesIO):
    """A stream whose reader has gone."""

    def write(self, _data: object) -> int:
        raise BrokenPipeError


def run(output: Output, *lines: str) -> None:
    with output.opened() as log:
        assert isinstance(log, int)
        for line in lines:
            os.write(log, f"{line}\n".encode())
    output.settle()


def test_each_line_reaches_the_file_and_the_stream(tmp_path: Path) -> None:
    stream = io.BytesIO()
    output = Output(tmp_path / "x.log", stream)

    run(output, "one", "two")
    run(output, "three")

    assert stream.getvalue() == b"one\ntwo\nthree\n" == (tmp_path / "x.log").read_bytes()
    assert output.tail(5) == ["three"], "of the last run"


def test_a_closed_stream_stops_neither_the_process_nor_its_log(tmp_path: Path) -> None:
    output = Output(tmp_path / "x.log", Closed())

    run(output, "one", "two")

    assert output.tail(5) == ["one", "two"]


def test_a_long_log_is_rotated_while_the_process_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "LIMIT_BYTES", 10)
    output = Output(tmp_path / "x.log", io.BytesIO())

    run(output, "1234567890", "later")

    assert (tmp_path / "x.log.1").read_text() == "1234567890\n"
    assert output.tail(5) == ["later"]


def test_without_a_stream_the_process_writes_into_the_file_itself(tmp_path: Path) -> None:
    output = Output(tmp_path / "x.log", None)

    with output.opened() as log:
        assert not isinstance(log, int)
        log.write(b"one\n")

    assert output.tail(5) == ["one"]


def test_lines_that_a_full_disk_refused_are_written_once_it_has_space(tmp_path: Path) -> None:
    log, stream = tmp_path / "x.log", io.BytesIO()
    output = Output(log, stream)
    log.symlink_to("/dev/full")

    run(output, "no space left on device")
    output.write_kept()
    assert stream.getvalue() == b"no space left on device\n"

    log.unlink()
    output.write_kept()
    output.write_kept()
    assert log.read_text() == "no space left on device\n"

    log.unlink()
    log.symlink_to("/dev/full")
    run(output, "two", "three")
    log.unlink()
    run(output, "four")
    assert log.read_text() == "two\nthree\nfour\n"


def test_what_a_full_disk_refuses_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "_KEPT_BYTES", 8)
    log = tmp_path / "x.log"
    output = Output(log, io.BytesIO())
    log.symlink_to("/dev/full")

    run(output, "12345", "67890")
    log.unlink()
    output.write_kept()

    assert log.read_text() == "12345\n67"
