"""The commands that the scheduler sends to this node over NATS."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, assert_never

from faststream.nats import NatsRoute, NatsRouter

from agent_runner.domain import node as domain
from agent_runner.domain.node import Refuse
from agent_runner.supervisor import meters
from agent_runner.supervisor.call import Call
from agent_runner.supervisor.node import Node
from agent_runner.supervisor.rooms import PrejoinedRooms
from chassis import logs
from chassis.nats import command_router
from chassis.tasks import Tasks
from contracts.causes import Cause
from contracts.commands import (
    ASSIGN,
    DESCRIBE,
    DRAIN,
    END,
    PREJOIN,
    AssignJob,
    CommandFailed,
    DescribeJob,
    DrainNode,
    EndJob,
    JobAccepted,
    JobDescribed,
    JobEnded,
    NodeDraining,
    PrejoinRoom,
    RoomPrejoined,
)
from contracts.deadlines import DESCRIBE_REPORT_S, END_REPORT_S, NODE_ACCEPT_S, NODE_END_S, REAP_S
from contracts.refusals import RefusalCode

_DRAINS_AT_ONCE: Final = 8

log = logs.get_logger(__name__)


class Commands:
    """The node's commands; a repeated command gets the same answer."""

    def __init__(
        self,
        node: Node,
        rooms: PrejoinedRooms,
        *,
        announce: Callable[[], Awaitable[object]],
        kill_s: float,
        on_drained: Callable[[], None],
    ) -> None:
        """Wire the parts.

        Args:
            announce: Writes the node's entry now.
            kill_s: From the decision to end to SIGKILL.
            on_drained: Called when the node was told to drain and its calls have ended.
        """
        self._node = node
        self._rooms = rooms
        self._announce = announce
        self._kill_s = kill_s
        self._on_drained = on_drained
        self._tasks = Tasks()
        self._leaving: asyncio.Task[None] | None = None

    def router(self, address: str, *, at_once: int) -> NatsRouter:
        """Receives the commands to one address of the node.

        Args:
            at_once: Commands of one kind in flight; the rest wait.
        """
        return command_router(
            handlers=(
                NatsRoute(self.assign, ASSIGN.at(address).subject, max_workers=at_once),
                NatsRoute(self.end, END.at(address).subject, max_workers=at_once),
                NatsRoute(self.prejoin, PREJOIN.at(address).subject, max_workers=at_once),
                NatsRoute(self.describe, DESCRIBE.at(address).subject, max_workers=at_once),
                NatsRoute(self.drain, DRAIN.at(address).subject, max_workers=_DRAINS_AT_ONCE),
            )
        )

    async def assign(self, job: AssignJob) -> JobAccepted | CommandFailed:
        """Start a job, unless it runs already."""
        for effect in self._node.assign(job):
            match effect:
                case Refuse():
                    if effect.code is not RefusalCode.STALE_TERM:
                        meters.REFUSALS.labels(effect.code).inc()
                    return _refuse(effect, job)
                case domain.EndEpoch():
                    if (former := self._node.call(job.session_id)) is not None:
                        former.end(effect.cause)
                case domain.StartJob():
                    self._node.start(job)
                case _:
                    assert_never(effect)
        call = self._node.call(job.session_id)
        if call is not None:
            await call.has_worker(NODE_ACCEPT_S)
        return JobAccepted(node_id=self._node.facts.node_id, pid=0 if call is None else call.state.worker.pid)

    async def prejoin(self, order: PrejoinRoom) -> RoomPrejoined | CommandFailed:
        """Have a warm worker join a room, if a slot is free; a call that needs the slot later evicts the room."""
        refused = self._node.refuse_room(order.session_id)
        if refused is not None:
            return CommandFailed(code=refused.code, detail=refused.detail, retryable=refused.retryable)
        return await self._rooms.fill(order, announce=self._announce)

    async def end(self, command: EndJob) -> JobEnded | CommandFailed:
        """End a job; reply when its process is gone and the log has its last event, or after a deadline without them.

        A process that hangs does not delay the reply further: the served time is fixed, and SIGKILL follows.
        """
        (effect,) = self._node.end(command)
        call = self._node.call(command.session_id)
        match effect:
            case Refuse():
                return _refuse(effect, command)
            case domain.EndEpoch() if call is not None:
                return await self._end(call, effect.cause, command)
            case domain.AnswerEnded(domain.EndedJob() as job):
                return JobEnded(found=True, served_ms=job.served_ms, fault_ms=job.fault_ms, process_gone=True)
            case domain.EndEpoch() | domain.AnswerEnded():
                return JobEnded(found=False, served_ms=0, process_gone=True)

    async def _end(self, call: Call, cause: Cause, command: EndJob) -> JobEnded:
        call.end(cause, say=command.say)
        gone = True
        try:
            async with asyncio.timeout(NODE_END_S if command.say is None else self._kill_s + REAP_S):
                await call.ended.wait()
            await call.reported(END_REPORT_S)
        except TimeoutError:
            gone = False
            log.warning("job.will_not_end", session_id=command.session_id, pid=call.state.worker.pid)
            await call.tell_served(END_REPORT_S)
        if call.job.epoch != command.epoch:
            return JobEnded(found=False, served_ms=0, process_gone=gone)
        return JobEnded(found=True, served_ms=call.state.served_ms, fault_ms=call.state.fault_ms, process_gone=gone)

    async def describe(self, command: DescribeJob) -> JobDescribed | CommandFailed:
        """Report a job again to a log that has lost its beginning, and describe the job."""
        call = self._node.call(command.session_id)
        if call is None or call.job.epoch != command.epoch:
            detail = f"epoch {command.epoch} of this session does not run here"
            return CommandFailed(code=RefusalCode.NO_SUCH_JOB, detail=detail)
        log.warning("job.reported_again", session_id=command.session_id, epoch=command.epoch)
        described = await call.describe(DESCRIBE_REPORT_S)
        if described is None:
            detail = "the log does not take its events now"
            return CommandFailed(code=RefusalCode.NOT_REPORTED, detail=detail, retryable=True)
        return described

    async def drain(self, command: DrainNode) -> NodeDraining:
        """Take nothing new, and stop the node when its calls have ended; the last command's limit counts."""
        jobs = self._node.start_draining()
        if self._leaving is not None:
            self._leaving.cancel()
        self._leaving = self._tasks.spawn(self._leave(command.limit_s))
        return NodeDraining(jobs=jobs)

    async def _leave(self, limit_s: float) -> None:
        await self._node.shut_down(limit_s, asyncio.Event())
        self._on_drained()


def _refuse(refused: Refuse, command: AssignJob | EndJob) -> CommandFailed:
    log.warning("command.refused", session_id=command.session_id, epoch=command.epoch, code=refused.code)
    term = refused.term or None
    return CommandFailed(code=refused.code, detail=refused.detail, retryable=refused.retryable, term=term)
