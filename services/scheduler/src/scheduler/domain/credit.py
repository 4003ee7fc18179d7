"""A session's grant of billable time: a guard behind the node, which ends the call itself.

Billable time stands still while a provider fails or the caller is away, so no clock here knows when a grant is used up.
The log knows: the leader reads it at the earliest time at which the grant may be used up, and again for the rest.
"""

from contracts.metering import SPENT_EARLY_MS, granted_ms, is_spent
from scheduler.domain.facts import Facts
from scheduler.domain.limits import Limits
from scheduler.domain.session import Session


def next_look_ms(session: Session, facts: Facts, limits: Limits) -> int | None:
    """When to read the log next, ms on its clock; None: the session has no grant, or has not started."""
    granted, started_ms = session.granted_minutes, session.started_ms
    if granted is None or started_ms is None:
        return None
    most_ms = granted_ms(granted) - SPENT_EARLY_MS
    if facts.measured is None:
        return started_ms + most_ms
    return facts.measured.at_ms + max(most_ms - facts.measured.billable_ms, limits.credit_look_ms)


def is_used_up(session: Session, facts: Facts) -> bool:
    """Whether the grant was used up when the log was last read."""
    return facts.measured is not None and is_spent(facts.measured.billable_ms, session.granted_minutes)
