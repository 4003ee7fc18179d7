"""The outbox of each job: publishes one event at a time, in order, and retries it under its id until the log has it."""

import asyncio
from typing import Final

from agent_runner.adapters.spool import Spool, SpoolFile
from agent_runner.domain.backlog import EVICTED, UNBILLED, Backlog
from chassis import logs, metrics
from chassis.nats import Bus, BusUnavailable, NotPermitted, PublishRefused, SequenceConflict
from chassis.tasks import Tasks
from contracts.events import Event

_MAX_BYTES: Final = 1024 * 1024  # of one job, in memory: hours of a call without NATS
_ATTEMPT_S: Final = 2.0  # after this, waiting events are copied to disk and the publish is retried
_RETRY_S: Final = 0.5

_FIX: Final = "Replace the users of NATS by this version's deploy/nats/nats.conf: docs/runbooks/backplane-users.md."

_WAITING = metrics.gauge("agent_outbox_events", "Events of this node that wait for NATS")
_EVICTED = metrics.counter("agent_outbox_dropped_total", "Events that were evicted: the outbox was full", ("event",))

for _event in EVICTED:
    _EVICTED.labels(_event.event)  # a rate needs the 0 before the first one

log = logs.get_logger(__name__)


class NatsOutbox:
    """One job's unpublished events; while NATS is unreachable they are on disk as well."""

    def __init__(self, bus: Bus, file: SpoolFile) -> None:
        self._bus = bus
        self._file = file
        self._is_on_disk = False
        self._backlog = Backlog(_MAX_BYTES)
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._closed = False
        self.task = Tasks().spawn(self._run(), name=f"outbox {file.name}")

    def put(self, event: Event, *, expect_last: int | None = None) -> None:
        """Queue an event; a full queue evicts old ticks and turns."""
        self._queue(event, expect_last)
        if self._is_on_disk:
            self._file.add(event, expect_last)
        elif not self._bus.is_connected:
            self._to_disk()

    async def flush(self, deadline_s: float) -> bool:
        try:
            async with asyncio.timeout(deadline_s):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Stop once the queue is empty."""
        self._closed = True
        self._wake.set()

    def resume(self) -> None:
        """Publish the events that an earlier supervisor left in the file."""
        self._is_on_disk = True
        for kept in self._file.read():
            self._queue(kept.event, kept.expect_last)
        self.close()

    def stop(self) -> None:
        """Stop at once: events that are not in the log yet stay on disk."""
        if len(self._backlog) and not self._is_on_disk:
            self._to_disk()
        self.task.cancel()
        self._file.close()

    def _queue(self, event: Event, expect_last: int | None) -> None:
        before = len(self._backlog)
        for evicted in self._backlog.put(event, expect_last):
            _EVICTED.labels(evicted.event).inc()
            log.error("outbox.full", outbox=self._file.name, evicted=evicted.event)
        _WAITING.inc(len(self._backlog) - before)
        self._empty.clear()
        self._wake.set()

    def _to_disk(self) -> None:
        self._is_on_disk = True
        log.warning("outbox.to_disk", outbox=self._file.name, waiting=len(self._backlog))
        for waiting in self._backlog:
            self._file.add(waiting.event, waiting.expect_last)

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
            if self._is_on_disk:
                self._file.delete()
                self._is_on_disk = False
            self._empty.set()
            if self._closed:
                return
            await self._wake.wait()

    async def _publish(self, event: Event, expect_last: int | None) -> None:
        """Retry until the log has the event or refuses it for good."""
        while True:
            try:
                await self._bus.publish(event, expect_last=expect_last, deadline_s=_ATTEMPT_S)
            except SequenceConflict:  # an earlier epoch published the same fact
                log.debug("outbox.already_known", outbox=self._file.name, kind=event.event)
            except PublishRefused as error:
                log.error("outbox.refused", outbox=self._file.name, kind=event.event, error=str(error))
            except BusUnavailable as error:
                if isinstance(error, NotPermitted) and isinstance(event, UNBILLED):
                    # NATS' users are of an older version; what a bill needs must not wait behind this event.
                    log.error(
                        "outbox.not_permitted", outbox=self._file.name, kind=event.event, error=error.doing, fix=_FIX
                    )
                    return
                if not self._is_on_disk:
                    self._to_disk()
                log.warning("outbox.waiting", outbox=self._file.name, waiting=len(self._backlog), error=str(error))
                await asyncio.sleep(_RETRY_S)
                continue
            return


class NatsOutboxes:
    def __init__(self, bus: Bus, spool: Spool) -> None:
        """Start publishing the events that an earlier supervisor of this node left on disk."""
        self._bus = bus
        self._spool = spool
        self._open: set[NatsOutbox] = set()
        for file in spool.left_behind():
            log.warning("outbox.taken_up", outbox=file.name)
            self._add(NatsOutbox(bus, file)).resume()

    def open(self, session_id: str, epoch: int) -> NatsOutbox:
        return self._add(NatsOutbox(self._bus, self._spool.open(session_id, epoch)))

    async def close(self, deadline_s: float) -> None:
        """Publish waiting events until the deadline; the rest stays on disk for this node's next supervisor."""
        waiting = list(self._open)
        for outbox in waiting:
            outbox.close()
        if waiting:
            _, left = await asyncio.wait([outbox.task for outbox in waiting], timeout=deadline_s)
            for outbox in waiting:
                if outbox.task in left:
                    log.error("outbox.left_on_disk", outbox=outbox.task.get_name())
                    outbox.stop()

    def _add(self, outbox: NatsOutbox) -> NatsOutbox:
        self._open.add(outbox)
        outbox.task.add_done_callback(lambda _: self._open.discard(outbox))
        return outbox
