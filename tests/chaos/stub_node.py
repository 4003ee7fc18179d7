"""A node without workers, as a process: it takes jobs, serves time, reports, buffers while NATS is away, and ends them.

    NATS_URL=... NODE_ID=n1 NODE_SLOTS=8 python -m tests.chaos.stub_node

SIGUSR1: the worker of one job dies. SIGUSR2: from now on no `agent_stopped` is published; a second one: again.
"""

import asyncio
import os
import signal
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from chassis.cancellation import mend_wait_for
from chassis.nats import Bus
from chassis.nats.errors import BusUnavailable, SequenceConflict
from contracts.commands import AssignJob, CommandFailed, EndJob, JobAccepted, JobEnded
from contracts.events import (
    AgentReady,
    AgentSpeaking,
    AgentStopped,
    Event,
    JobAssigned,
    ServedTick,
    SessionEnded,
    SessionStarted,
)
from contracts.refusals import RefusalCode
from contracts.streams import NODES
from contracts.subjects import session_event
from tests.integration.scheduler.stack import StandInNode, now

BEAT_S = 0.5
MOST_A_BEAT_S = 1.0  # as in the design: time in which the node was frozen is not served
TICK_S = 2.0
RENEW_S = (NODES.key_ttl_s or 4) / 4
LOOK_S = 2.0


@dataclass
class Serving:
    """A job that runs: the time it served, and when that was last told."""

    epoch: int
    served_s: float = 0.0
    told_s: float = 0.0

    @property
    def served_ms(self) -> int:
        return int(self.served_s * 1000)


class StubNode(StandInNode):
    """A `StandInNode` whose events wait in order until NATS has them, and whose served time is real."""

    def __init__(self, bus: Bus, node_id: str, *, slots: int) -> None:
        super().__init__(bus, node_id, slots=slots)
        self.bus = bus
        self.loses_reports = False
        self._term = 0
        self.serving: dict[str, Serving] = {}
        self._outbox: deque[tuple[Event, int | None]] = deque()
        self._more = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled."""
        loop = asyncio.get_running_loop()
        async with self, asyncio.TaskGroup() as tasks:
            loop.add_signal_handler(signal.SIGUSR1, lambda: tasks.create_task(self._one_dies()))
            loop.add_signal_handler(signal.SIGUSR2, self._lose_reports)
            tasks.create_task(self._publish())
            tasks.create_task(self._serve())
            tasks.create_task(self._look())

    def say(self, event: Event, *, expect_last: int | None = None) -> None:
        """Publish it after all that was said before."""
        self._outbox.append((event, expect_last))
        self._more.set()

    async def _publish(self) -> None:
        while True:
            await self._more.wait()
            while self._outbox:
                event, expect_last = self._outbox[0]
                try:
                    await self.bus.publish(event, expect_last=expect_last, deadline_s=5)
                except SequenceConflict:
                    pass  # another epoch has said it
                except BusUnavailable:
                    await asyncio.sleep(0.2)
                    continue
                self._outbox.popleft()
            self._more.clear()

    async def _serve(self) -> None:
        at = time.monotonic()
        while True:
            await asyncio.sleep(BEAT_S)
            passed_s, at = time.monotonic() - at, time.monotonic()
            for session_id, job in self.serving.items():
                job.served_s += min(passed_s, MOST_A_BEAT_S)
                if job.served_s - job.told_s >= TICK_S:
                    job.told_s = job.served_s
                    self.say(ServedTick(session_id=session_id, time=now(), epoch=job.epoch, served_ms=job.served_ms))

    async def _look(self) -> None:
        """Release jobs that went to another node meanwhile, or whose session ended."""
        while True:
            await asyncio.sleep(LOOK_S)
            for session_id, job in list(self.serving.items()):
                with suppress(BusUnavailable):
                    assigned = await self.bus.last(session_event(JobAssigned.event, session_id))
                    ended = await self.bus.last(session_event(SessionEnded.event, session_id))
                    event = assigned.event if assigned else None
                    if ended or (isinstance(event, JobAssigned) and event.epoch > job.epoch):
                        await self._let_go(session_id, job.epoch, "superseded")

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            with suppress(BusUnavailable):
                await self.report()

    def _outranked(self, term: int) -> CommandFailed | None:
        """Refuse a scheduler that led before one that was heard already, as nodes do."""
        if 0 < term < self._term:
            return CommandFailed(code=RefusalCode.STALE_TERM, detail=f"term {self._term} was heard", term=self._term)
        self._term = max(self._term, term)
        return None

    async def _assign(self, job: AssignJob) -> JobAccepted | CommandFailed:
        if (outranked := self._outranked(job.term)) is not None:
            return outranked
        held = self.serving.get(job.session_id)
        if held is not None and held.epoch >= job.epoch:
            return JobAccepted(node_id=self.node_id, pid=7)
        session_id, epoch = job.session_id, job.epoch
        if held is not None:
            await self._let_go(session_id, held.epoch, "superseded")
        self.jobs[session_id] = job
        self.accepted[session_id] = time.monotonic()
        self.serving[session_id] = Serving(epoch)
        self.say(
            AgentReady(session_id=session_id, time=now(), epoch=epoch, node_id=self.node_id, pid=7, log_file="stub.log")
        )
        if not job.takeover:
            self.say(SessionStarted(session_id=session_id, time=now(), epoch=epoch, at=now()), expect_last=0)
        self.say(AgentSpeaking(session_id=session_id, time=now(), epoch=epoch))
        with suppress(BusUnavailable):
            await self.report()
        if job.farewell:
            await self._let_go(session_id, epoch, "farewell")
        return JobAccepted(node_id=self.node_id, pid=7)

    async def _end(self, command: EndJob) -> JobEnded | CommandFailed:
        if (outranked := self._outranked(command.term)) is not None:
            return outranked
        job = self.serving.get(command.session_id)
        if job is None or job.epoch != command.epoch:
            return JobEnded(found=False, served_ms=0, process_gone=True)
        await self._let_go(command.session_id, command.epoch, "ended")
        return JobEnded(found=True, served_ms=job.served_ms, process_gone=True)

    async def _let_go(self, session_id: str, epoch: int, cause: str) -> None:
        job = self.serving.get(session_id)
        if job is None or job.epoch != epoch:
            return
        del self.serving[session_id]
        self.jobs.pop(session_id, None)
        if not self.loses_reports:
            self.say(
                AgentStopped(session_id=session_id, time=now(), epoch=job.epoch, cause=cause, served_ms=job.served_ms)
            )
        with suppress(BusUnavailable):
            await self.report()

    def _lose_reports(self) -> None:
        self.loses_reports = not self.loses_reports

    async def _one_dies(self) -> None:
        if self.serving:
            session_id, job = next(iter(self.serving.items()))
            await self._let_go(session_id, job.epoch, "crashed")


async def main() -> None:
    """The process."""
    bus = await Bus.connect(os.environ["NATS_URL"], name="agent-runner", graceful_timeout_s=1, deadline_s=30)
    node = StubNode(bus, os.environ["NODE_ID"], slots=int(os.environ["NODE_SLOTS"]))
    serving = asyncio.create_task(node.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
    with suppress(asyncio.CancelledError):
        await serving
    await bus.close()


if __name__ == "__main__":
    mend_wait_for()
    asyncio.run(main())
