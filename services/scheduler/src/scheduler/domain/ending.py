"""Why a session ends, and when its next deadline expires."""

from contracts.causes import Cause, Effect, Lost, effect
from contracts.end_reasons import EndReason
from contracts.events import Outcome
from contracts.lines import lines_in
from scheduler.domain import credit
from scheduler.domain.facts import Facts, JobUnlisted, Verdict
from scheduler.domain.limits import Limits
from scheduler.domain.session import ASSIGNED, Attempt, Session

_MOST_BLAMED = 2


def verdict(session: Session, facts: Facts, now_ms: int, limits: Limits) -> Verdict | None:
    """Decide whether the session ends, and why; an earlier verdict stands.

    Deadlines are checked before `agent_stopped`: a node that a former leader stopped only reports `ended`, so the
    reason must be computed again.

    Args:
        now_ms: On the log's clock.
    """
    return (
        facts.verdict
        or _asked(session)
        or _no_caller(session, facts, now_ms, limits)
        or _too_late(session, facts, now_ms, limits)
        or _said_by_node(session)
        or _unreadable(session, facts, now_ms, limits)
        or (Verdict(Outcome.FAILED, EndReason.WORDS_LOST) if facts.words_lost else None)
        or _agent_failed(session, facts, now_ms, limits)
    )


def deadlines(session: Session, facts: Facts, limits: Limits) -> tuple[int, ...]:
    """Every instant at which a limit of this session may expire, ms on the log's clock."""
    current, ready = session.current, session.first_ready_ms
    found: list[int] = []
    if current is None:
        found.append(queue_deadline_ms(session, facts, limits))
    elif current.epoch not in session.ready_ms:
        found.append(attempt_deadline_ms(current, facts, limits))
        found.append(startup_deadline_ms(session, facts, limits))
    if ready is not None:
        found.append(ready + limits.session_ms)
        if session.started_ms is None:
            found.append(join_deadline_ms(ready, facts, limits))
    if (look_ms := credit.next_look_ms(session, facts, limits)) is not None:
        found.append(look_ms)
    if facts.caller_left_ms is not None:
        found.append(facts.caller_left_ms + limits.reconnect_ms)
    if current is not None and is_farewell(session, limits):
        found.append(current.at_ms + limits.farewell_ms)
    if current is not None and (unlisted := _unlisted(facts, current.epoch)):
        found.append(unlisted_deadline_ms(unlisted, limits))
    return tuple(found)


def attempt_failure(session: Session, facts: Facts, now_ms: int, limits: Limits) -> str | None:
    """Why the current epoch has no agent and will get none; None while it may have one."""
    current = session.current
    if current is None:
        return None
    if stop := session.stops.get(current.epoch):
        return stop.cause
    if facts.refused_epoch == current.epoch:
        return Lost.REFUSED
    if facts.node_lost_ms is not None:
        return Lost.NODE_LOST
    if (unlisted := _unlisted(facts, current.epoch)) and now_ms >= unlisted_deadline_ms(unlisted, limits):
        return Lost.JOB_LOST
    if current.epoch not in session.ready_ms and now_ms >= attempt_deadline_ms(current, facts, limits):
        return Lost.NOT_READY
    return None


def next_attempt_ms(session: Session, limits: Limits) -> int:
    """When another node may be asked: at once after the first failure, then with exponential backoff."""
    current = session.current
    assert current is not None
    failed = session.attempts_in_a_row
    return current.at_ms + (limits.attempt_pause_ms * 2 ** (failed - 2) if failed > 1 else 0)


def blamed_for(session: Session, facts: Facts, now_ms: int, limits: Limits) -> str | None:
    """Why the current epoch's failure also counts against its node; None: it does not, or has been counted.

    The node accepted the job and brought no agent into the room. A session that fails on every node is itself the
    cause: only its first two failures count against their nodes, so that one start cannot suspend the whole fleet.
    """
    current = session.current
    if current is None or current.epoch in session.ready_ms or facts.counted_epoch >= current.epoch:
        return None
    is_told = facts.end_command is not None and facts.end_command.epoch == current.epoch
    is_ending = session.end_asked is not None or is_told
    if is_ending or session.attempts_in_a_row > _MOST_BLAMED:
        return None
    failure = attempt_failure(session, facts, now_ms, limits)
    if failure is None or effect(failure) is not Effect.BLAMES:
        return None
    return failure


