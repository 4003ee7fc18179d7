"""What a job tells the log about itself, and what is counted of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from contracts.events import AgentReady, AgentSpeaking, AgentStopped, ServedTick, SessionStarted, TurnFinished

from agent_runner.domain.link import Turn
from agent_runner.ports import Outbox
from agent_runner.supervisor import meters

_MAX_TEXT: Final = 100_000


class Report:
    """The events of one epoch; each is put into the outbox once."""

    def __init__(self, session_id: str, epoch: int, outbox: Outbox) -> None:
        self._session_id = session_id
        self._epoch = epoch
        self._outbox = outbox
        self._ticked_ms = 0
        self._ready: AgentReady | None = None
        self._started: SessionStarted | None = None
        self._observed: frozenset[str] = frozenset()

    def ready(self, *, node_id: str, pid: int, log_file: str, stage_ms: dict[str, int]) -> None:
        """The agent is in the room; `stage_ms` counts from the assignment."""
        self._observed = frozenset(stage_ms)
        for stage, ms in stage_ms.items():
            meters.STAGE_SECONDS.labels(meters.bounded(stage)).observe(ms / 1000)
        self._ready = AgentReady(
            session_id=self._session_id,
            time=_now(),
            epoch=self._epoch,
            node_id=node_id,
            pid=pid,
            log_file=log_file,
            stage_ms=stage_ms,
        )
        self._outbox.put(self._ready)

    def heard(self, stage_ms: dict[str, int]) -> None:
        """The caller hears the agent; `stage_ms` has all that `ready` had and the stages since."""
        for stage in stage_ms.keys() - self._observed:
            meters.STAGE_SECONDS.labels(meters.bounded(stage)).observe(stage_ms[stage] / 1000)
        self._outbox.put(AgentSpeaking(session_id=self._session_id, time=_now(), epoch=self._epoch, stage_ms=stage_ms))

    def started(self) -> None:
        """Caller and agent are both there. Only the session's first epoch to say so gets it into the log."""
        if self._started is None:
            at = _now()
            self._started = SessionStarted(session_id=self._session_id, time=at, epoch=self._epoch, at=at)
            self._outbox.put(self._started, expect_last=0)

    def turn(self, turn: Turn) -> None:
        """A turn is over."""
        for stage, ms in turn.stage_ms.items():
            meters.TURN_SECONDS.labels(meters.bounded(stage)).observe(ms / 1000)
        self._outbox.put(
            TurnFinished(
                session_id=self._session_id,
                time=_now(),
                epoch=self._epoch,
                n=turn.n,
                user_text=turn.user_text[:_MAX_TEXT],
                heard_text=turn.heard_text[:_MAX_TEXT],
                interrupted=turn.interrupted,
                stage_ms=turn.stage_ms,
            )
        )

    def tick(self, served_ms: int, fault_ms: int) -> None:
        """The served time so far, and the fault time in it; said only when the served time grew."""
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
        """What was said before, for a log that lost it; under the same ids, so that a whole log keeps it once."""
        if self._ready is not None:
            self._outbox.put(self._ready)
        if self._started is not None:
            self._outbox.put(self._started, expect_last=0)
            self._ticked_ms = 0
        self.tick(served_ms, fault_ms)

    def stopped(self, cause: str, served_ms: int, fault_ms: int) -> None:
        """The process is gone; the last word."""
        meters.STOPS.labels(cause.partition(":")[0]).inc()
        meters.SERVED_SECONDS.inc(served_ms / 1000)
        meters.FAULT_SECONDS.inc(fault_ms / 1000)
        self._outbox.put(
            AgentStopped(
                session_id=self._session_id,
                time=_now(),
                epoch=self._epoch,
                cause=cause,
                served_ms=served_ms,
                fault_ms=fault_ms,
            )
        )
        self._outbox.close()

    async def is_in_log(self, deadline_s: float) -> bool:
        """Whether everything has reached the log by the deadline."""
        return await self._outbox.flush(deadline_s)


def _now() -> datetime:
    return datetime.now(UTC)
