"""Whether the log may still lack running sessions, after NATS came back with another log."""

from contracts.deadlines import RESTORE_WAIT_S, UNTOLD_RESTORE_WAIT_S
from contracts.registry import QueueState


def may_lack_sessions(back_s: float, made_ms: int, state: QueueState | None) -> bool:
    """Whether the scheduler may still restore running sessions.

    Args:
        back_s: Seconds since NATS came back with another log.
        made_ms: When that log was made, Unix ms; 0: not known yet.
        state: The scheduler's last report; None: no scheduler leads.
    """
    if state is not None and state.restored_ms is None:
        return back_s < UNTOLD_RESTORE_WAIT_S
    is_restored = state is not None and made_ms != 0 and state.restored_ms == made_ms
    return not is_restored and back_s < RESTORE_WAIT_S
