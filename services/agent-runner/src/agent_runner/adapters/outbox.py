"""The outbox of each job over JetStream: one event at a time, in order, with its own id until it is in the log."""

from __future__ import annotations

import asyncio
from typing import Final

from chassis.nats import Bus, BusUnavailable, PublishRefused, SequenceConflict
from contracts.events import Event

from agent_runner.domain.backlog import Backlog
from chassis import logs, metrics

_MAX_BYTES: Final = 1024 * 1024  # of one job, in memory: hours of a call without NATS
_ATTEMPT_S: Final = 10.0
_RETRY_S: Final = 0.5

_WAITING = metrics.gauge("agent_outbox_events", "Events of this node that wait for NATS")
_DROPPED = metrics.counter("agent_outbox_dropped_total", "Events that were given up: the outbox was full", ("event",))

log = logs.get_logger(__name__)


class BusOutbox:
    """One job's events on their way."""

    def __init__(self, bus: Bus, session_id: str, max_bytes: int = _MAX_BYTES) -> None:
        self._bus = bus
        self._session_id = session_id
        self._backlog = Backlog(max_bytes)
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._closed = False
        self.task = asyncio.get_running_loop().create_task(self._run(), name=f"outbox {session_id}")

    def put(self, event: Event, *, expect_last: int | None = None) -> None:
        """Queue an event; a full queue gives up old ticks and turns."""
        before = len(self._backlog)
        for dropped in self._backlog.put(event, expect_last):
            _DROPPED.labels(dropped.event).inc()
            log.error("outbox.full", session_id=self._session_id, dropped=dropped.event)
        _WAITING.inc(len(self._backlog) - before)
        self._empty.clear()
        self._wake.set()

    async def flush(self, deadline_s: float) -> bool:
        """Wait until the queue is empty."""
        try:
            async with asyncio.timeout(deadline_s):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """End when the queue is empty."""
        self._closed = True
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            head = self._backlog.head()
            if head is not None:
                await self._publish(head.event, head.expect_last)
                before = len(self._backlog)
                self._backlog.done(head)
                _WAITING.dec(before - len(self._backlog))
                continue
            self._empty.set()
            if self._closed:
                return
            await self._wake.wait()

    async def _publish(self, event: Event, expect_last: int | None) -> None:
        """Until it is in the log, or will never be."""
        while True:
            try:
                await self._bus.publish(event, expect_last=expect_last, deadline_s=_ATTEMPT_S)
            except SequenceConflict:  # the fact is there, published by an earlier epoch
                log.debug("outbox.already_known", session_id=self._session_id, kind=event.event)
            except PublishRefused as error:
                log.error("outbox.refused", session_id=self._session_id, kind=event.event, error=str(error))
            except BusUnavailable as error:
                log.warning("outbox.waiting", session_id=self._session_id, waiting=len(self._backlog), error=str(error))
                await asyncio.sleep(_RETRY_S)
                continue
            return


class BusOutboxes:
    """The outboxes of all jobs."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._open: set[BusOutbox] = set()

    def open(self, session_id: str) -> BusOutbox:
        """A new job's."""
        outbox = BusOutbox(self._bus, session_id)
        self._open.add(outbox)
        outbox.task.add_done_callback(lambda _: self._open.discard(outbox))
        return outbox

    async def close(self, deadline_s: float) -> None:
        """Give what waits a last chance; what is still there then is lost and named."""
        waiting = list(self._open)
        for outbox in waiting:
            outbox.close()
        if waiting:
            _, left = await asyncio.wait([outbox.task for outbox in waiting], timeout=deadline_s)
            for task in left:
                log.error("outbox.lost", outbox=task.get_name())
                task.cancel()
