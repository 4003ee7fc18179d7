"""What a job's outbox does with events that NATS does not permit."""

import asyncio
from pathlib import Path
from typing import cast

import pytest
import structlog

from agent_runner.adapters import nats_outbox
from agent_runner.adapters.nats_outbox import NatsOutbox
from agent_runner.adapters.spool import Spool
from chassis.nats import Bus, NotPermitted
from contracts.events import Event
from tests.support.events import SESSION, ready, stopped, tick, turn


class RefusingBus:
    """A bus whose user may not publish some kinds."""

    is_connected = True

    def __init__(self, *refused: str) -> None:
        self.refused = set(refused)
        self.tries = 0
        self.published: list[str] = []

    async def publish(self, event: Event, *, expect_last: int | None, deadline_s: float) -> None:
        del expect_last, deadline_s
        await asyncio.sleep(0)
        self.tries += 1
        if event.event in self.refused:
            raise NotPermitted(f"publishing to {event.subject}", "the user may not", "nats://x")
        self.published.append(event.event)


async def test_an_event_that_no_bill_needs_and_nats_refuses_keeps_none_behind_it_from_the_log(tmp_path: Path) -> None:
    bus = RefusingBus("turn")
    box = NatsOutbox(cast("Bus", bus), Spool(tmp_path, 10_000).open(SESSION, 1))
    for event in (ready(), turn(), tick(5_000), stopped(9_000)):
        box.put(event)

    assert await box.flush(2)
    box.close()
    await box.task

    assert bus.published == ["agent_ready", "tick", "agent_stopped"]


async def test_an_event_that_a_bill_needs_waits_until_nats_permits_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_outbox, "_RETRY_S", 0.01)
    bus = RefusingBus("tick")
    box = NatsOutbox(cast("Bus", bus), Spool(tmp_path, 10_000).open(SESSION, 1))
    for event in (tick(5_000), stopped(9_000)):
        box.put(event)

    assert not await box.flush(0.1)
    assert (bus.tries > 1, bus.published) == (True, [])
    bus.refused.clear()
    assert await box.flush(2)
    box.close()
    await box.task

    assert bus.published == ["tick", "agent_stopped"]


class BrokenBus(RefusingBus):
    async def publish(self, event: Event, *, expect_last: int | None, deadline_s: float) -> None:
        raise RuntimeError("a bug")


async def test_an_outbox_that_fails_leaves_its_error_in_the_log(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as lines:
        box = NatsOutbox(cast("Bus", BrokenBus()), Spool(tmp_path, 10_000).open(SESSION, 1))
        box.put(ready())
        await asyncio.wait([box.task])

    assert [(line["event"], str(line["exc_info"])) for line in lines] == [("task.failed", "a bug")]
