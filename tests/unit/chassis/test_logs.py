"""Log lines: one JSON object each, with what is known and without secrets."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.trace import SpanKind

from chassis import logs, telemetry
from tests.support import logging_setup

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYWxsZXIifQ.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    with logging_setup.restored():
        yield


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Any:
    logs.configure("billing", format="json", level="INFO")
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_has_time_level_service_event_and_fields(lines: Any) -> None:
    logs.get_logger().info("job.assigned", node_id="n1")
    (line,) = lines()
    assert line.pop("time").endswith("Z")
    assert line == {"level": "info", "service": "billing", "event": "job.assigned", "node_id": "n1"}


def test_lines_below_the_level_are_left_out(lines: Any) -> None:
    logs.get_logger().debug("noise")
    logging.getLogger("other").debug("noise")
    assert lines() == []


def test_third_parties_go_the_same_way(lines: Any) -> None:
    logging.getLogger("sqlalchemy").warning("slow %s", "query")
    (line,) = lines()
    assert (line["event"], line["level"], line["service"]) == ("slow query", "warning", "billing")


def test_the_session_is_in_each_line_of_its_block(lines: Any) -> None:
    log = logs.get_logger()
    with logs.bind_session("session_1"):
        log.info("inside")
        logging.getLogger("other").warning("inside too")
    log.info("outside")
    inside, too, outside = lines()
    assert (inside["session_id"], too["session_id"]) == ("session_1", "session_1")
    assert "session_id" not in outside


async def test_the_session_of_one_task_is_not_anothers(lines: Any) -> None:
    async def work(session: str) -> None:
        logs.bind_session(session)
        await asyncio.sleep(0.01)
        logs.get_logger().info("work", expected=session)

    await asyncio.gather(*(work(f"session_{n}") for n in range(3)))
    assert all(line["session_id"] == line["expected"] for line in lines())


def test_the_trace_is_in_the_line(lines: Any) -> None:
    telemetry.configure("billing", None)
    with telemetry.span("work", SpanKind.INTERNAL) as span:
        logs.get_logger().info("inside")
        context = span.get_span_context()
    (line,) = lines()
    assert (line["trace_id"], line["span_id"]) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")


def test_a_logger_can_take_the_trace_along(lines: Any) -> None:
    telemetry.configure("billing", None)
    with telemetry.span("work", SpanKind.INTERNAL) as span:
        log = logs.get_logger().bind(**logs.trace_ids())
    log.info("afterwards")
    (line,) = lines()
    assert line["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert logs.trace_ids() == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("token", "abc"),
        ("api_key", "abc"),
        ("LIVEKIT_API_SECRET", "abc"),
        ("authorization", "Basic abc"),
        ("url", "nats://bob:abc@host:4222"),
        ("note", f"the token is {JWT}"),
        ("header", "Bearer abc.abc"),
        ("key", "gsk_abcabcabcabcabcabc"),
        ("nested", {"password": "abc", "list": ["redis://:abc@host"]}),
        ("job", {"words_key": "abc"}),
        ("error", ValueError("postgresql://bob:abc@host/db")),
    ],
)
def test_secrets_are_redacted(lines: Any, key: str, value: object) -> None:
    logs.get_logger().info("event", **{key: value})
    (line,) = lines()
    assert "abc" not in json.dumps(line)
    assert JWT not in json.dumps(line)
    assert "redacted" in json.dumps(line[key])


def test_secrets_in_third_parties_texts_and_tracebacks_are_redacted(lines: Any) -> None:
    logging.getLogger("other").warning("connecting to nats://bob:hunter2@host")
    try:
        raise ValueError("nats://bob:hunter2@host refuses")
    except ValueError:
        logs.get_logger().exception("failed")
    warning, failed = lines()
    assert "hunter2" not in json.dumps([warning, failed])
    assert "host refuses" in failed["exception"]


def test_what_is_no_secret_stays(lines: Any) -> None:
    logs.get_logger().info("event", subject="voice.v1.session.tick.session_1", tokens_used=12, key="k1", url="http://h")
    (line,) = lines()
    assert (line["subject"], line["tokens_used"], line["key"]) == ("voice.v1.session.tick.session_1", 12, "k1")
    assert line["url"] == "http://h"


def test_a_huge_field_is_cut(lines: Any) -> None:
    logs.get_logger().info("event", text="x" * 1_000_000)
    (line,) = lines()
    assert len(line["text"]) < 21_000


def test_an_error_has_its_traceback(lines: Any) -> None:
    try:
        raise KeyError("k")
    except KeyError:
        logs.get_logger().exception("failed")
    (line,) = lines()
    assert "KeyError: 'k'" in line["exception"]


def test_the_console_shows_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("billing", format="console", level="INFO")
    logs.get_logger().info("job.assigned", node_id="n1", token="abc")
    text = capsys.readouterr().err
    assert "job.assigned" in text
    assert "node_id=n1" in text
    assert "abc" not in text
