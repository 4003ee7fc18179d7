"""Unavailable stores as problems: the one place that translates the ports' errors for clients."""

from typing import Final

from contracts.errors import BUS_UNAVAILABLE, LOG_FULL, REDIS_UNAVAILABLE, SESSION_UNREADABLE, Refused
from gateway.ports import LogFull, ReadModelUnavailable, RecordUnreadable, Unavailable

STORE_ERRORS: Final = (Unavailable, RecordUnreadable)

_RETRY_AFTER_S: Final = 2
_RETRY_AFTER_FULL_S: Final = 30


def refusal(error: Unavailable | RecordUnreadable) -> Refused:
    if isinstance(error, RecordUnreadable):
        return Refused(SESSION_UNREADABLE, str(error))
    if isinstance(error, LogFull):
        return Refused(LOG_FULL, error.detail, retry_after_s=_RETRY_AFTER_FULL_S, session_id=error.session_id)
    problem = REDIS_UNAVAILABLE if isinstance(error, ReadModelUnavailable) else BUS_UNAVAILABLE
    return Refused(problem, error.detail, retry_after_s=_RETRY_AFTER_S, session_id=error.session_id)
