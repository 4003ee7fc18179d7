"""Asks nodes to run a job; after a refusal it retries, takes another node, or suspends the node."""

from collections.abc import Callable
from typing import Final

from chassis import logs
from contracts.refusals import RefusalCode
from scheduler.domain.board import Board
from scheduler.domain.decision import Ask
from scheduler.domain.facts import AskLost, Fact, KeyLost, NodeRefused
from scheduler.domain.session import Attempt, Session
from scheduler.leader.agents import Agents
from scheduler.leader.timers import Timers
from scheduler.ports import NO_ANSWER, NO_RESPONDER, NotAccepted, Unavailable, WordsLost

_RETRY_MS: Final = 250
_NO_SLOT: Final = (RefusalCode.FULL, RefusalCode.DRAINING)  # the node is healthy; our view of it was stale
_SESSIONS_OWN: Final = (RefusalCode.STALE_EPOCH,)

log = logs.get_logger(__name__)


class Asking:
    """Sends `assign` beside the session's other steps."""

    def __init__(
        self,
        board: Board,
        agents: Agents,
        timers: Timers,
        now_ms: Callable[[], int],
        learn: Callable[[str, Fact], None],
        capacity_changed: Callable[[], None],
    ) -> None:
        self._board = board
        self._agents = agents
        self._timers = timers
        self._now_ms = now_ms
        self._learn = learn
        self._capacity_changed = capacity_changed

    async def ask(self, session: Session, attempt: Attempt, action: Ask) -> None:
        """Send `assign`; the node's reply, or its timeout, becomes a fact."""
        session_id = session.session_id
        assert session.requested is not None
        try:
            await self._agents.ask(
                session.requested,
                attempt,
                takeover=action.takeover,
                farewell=action.farewell,
                seals=not self._board.fleet.older,
            )
        except NotAccepted as refused:
            log.warning(
                "job.not_accepted",
                session_id=session_id,
                node_id=attempt.node_id,
                epoch=attempt.epoch,
                reason=refused.reason,
            )
            if refused.reason in _NO_SLOT:
                self._board.fleet.refused(attempt.node_id)
            elif refused.reason not in _SESSIONS_OWN:
                self.suspend(attempt.node_id, refused.reason)
            if self._may_have_been_lost(refused):
                self._ask_again(session_id, attempt)
            else:
                self._learn(session_id, NodeRefused(attempt.epoch))
        except WordsLost as lost:
            log.error("job.words_lost", session_id=session_id, epoch=attempt.epoch, reason=str(lost))
            self._learn(session_id, KeyLost())
        except Unavailable as error:
            log.warning("job.not_sent", session_id=session_id, epoch=attempt.epoch, reason=str(error))
            self._ask_again(session_id, attempt)

    def expect(self, session: Session) -> None:
        """Prepare for `ask`."""
        if session.requested is not None:
            self._agents.expect(session.requested)

    def ended(self, session_id: str) -> None:
        """Delete what is kept for `ask`: the session has ended."""
        self._agents.ended(session_id)

    def suspend(self, node_id: str, failure: str) -> None:
        """Count a failed start against the node: others avoid it until its pause expires."""
        now_ms = self._now_ms()
        if now_ms < self._board.nodes.judge_from_ms and failure in (NO_RESPONDER, NO_ANSWER):
            return  # after an outage of NATS, silence says nothing about the node
        suspension = self._board.fleet.failed(node_id, now_ms, failure)
        log.warning(
            "node.suspended",
            node_id=node_id,
            failure=failure,
            failures=suspension.failures,
            pause_s=max(0, suspension.until_ms - now_ms) / 1000,
        )
        self._capacity_changed()

    def _may_have_been_lost(self, refused: NotAccepted) -> bool:
        """Whether a retry of the same command may succeed: after an outage of NATS, or a lost reply.

        A new epoch instead could greet the caller twice. The attempt's own deadline bounds the retries.
        """
        silent = refused.reason == NO_ANSWER
        outage = refused.reason == NO_RESPONDER and self._now_ms() < self._board.nodes.judge_from_ms
        return silent or outage

    def _ask_again(self, session_id: str, attempt: Attempt) -> None:
        self._board.roster.learn(session_id, AskLost(attempt.epoch))
        self._timers.set(session_id, self._now_ms() + _RETRY_MS)
