"""Whether the scheduler's queue may be full for a start that was just published."""

from contracts.registry import QueueState


def may_be_full(state: QueueState | None, seq: int | None) -> bool:
    """Whether the scheduler may refuse the start at `seq`, by an upper bound that counts every gateway's starts.

    The queue grows by a request only, and what the scheduler had not seen at its report lies between the report's
    sequence and `seq`. Ticks and turns lie there too; they make the bound higher, never lower.

    Args:
        state: The last report; None without a scheduler: then only the start's own deadlines tell.
        seq: None: an earlier try published the start, and perhaps did not wait long enough for the scheduler's word.
    """
    return state is not None and (seq is None or state.waiting + (seq - state.seq) > state.max_queue)
