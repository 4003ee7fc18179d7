"""A process that takes long to start is reported, once for each thing that is missing."""

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


async def test_a_port_that_is_closed_reads_as_a_process_that_is_not_up_yet() -> None:
    port = next(free_ports())

    assert await says(port, b"INFO")() == f"no answer on port {port}: it accepts no connections yet"
    url = f"http://127.0.0.1:{port}/ready"
    assert await serves(url)() == f"no answer from {url}: it accepts no connections yet"
