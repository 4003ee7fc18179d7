"""The bucket `nodes` and the commands to its nodes."""

from asyncio import Event as Signal
from collections.abc import Callable
from typing import Any, Final

from chassis import logs
from chassis.nats import (
    BadReply,
    Bus,
    BusRefused,
    Change,
    CommandTimeout,
    NoResponder,
    NoUsableReply,
)
from contracts.commands import (
    ASSIGN,
    DESCRIBE,
    END,
    PREJOIN,
    AssignJob,
    Command,
    CommandFailed,
    DescribeJob,
    EndJob,
    JobDescribed,
    JobEnded,
    PrejoinRoom,
    Request,
)
from contracts.deadlines import DESCRIBE_REPLY_S, LAST_SENTENCE_REPLY_S, NODE_PROBE_S, PREJOIN_REPLY_S
from contracts.refusals import RefusalCode
from contracts.registry import NodeState
from contracts.streams import NODES
from scheduler.adapters.nats_errors import translated
from scheduler.ports import NO_ANSWER, NO_RESPONDER, NodeSilent, NotAccepted, Outranked

_FIND_S: Final = 1.0
_ADDRESSES: Final = 100_000
_PROBE: Final = EndJob(session_id="session_of_a_probe", epoch=1, reason="probe")  # nodes of every version answer it

log = logs.get_logger(__name__)


class NatsNodes:
    def __init__(self, bus: Bus, *, assign_timeout_s: float, end_timeout_s: float) -> None:
        self._bus = bus
        self._bucket = bus.bucket(NODES)
        self._addresses: dict[str, str] = {}  # node -> address, least recently seen first
        self._assign_timeout_s = assign_timeout_s
        self._end_timeout_s = end_timeout_s

    async def prepare(self) -> None:
        try:
            with translated():
                if await self._bus.restore(NODES):
                    log.warning("nodes.bucket_recreated", reason="a former version kept it in files")
        except BusRefused as error:
            log.error("nodes.bucket_left_in_files", reason=str(error))

    async def watch(self, changed: Callable[[str, NodeState | None], None], caught_up: Signal) -> None:
        async def tell(change: Change[NodeState]) -> None:
            if change.data is None:
                changed(change.key, None)  # keep its address: its jobs may still be ended
                return
            state = self._checked(change.key, change.value)
            if state is not None:
                changed(change.key, state)

        await self._bucket.watch(tell, ready=caught_up)

    async def find(self, node_id: str) -> NodeState | None:
        with translated():
            entry = await self._bucket.get(node_id, deadline_s=_FIND_S)
        return None if entry is None else self._checked(node_id, entry.value)

    async def answers(self, node_id: str) -> bool:
        """Ask the node to end a job that no node has; a refusal, or a reply of another version, is an answer."""
        try:
            with translated():
                await self._bus.request(END.at(self._address(node_id)), _PROBE, timeout_s=NODE_PROBE_S)
        except BadReply:
            return True
        except NoUsableReply:
            return False
        return True

    async def assign(self, node_id: str, job: AssignJob) -> None:
        await self._ask(node_id, ASSIGN, job, self._assign_timeout_s)

    async def prejoin(self, node_id: str, order: PrejoinRoom) -> None:
        await self._ask(node_id, PREJOIN, order, PREJOIN_REPLY_S)

    async def _ask(self, node_id: str, command: Command[Request, Any], body: Request, timeout_s: float) -> None:
        try:
            with translated():
                reply = await self._bus.request(command.at(self._address(node_id)), body, timeout_s=timeout_s)
        except NoResponder as error:
            raise NotAccepted(NO_RESPONDER) from error
        except NoUsableReply as error:
            raise NotAccepted(NO_ANSWER) from error
        if isinstance(reply, CommandFailed):
            _obey(reply)
            raise NotAccepted(reply.code)

    async def describe(self, node_id: str, session_id: str, epoch: int) -> JobDescribed | None:
        command = DescribeJob(session_id=session_id, epoch=epoch)
        try:
            with translated():
                reply = await self._bus.request(
                    DESCRIBE.at(self._address(node_id)), command, timeout_s=DESCRIBE_REPLY_S
                )
        except NoUsableReply as error:
            log.warning("node.describe_unanswered", node_id=node_id, session_id=session_id, reason=str(error))
            if isinstance(error, CommandTimeout):
                raise NodeSilent(node_id) from error
            return None
        return reply if isinstance(reply, JobDescribed) else None

    async def end(self, node_id: str, job: EndJob) -> JobEnded | None:
        timeout_s = self._end_timeout_s + (LAST_SENTENCE_REPLY_S if job.say else 0)
        try:
            with translated():
                reply = await self._bus.request(END.at(self._address(node_id)), job, timeout_s=timeout_s)
        except NoUsableReply as error:
            log.warning("node.end_unanswered", node_id=node_id, session_id=job.session_id, reason=str(error))
            return None
        if isinstance(reply, CommandFailed):
            _obey(reply)
            if reply.code == RefusalCode.STALE_EPOCH:  # the epoch that was to end is gone
                return JobEnded(found=False, served_ms=0, process_gone=True)
            log.warning("node.end_failed", node_id=node_id, session_id=job.session_id, code=reply.code)
            return None
        return reply

    def _address(self, node_id: str) -> str:
        return self._addresses.get(node_id, node_id)

    def _checked(self, key: str, state: NodeState | None) -> NodeState | None:
        if state is None:
            return None
        if state.node_id != key:
            log.warning("node.wrong_key", node_id=state.node_id, key=key)
            return None
        self._addresses.pop(key, None)
        self._addresses[key] = state.address
        if len(self._addresses) > _ADDRESSES:
            del self._addresses[next(iter(self._addresses))]
        return state


def _obey(refusal: CommandFailed) -> None:
    if refusal.code == RefusalCode.STALE_TERM and refusal.term is not None:
        raise Outranked(refusal.term)