def is_farewell(session: Session, limits: Limits) -> bool:
    """The current agent only says goodbye: too many agents have died before it."""
    return session.deaths > limits.max_takeovers


def last_sentence(session: Session, facts: Facts, verdict: Verdict, limits: Limits) -> str | None:
    """The agent's last sentence, spoken only at the session's timeout; every other end is immediate."""
    if verdict.reason != EndReason.SESSION_TIMEOUT or not may_speak(session, facts):
        return None
    if limits.timeout_goodbye is not None:
        return limits.timeout_goodbye or None
    return lines_in(session.requested.language if session.requested else None, limits.lines).timeout_goodbye


def may_speak(session: Session, facts: Facts) -> bool:
    """Whether an agent and the caller are in the room, and no end was requested."""
    in_room = session.epoch in session.ready_ms and session.started_ms is not None and not facts.room_closed
    caller_here = facts.caller_here is not False and facts.caller_left_ms is None
    return in_room and caller_here and session.end_asked is None


def unlisted_deadline_ms(unlisted: JobUnlisted, limits: Limits) -> int:
    """When a job that its node does not list is lost: the node restarted under its old name."""
    return unlisted.at_ms + limits.unlisted_ms


def _unlisted(facts: Facts, epoch: int) -> JobUnlisted | None:
    return facts.unlisted if facts.unlisted is not None and facts.unlisted.epoch == epoch else None


def queue_deadline_ms(session: Session, facts: Facts, limits: Limits) -> int:
    """When a queued start is rejected.

    If that time passed while no scheduler led, the new leader gives the start some seconds, unless its room has
    expired by now.
    """
    deadline = session.requested_ms + limits.queue_ms
    if facts.since_ms > deadline + limits.stale_start_ms:
        return deadline
    return max(deadline, facts.since_ms + min(limits.settle_ms, limits.queue_ms))


def attempt_deadline_ms(attempt: Attempt, facts: Facts, limits: Limits) -> int:
    """When one node's attempt times out."""
    return max(attempt.at_ms, facts.since_ms) + limits.attempt_ms


def startup_deadline_ms(session: Session, facts: Facts, limits: Limits) -> int:
    """When all attempts of a start, or of a take-over, together time out."""
    begun = session.starting_since_ms
    if begun is None:  # the agent was ready and died: count from its death
        begun = _death_ms(session, facts)
    return max(begun + limits.startup_ms, facts.since_ms + limits.settle_ms)


def _death_ms(session: Session, facts: Facts) -> int:
    """When the current epoch's agent, which was ready, died."""
    stop = session.stops.get(session.epoch)
    unlisted = _unlisted(facts, session.epoch)
    lost_ms = facts.node_lost_ms if unlisted is None else unlisted.at_ms
    return stop.at_ms if stop else lost_ms or facts.since_ms


def join_deadline_ms(ready_ms: int, facts: Facts, limits: Limits) -> int:
    """When a call without a caller ends as a no-show."""
    return max(ready_ms + limits.caller_join_ms, facts.since_ms + limits.settle_ms)


def _asked(session: Session) -> Verdict | None:
    return Verdict(Outcome.COMPLETED, session.end_asked.reason) if session.end_asked else None


def _said_by_node(session: Session) -> Verdict | None:
    """The verdict of the current epoch's `agent_stopped`; an older epoch's ends nothing."""
    stop = session.stops.get(session.epoch)
    if stop is None:
        return None
    if effect(stop.cause) is Effect.FAILS:
        return Verdict(Outcome.FAILED, stop.cause)
    # A room that closes before the agent is ready is a fault of the start: the next attempt gets a new room.
    if effect(stop.cause) is Effect.COMPLETES and session.epoch in session.ready_ms:
        return Verdict(Outcome.COMPLETED, stop.cause)
    return None


