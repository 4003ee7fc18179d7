"""The leader's next step for one session: pure."""

from dataclasses import dataclass, replace
from typing import TypeAlias

from scheduler.domain import credit, ending
from scheduler.domain.facts import Facts, Verdict
from scheduler.domain.limits import Limits
from scheduler.domain.session import Session

_END_TRIES = 2
"""Commands `end` without an outcome, after which the session ends without a reply."""


@dataclass(frozen=True, slots=True)
class Place:
    """Choose a node and publish the next `assigned`; the first one needs a slot."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Send `assign` to the current epoch's node."""

    epoch: int
    node_id: str
    takeover: bool
    farewell: bool = False


@dataclass(frozen=True, slots=True)
class StopSuperseded:
    """Tell a superseded epoch's node to stop its job; no step waits for the reply."""

    epoch: int
    node_id: str


@dataclass(frozen=True, slots=True)
class CountFailure:
    """Count the current epoch's failure against its node: other starts avoid the node for a while."""

    epoch: int
    node_id: str
    failure: str


@dataclass(frozen=True, slots=True)
class StopAgent:
    """Send `end` to the current epoch's node; the reply, or its timeout, comes back as a fact.

    Attributes:
        say: A last sentence. The same command without it interrupts the sentence.
    """

    epoch: int
    node_id: str
    verdict: Verdict
    say: str | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """Read the session's billable time from its log."""


@dataclass(frozen=True, slots=True)
class End:
    """Publish the one `ended`."""

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ReleaseSlot:
    """Delete the session's slot."""

    key: int


@dataclass(frozen=True, slots=True)
class DeleteRoom:
    """Delete the LiveKit room, which disconnects its participants and makes its tokens useless."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove the session from memory: everything is done."""


Action: TypeAlias = (
    Place | Ask | StopSuperseded | CountFailure | StopAgent | Measure | End | ReleaseSlot | DeleteRoom | Remove
)


@dataclass(frozen=True, slots=True)
class Decision:
    """Actions to perform now, in order, and when to decide again at the latest (ms on the log's clock)."""

    actions: tuple[Action, ...] = ()
    wake_at_ms: int | None = None


def decide(session: Session, facts: Facts, now_ms: int, limits: Limits) -> Decision:
    """Decide the next actions for a session. A performed action changes the log or the facts, so it is not repeated.

    Args:
        session: Its log.
        facts: What the log does not hold.
        now_ms: On the log's clock.
    """
    if session.has_ended:
        return Decision(_clean_up(session, facts))
    if session.requested is None and not session.unreadable:
        return Decision()
    decided = _go_on(session, facts, now_ms, limits)
    current = session.current
    failure = ending.blamed_for(session, facts, now_ms, limits)
    if current is None or failure is None:
        return decided
    return replace(decided, actions=(CountFailure(current.epoch, current.node_id, failure), *decided.actions))


def _go_on(session: Session, facts: Facts, now_ms: int, limits: Limits) -> Decision:
    verdict = ending.verdict(session, facts, now_ms, limits)
    if verdict is not None:
        return _end(session, facts, verdict, now_ms, limits)
    current = session.current
    if current is None:
        return Decision((Place(),), _wake(session, facts, now_ms, limits))
    look_ms = credit.next_look_ms(session, facts, limits)
    if look_ms is not None and now_ms >= look_ms:
        return Decision((Measure(),), _wake(session, facts, now_ms, limits))
    # If the call never started, the replacement greets the caller like a first agent.
    takeover = session.started_ms is not None
    if ending.attempt_failure(session, facts, now_ms, limits) is not None:
        again_ms = ending.next_attempt_ms(session, limits)
        actions: tuple[Action, ...] = (Place(),) if now_ms >= again_ms else ()
        if facts.stop_sent_epoch < current.epoch and current.epoch not in session.stops:
            actions = (StopSuperseded(current.epoch, current.node_id), *actions)
        wake_ms = again_ms if again_ms > now_ms else now_ms + limits.retry_pause_ms
        return Decision(actions, wake_ms)
    wake = _wake(session, facts, now_ms, limits)
    if current.epoch not in session.ready_ms and facts.asked_epoch < current.epoch:
        farewell = ending.is_farewell(session, limits)
        return Decision((Ask(current.epoch, current.node_id, takeover=takeover, farewell=farewell),), wake)
    return Decision((), wake)


def _end(session: Session, facts: Facts, verdict: Verdict, now_ms: int, limits: Limits) -> Decision:
    current = session.current
    if current is None or current.epoch in session.stops:
        return Decision((End(verdict),))
    told = facts.end_command
    if told is None or told.epoch < current.epoch:
        say = ending.last_sentence(session, facts, verdict, limits)
        return Decision((StopAgent(current.epoch, current.node_id, verdict, say),), now_ms + limits.end_wait_ms)
    if facts.end_answer is not None and facts.end_answer.epoch >= current.epoch:
        return Decision((End(verdict),))
    cut_short = told.speaks and told.epoch == current.epoch and not ending.may_speak(session, facts)
    until_ms = told.at_ms + limits.end_wait_ms
    if cut_short or (now_ms >= until_ms and told.tries < _END_TRIES):
        return Decision((StopAgent(current.epoch, current.node_id, verdict),), now_ms + limits.end_wait_ms)
    if now_ms >= until_ms:  # without a reply the last tick counts
        return Decision((End(verdict),))
    return Decision((), until_ms)  # the reply or its timeout comes earlier


def _clean_up(session: Session, facts: Facts) -> tuple[Action, ...]:
    actions: list[Action] = []
    current = session.current
    answered = facts.end_answer.epoch if facts.end_answer is not None and facts.end_answer.served_ms is not None else 0
    # The node did not reply, or another leader gave it the job while this session ended.
    told = max(answered, facts.stop_sent_epoch)
    if current is not None and current.epoch not in session.stops and current.epoch > told:
        actions.append(StopSuperseded(current.epoch, current.node_id))
    if facts.slot is not None:
        actions.append(ReleaseSlot(facts.slot))
    if not facts.room_deleted:
        actions.append(DeleteRoom())
    return tuple(actions) or (Remove(),)


def _wake(session: Session, facts: Facts, now_ms: int, limits: Limits) -> int | None:
    return min((at for at in ending.deadlines(session, facts, limits) if at > now_ms), default=None)
