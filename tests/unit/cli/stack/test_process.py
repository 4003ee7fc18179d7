"""A process that takes long to start is reported, once for each thing that is missing."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom_cli.stack import process
from greenroom_cli.stack.ports import free_ports
from greenroom_cli.stack.process import ProcessSpec, Ready, StackProcess
from greenroom_cli.stack.readiness import says, serves


class Reaped:
    def started(self, pid: int) -> None: ...

    def reaped(self, pid: int) -> None: ...


def ready_after(answers: Iterator[str | None]) -> Ready:
    async def ready() -> str | None:
        return next(answers)

    return ready


async def notices(folder: Path, *answers: str | None) -> list[str]:
    """What is reported of a process whose readiness checks give these answers."""
    spec = ProcessSpec("slow", ("sleep", "60"), {"PATH": "/bin:/usr/bin"}, ready_after(iter(answers)))
    slow = StackProcess(spec, folder, Reaped())
    told: list[str] = []
    try:
        await slow.start(lambda _seconds, missing: told.append(missing))
    finally:
        await slow.stop()
    return told


async def test_a_process_that_is_ready_in_time_is_not_reported(tmp_path: Path) -> None:
    assert await notices(tmp_path, "no answer", "no answer", None) == []


async def test_a_slow_process_is_reported_once_for_each_thing_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "POLL_S", 0.0)
    monkeypatch.setattr(process, "FIRST_NOTICE_S", 0.0)
    monkeypatch.setattr(process, "NOTICE_EVERY_S", 0.0)

    told = await notices(tmp_path, "no answer", "no answer", "no answer", "no model", "no model", None)

    assert told == ["it has not finished", "no answer", "no model"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"reasons": {"nats": "it starts", "workers": "none is ready"}}', "nats: it starts; workers: none is ready"),
        (b"<html>", "{url} answered 503 <html>"),
        (b'{"reasons": "none"}', '{url} answered 503 {"reasons": "none"}'),
        (b"[]", "{url} answered 503 []"),
    ],
)
async def test_what_a_service_is_missing_is_shown_in_its_words(body: bytes, said: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Busy\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/ready"

        assert await serves(url)() == said.replace("{url}", url)


async def test_a_port_that_is_closed_reads_as_a_process_that_is_not_up_yet() -> None:
    port = next(free_ports())

    assert await says(port, b"INFO")() == f"no answer on port {port}: it accepts no connections yet"
    url = f"http://127.0.0.1:{port}/ready"
    assert await serves(url)() == f"no answer from {url}: it accepts no connections yet"