def _agent_failed(session: Session, facts: Facts, now_ms: int, limits: Limits) -> Verdict | None:
    current = session.current
    if current is None:
        return None
    failure = attempt_failure(session, facts, now_ms, limits)
    if is_farewell(session, limits):
        is_late = now_ms >= current.at_ms + limits.farewell_ms
        return Verdict(Outcome.FAILED, EndReason.AGENT_FAILED) if failure is not None or is_late else None
    if current.epoch not in session.ready_ms:
        return _not_ready(session, facts, failure, now_ms, limits)
    return None if failure is None else _died(session, facts, failure, now_ms, limits)


def _not_ready(session: Session, facts: Facts, failure: str | None, now_ms: int, limits: Limits) -> Verdict | None:
    """The current agent is not in the room; the attempts are used up, or the time for them."""
    if failure is not None and session.attempts_in_a_row >= limits.max_attempts:
        return Verdict(Outcome.FAILED, EndReason.AGENT_FAILED if session.ready_ms else EndReason.ATTEMPTS_FAILED)
    if now_ms < startup_deadline_ms(session, facts, limits):
        return None
    if session.ready_ms:
        return Verdict(Outcome.FAILED, EndReason.AGENT_FAILED)
    return Verdict(Outcome.FAILED, facts.blocked or EndReason.START_TIMEOUT)


def _died(session: Session, facts: Facts, failure: str, now_ms: int, limits: Limits) -> Verdict | None:
    """The current agent was in the room and died; the take-overs are used up, or the time for one."""
    is_death = failure != Cause.DRAINED  # a hand-over by a draining node does not count
    is_last = is_death and session.deaths >= limits.max_takeovers
    if is_last and not _can_say_goodbye(session, facts, now_ms, limits):
        return Verdict(Outcome.FAILED, EndReason.AGENT_FAILED)
    is_late = now_ms >= startup_deadline_ms(session, facts, limits)
    return Verdict(Outcome.FAILED, EndReason.AGENT_FAILED) if is_late else None


def _unreadable(session: Session, facts: Facts, now_ms: int, limits: Limits) -> Verdict | None:
    """End a session whose log cannot be read, unless its agent is in the room and still works."""
    current = session.current
    is_served = (
        current is not None
        and ASSIGNED not in session.unreadable  # a later epoch may run on an unknown node
        and current.epoch in session.ready_ms
        and attempt_failure(session, facts, now_ms, limits) is None
    )
    return Verdict(Outcome.FAILED, EndReason.UNREADABLE_LOG) if session.unreadable and not is_served else None


def _can_say_goodbye(session: Session, facts: Facts, now_ms: int, limits: Limits) -> bool:
    """Whether the caller is there to hear a goodbye, and a node can say it at once."""
    is_heard = session.started_ms is not None and facts.caller_here is not False and facts.caller_left_ms is None
    return is_heard and facts.blocked is None and now_ms < _death_ms(session, facts) + limits.attempt_ms


def _no_caller(session: Session, facts: Facts, now_ms: int, limits: Limits) -> Verdict | None:
    if facts.room_closed:
        return Verdict(Outcome.COMPLETED, EndReason.ROOM_CLOSED)
    if facts.caller_left_ms is not None:  # a caller who was there and left is not a no-show
        is_late = now_ms >= facts.caller_left_ms + limits.reconnect_ms
        return Verdict(Outcome.COMPLETED, EndReason.CALLER_LEFT) if is_late else None
    ready = session.first_ready_ms
    if ready is None or session.started_ms is not None or facts.caller_here:
        return None
    if now_ms >= join_deadline_ms(ready, facts, limits):
        return Verdict(Outcome.NO_SHOW, EndReason.CALLER_NEVER_JOINED)
    return None


def _too_late(session: Session, facts: Facts, now_ms: int, limits: Limits) -> Verdict | None:
    ready = session.first_ready_ms
    if ready is not None and now_ms >= ready + limits.session_ms:
        return Verdict(Outcome.COMPLETED, EndReason.SESSION_TIMEOUT)
    if credit.is_used_up(session, facts):
        return Verdict(Outcome.COMPLETED, EndReason.CREDIT_SPENT)
    if session.current is not None or session.requested is None:
        return None
    if facts.refusal:
        return Verdict(Outcome.REJECTED, facts.refusal)
    if now_ms >= queue_deadline_ms(session, facts, limits):
        return Verdict(Outcome.REJECTED, facts.blocked or EndReason.QUEUE_DEADLINE)
    return None
