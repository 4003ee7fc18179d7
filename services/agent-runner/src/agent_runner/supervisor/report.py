"""The events that a job reports to the log, and the metrics and spans that follow from them."""

import hashlib
import time
from datetime import UTC, datetime
from typing import Final

from agent_runner.domain.call_events import (
    Tell,
    TellFault,
    TellHeard,
    TellReady,
    TellStarted,
    TellStopped,
    TellTick,
    TellTool,
    TellTurn,
)
from agent_runner.domain.stages import spans
from agent_runner.link.messages import ToolCall
from agent_runner.ports import Outboxes
from agent_runner.supervisor import meters
from chassis import telemetry
from chassis.words import seal
from contracts.commands import AssignJob
from contracts.events import (
    AgentReady,
    AgentSpeaking,
    AgentStopped,
    Event,
    ProviderFault,
    ServedTick,
    SessionStarted,
    ToolCalled,
    TurnFinished,
)

_MAX_TEXT: Final = 100_000
_MAX_ERROR: Final = 300
_NS_A_MS: Final = 1_000_000


class Report:
    """The events of one epoch; each is put into the outbox once."""

    def __init__(self, job: AssignJob, node_id: str, log_file: str, outboxes: Outboxes) -> None:
        self._session_id = job.session_id
        self._epoch = job.epoch
        self._node_id = node_id
        self._log_file = log_file
        self._sealing_key = job.words_key if job.seals else ""
        self._outbox = outboxes.open(job.session_id, job.epoch)
        self._began_ns = time.time_ns()
        self._trace = telemetry.extract(telemetry.inject())
        self._ticked_ms = 0
        self._ready: AgentReady | None = None
        self._started: SessionStarted | None = None

    def tell(self, what: Tell) -> None:
        match what:
            case TellReady():
                self._tell_ready(what)
            case TellHeard():
                self._tell_heard(dict(what.stage_ms))
            case TellStarted():
                at = _now()
                self._started = SessionStarted(session_id=self._session_id, time=at, epoch=self._epoch, at=at)
                self._outbox.put(self._started, expect_last=0)  # the log keeps only the first epoch's
            case TellTurn():
                self._tell_turn(what)
            case TellTool():
                self._tell_tool(what.call)
            case TellFault():
                self._outbox.put(
                    ProviderFault(
                        session_id=self._session_id,
                        time=_now(),
                        epoch=self._epoch,
                        n=what.n,
                        provider=what.provider,
                        kind=what.kind,
                        ms=what.ms,
                        detail=what.detail[:_MAX_ERROR],
                        again_ms=what.again_ms,
                    )
                )
            case TellTick():
                self.tick(what.served_ms, what.fault_ms)
            case TellStopped():
                self._tell_stopped(what)

    def tick(self, served_ms: int, fault_ms: int) -> None:
        """Report the served time so far and the fault time in it, if the served time has grown."""
        if served_ms > self._ticked_ms:
            self._ticked_ms = served_ms
            self._outbox.put(
                ServedTick(
                    session_id=self._session_id,
                    time=_now(),
                    epoch=self._epoch,
                    served_ms=served_ms,
                    fault_ms=fault_ms,
                )
            )

    def again(self, served_ms: int, fault_ms: int) -> None:
        """Report again to a log that has lost events; the ids are the same, so an intact log keeps one of each."""
        if self._ready is not None:
            self._outbox.put(self._ready)
        if self._started is not None:
            self._outbox.put(self._started, expect_last=0)
            self._ticked_ms = 0
        self.tick(served_ms, fault_ms)

    async def is_in_log(self, deadline_s: float) -> bool:
        """Wait until the log has all events; False: the deadline passed first."""
        return await self._outbox.flush(deadline_s)

    def _tell_ready(self, what: TellReady) -> None:
        stage_ms = dict(what.stage_ms)
        for stage, ms in stage_ms.items():
            meters.STAGE_SECONDS.labels(meters.bounded(stage)).observe(ms / 1000)
        self._ready = AgentReady(
            session_id=self._session_id,
            time=_now(),
            epoch=self._epoch,
            node_id=self._node_id,
            pid=what.pid,
            log_file=self._log_file,
            stage_ms=stage_ms,
        )
        self._outbox.put(self._ready)

    def _tell_heard(self, stage_ms: dict[str, int]) -> None:
        """`stage_ms` repeats the stages of `agent_ready`; the later ones are observed here."""
        observed = () if self._ready is None else self._ready.stage_ms
        for stage in stage_ms.keys() - observed:
            meters.STAGE_SECONDS.labels(meters.bounded(stage)).observe(stage_ms[stage] / 1000)
        self._outbox.put(AgentSpeaking(session_id=self._session_id, time=_now(), epoch=self._epoch, stage_ms=stage_ms))
        for stage, (begin_ms, end_ms) in spans(stage_ms).items():
            telemetry.past_span(
                f"agent {meters.bounded(stage)}",
                parent=self._trace,
                begin_ns=self._began_ns + begin_ms * _NS_A_MS,
                end_ns=self._began_ns + end_ms * _NS_A_MS,
                attributes={"session.id": self._session_id},
            )

    def _tell_turn(self, what: TellTurn) -> None:
        turn = what.turn
        if what.over_budget:
            meters.TURNS_OVER_BUDGET.labels(what.over_budget).inc()
        for stage, ms in turn.stage_ms.items():
            meters.TURN_SECONDS.labels(meters.bounded(stage)).observe(ms / 1000)
        self._put_sealed(
            TurnFinished(
                session_id=self._session_id,
                time=_now(),
                epoch=self._epoch,
                n=turn.n,
                user_text=turn.user_text[:_MAX_TEXT],
                heard_text=turn.heard_text[:_MAX_TEXT],
                interrupted=turn.interrupted,
                stage_ms=turn.stage_ms,
                budget_ms=what.budget_ms,
                over=what.over_budget,
                said=turn.said if turn.heard_text else "nothing",
                summary=turn.summary[:_MAX_TEXT],
                summary_keeps=turn.summary_keeps,
            )
        )

    def _tell_tool(self, call: ToolCall) -> None:
        self._put_sealed(
            ToolCalled(
                session_id=self._session_id,
                time=_now(),
                epoch=self._epoch,
                n=call.n,
                turn=call.turn,
                name=call.name,
                key=call.key,
                arguments_hash=hashlib.sha256(call.arguments.encode()).hexdigest(),
                status="finished" if call.outcome else "started",
                outcome=call.outcome,
                arguments=call.arguments[:_MAX_TEXT],
                answer=call.answer[:_MAX_TEXT],
                error=call.error[:_MAX_ERROR],
            )
        )

    def _put_sealed(self, event: Event) -> None:
        """Seal the event before it enters the outbox, which may write it to this node's disk."""
        self._outbox.put(seal(event, self._sealing_key))

    def _tell_stopped(self, what: TellStopped) -> None:
        """The last event: close the outbox after it."""
        meters.STOPS.labels(what.cause.partition(":")[0]).inc()
        meters.SERVED_SECONDS.inc(what.served_ms / 1000)
        meters.FAULT_SECONDS.inc(what.fault_ms / 1000)
        self._outbox.put(
            AgentStopped(
                session_id=self._session_id,
                time=_now(),
                epoch=self._epoch,
                cause=what.cause,
                served_ms=what.served_ms,
                fault_ms=what.fault_ms,
            )
        )
        self._outbox.close()


def _now() -> datetime:
    return datetime.now(UTC)
