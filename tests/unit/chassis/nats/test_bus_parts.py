"""The parts of the bus that need no server."""

import pytest

from chassis.nats.connection.connection import inbox_prefix
from chassis.nats.jetstream.messages import ascii_header, stream_of


def test_an_inbox_prefix_is_a_subject() -> None:
    assert inbox_prefix("agent-runner") == "_INBOX_agent-runner"
    assert inbox_prefix("a.b *>") == "_INBOX_a_b___"


def test_a_subject_has_its_stream() -> None:
    assert stream_of("voice.v1.session.tick.session_1") == "SESSIONS"
    assert stream_of("voice.v1.session.*.session_1") == "SESSIONS"
    assert stream_of("voice.v1.room.room_finished.session_1") == "ROOMS"
    assert stream_of("dead.voice.v1.session.tick.session_1") == "DEAD"
    with pytest.raises(ValueError, match="no stream"):
        stream_of("voice.v1.node.n1.end")


def test_a_header_is_one_line_of_ascii() -> None:
    assert ascii_header("line\r\nInjected: yes ✓") == "line Injected: yes \\u2713"
    assert len(ascii_header("x" * 10_000)) == 500
