"""Which session may be erased, and what of it the log keeps readable."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from contracts.errors import SESSION_RUNNING, Refused
from contracts.events import Event, SessionBilled, SessionEnded, SessionRequested
from contracts.words import words_of
from gateway.domain.read_model import user_config

_BILL_WAIT: Final = timedelta(hours=6)
"""After its end. A bill needs no words, and one that is only late comes sooner; without billing none ever comes."""


def check_erasable(session_id: str, events: Iterable[Event], now: datetime) -> None:
    """Check that the session's words are no longer needed.

    Raises:
        Refused: `session_running`: its agent may still need them, or another agent that takes over.
    """
    state, or_from = "has not ended", ""
    for event in events:
        if isinstance(event, SessionBilled):
            return
        if isinstance(event, SessionEnded):
            erasable_at = event.time + _BILL_WAIT
            if now >= erasable_at:
                return
            state, or_from = "has ended but is not billed yet", f", or from {erasable_at:%Y-%m-%dT%H:%M:%SZ} on"
    raise Refused(
        SESSION_RUNNING,
        f"Session {session_id} {state}; its words can be erased after its bill{or_from}.",
        session_id=session_id,
    )


def account_is_name(requests: Iterable[SessionRequested]) -> bool:
    """Whether the account, which an erasure leaves, is the user's name: the start had no `userId`."""
    return any(request.user_name and request.user_id == request.user_name for request in requests)


def configs_of(requests: Iterable[SessionRequested]) -> set[tuple[str, str]]:
    """The user configurations that these starts may have made, as user name and `updatedAt`."""
    return {(request.user_name, user_config(request)["updatedAt"]) for request in requests if request.user_name}


def readable_until(events: Iterable[Event], max_age: timedelta) -> datetime | None:
    """When the log deletes the last words that were stored in the clear; None: there are none.

    Args:
        events: The session's log, read after its key was erased: what still has words was never sealed.
        max_age: How long the log keeps an event.
    """
    last = max((event.time for event in events if words_of(event)), default=None)
    return None if last is None else last + max_age
