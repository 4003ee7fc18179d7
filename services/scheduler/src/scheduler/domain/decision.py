"""What the leader does next about one session: pure, one step at a time."""

from dataclasses import dataclass, replace
from typing import TypeAlias

from scheduler.domain import credit, ending
from scheduler.domain.facts import Facts, Verdict
from scheduler.domain.limits import Limits
from scheduler.domain.session import Session

_END_TRIES = 2
"""Commands `end` whose outcome got lost, after which the session ends without one."""


@dataclass(frozen=True, slots=True)
class Place:
    """Choose a node and publish the next `assigned`; the first one needs a slot."""

    takeover: bool


@dataclass(frozen=True, slots=True)
class Ask:
    """Send `assign` to the current epoch's node."""

    epoch: int
    node_id: str
    takeover: bool
    farewell: bool = False


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Tell a superseded epoch's node to let go; nobody waits for the answer."""

    epoch: int
    node_id: str


@dataclass(frozen=True, slots=True)
class Blame:
    """Hold the current epoch's failure against its node: other starts avoid it for a while."""

    epoch: int
    node_id: str
    failure: str


@dataclass(frozen=True, slots=True)
class EndAgent:
    """Send `end` to the current epoch's node; its answer, or its silence, comes back as a fact.

    Attributes:
        say: A last sentence. The same command again without it cuts it short.
    """

    epoch: int
    node_id: str
    verdict: Verdict
    say: str | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """Read the session's billable time from its log."""


@dataclass(frozen=True, slots=True)
class Conclude:
    """Publish the one `ended`."""

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class FreeSlot:
    """Give the slot back."""

    key: int


@dataclass(frozen=True, slots=True)
class DeleteRoom:
    """Delete the LiveKit room: whoever is still in it is put out, and its tokens open nothing any more."""


@dataclass(frozen=True, slots=True)
class Forget:
    """Nothing is left to do for this session."""


Action: TypeAlias = Place | Ask | Withdraw | Blame | EndAgent | Measure | Conclude | FreeSlot | DeleteRoom | Forget


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, in this order, and when to decide anew if nothing happens before (ms on the log's clock)."""

    actions: tuple[Action, ...] = ()
    wake_at_ms: int | None = None


def decide(session: Session, facts: Facts, now_ms: int, limits: Limits) -> Decision:
    """Say what to do about a session now. Each action, once done, changes the log or the facts, so it is not repeated.

    Args:
        session: Its log.
        facts: What is known beside the log.
        now_ms: On the clock of the log.
    """
    if session.is_over:
        return Decision(_clear_up(session, facts))
    if session.requested is None and not session.unreadable:
        return Decision()
    decided = _go_on(session, facts, now_ms, limits)
    current = session.current
    failure = ending.blamed_for(session, facts, now_ms, limits)
    if current is None or failure is None:
        return decided
    return replace(decided, actions=(Blame(current.epoch, current.node_id, failure), *decided.actions))


def _go_on(session: Session, facts: Facts, now_ms: int, limits: Limits) -> Decision:
    verdict = ending.verdict(session, facts, now_ms, limits)
    if verdict is not None:
        return _end(session, facts, verdict, now_ms, limits)
    current = session.current
    if current is None:
        return Decision((Place(takeover=False),), _wake(session, facts, now_ms, limits))
    look_ms = credit.next_look_ms(session, facts, limits)
    if look_ms is not None and now_ms >= look_ms:
        return Decision((Measure(),), _wake(session, facts, now_ms, limits))
    # Whoever never heard an agent is greeted by the next one as by the first.
    takeover = session.started_ms is not None
    if ending.attempt_failure(session, facts, now_ms, limits) is not None:
        again_ms = ending.next_attempt_ms(session, limits)
        actions: tuple[Action, ...] = (Place(takeover=takeover),) if now_ms >= again_ms else ()
        if facts.withdrawn_epoch < current.epoch and current.epoch not in session.stops:
            actions = (Withdraw(current.epoch, current.node_id), *actions)
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
        return Decision((Conclude(verdict),))
    until_ms = facts.end_asked_ms + limits.end_wait_ms
    if facts.end_asked_epoch < current.epoch:
        say = ending.last_sentence(session, facts, verdict, limits)
        return Decision((EndAgent(current.epoch, current.node_id, verdict, say),), now_ms + limits.end_wait_ms)
    if facts.end_answer is not None and facts.end_answer.epoch >= current.epoch:
        return Decision((Conclude(verdict),))
    cut_short = facts.speaking_epoch == current.epoch and not ending.may_speak(session, facts)
    if cut_short or (now_ms >= until_ms and facts.end_tries < _END_TRIES):
        return Decision((EndAgent(current.epoch, current.node_id, verdict),), now_ms + limits.end_wait_ms)
    if now_ms >= until_ms:  # its last tick counts, as for a node that is silent
        return Decision((Conclude(verdict),))
    return Decision((), until_ms)  # the answer, or the silence, comes before


def _clear_up(session: Session, facts: Facts) -> tuple[Action, ...]:
    actions: list[Action] = []
    current = session.current
    answered = facts.end_answer.epoch if facts.end_answer is not None and facts.end_answer.served_ms is not None else 0
    # A node that was silent, or one that another leader gave the job to while this session ended.
    told = max(answered, facts.withdrawn_epoch)
    if current is not None and current.epoch not in session.stops and current.epoch > told:
        actions.append(Withdraw(current.epoch, current.node_id))
    if facts.slot is not None:
        actions.append(FreeSlot(facts.slot))
    if not facts.room_deleted:
        actions.append(DeleteRoom())
    return tuple(actions) or (Forget(),)


def _wake(session: Session, facts: Facts, now_ms: int, limits: Limits) -> int | None:
    return min((at for at in ending.deadlines(session, facts, limits) if at > now_ms), default=None)
