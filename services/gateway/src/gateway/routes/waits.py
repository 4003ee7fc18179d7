"""The requests that wait for an agent: limited in number, and answered when the gateway stops."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from chassis import metrics
from chassis.logs import get_logger
from contracts.errors import GATEWAY_STOPPING, START_PENDING, TOO_MANY_WAITING, Refused
from contracts.events import AgentReady, AgentSpeaking, SessionEnded, TurnFinished
from gateway.domain.waiting import STAGES, AwaitedStage, Progress
from gateway.ports import NatsUnavailable, SessionLog

log = get_logger(__name__)

_RETRY_AFTER_S: Final = 1
_WAITING: Final = metrics.gauge("gateway_waiting_starts", "Requests that wait for their agent, of START_WAITS_MAX")

Tell = Callable[[AwaitedStage, Mapping[str, int]], Awaitable[None]]


class Waits:
    """Permits for waiting requests, each of which uses a connection and memory."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._permits = 0
        self._timeouts: set[asyncio.Timeout] = set()
        self._stopping = False

    def permit(self) -> "Permit":
        """Take a permit, to be released at the end of the wait.

        Raises:
            Refused: `too_many_waiting`, `gateway_stopping`.
        """
        if self._stopping:
            raise Refused(
                GATEWAY_STOPPING, "This gateway stops: it accepts no waiting requests.", retry_after_s=_RETRY_AFTER_S
            )
        if self._permits >= self._limit:
            raise Refused(
                TOO_MANY_WAITING, f"{self._limit} requests already wait for agents.", retry_after_s=_RETRY_AFTER_S
            )
        self._permits += 1
        _WAITING.set(self._permits)
        return Permit(self._release)

    def stop(self) -> None:
        """End every wait with `gateway_stopping`, and refuse new ones."""
        self._stopping = True
        for timeout in self._timeouts:
            if not timeout.expired():  # an expired timeout cannot be rescheduled
                timeout.reschedule(asyncio.get_running_loop().time())

    async def follow(
        self,
        stage: AwaitedStage,
        session_id: str,
        log: SessionLog,
        *,
        until: float,
        tell: Tell,
        since: int | None = None,
    ) -> None:
        """Call `tell` with each stage when it is reached, and return after `stage`.

        Args:
            until: Deadline on the loop's clock.
            since: Stream sequence of the session's request, if known.

        Raises:
            Refused: The session ended before; `start_pending`, `gateway_stopping`.
            NatsUnavailable: The log cannot be followed.
        """
        timeout = asyncio.timeout_at(until)
        progress = Progress()
        try:
            async with (
                timeout,
                log.follow(session_id, AgentReady, AgentSpeaking, TurnFinished, SessionEnded, since=since) as events,
            ):
                self._timeouts.add(timeout)
                if self._stopping:
                    raise TimeoutError
                async for event in events:
                    before, progress = progress, progress.after(event)
                    for each in STAGES:
                        stage_ms = progress.at(each)
                        if stage_ms is not None and before.at(each) is None:
                            await tell(each, stage_ms)
                            if each == stage:
                                return
        except TimeoutError as error:
            raise self._ended_early(stage, session_id) from error
        except NatsUnavailable as error:
            error.session_id = session_id
            raise
        finally:
            self._timeouts.discard(timeout)
        raise NatsUnavailable(f"NATS sends no more events of session {session_id}.", session_id=session_id)

    def _ended_early(self, stage: AwaitedStage, session_id: str) -> Refused:
        if self._stopping:
            kind, detail = (
                GATEWAY_STOPPING,
                f"Session {session_id} is accepted, but this gateway stops before its agent is {stage}.",
            )
        else:
            kind, detail = START_PENDING, f"Session {session_id} is accepted, but its agent was not {stage} in time."
        return Refused(kind, detail, retry_after_s=_RETRY_AFTER_S, session_id=session_id)

    def _release(self) -> None:
        self._permits -= 1
        _WAITING.set(self._permits)


class Permit:
    def __init__(self, release: Callable[[], None]) -> None:
        self._release: Callable[[], None] | None = release

    def release(self) -> None:
        """Release the permit; safe to repeat."""
        release, self._release = self._release, None
        if release is not None:
            release()
