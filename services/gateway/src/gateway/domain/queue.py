"""Whether the scheduler's queue may be full for a start."""

from contracts.registry import QueueState


def may_be_full(state: QueueState | None, seq: int | None) -> bool:
    """Whether the scheduler may refuse the start at `seq`, by an upper bound of the queue's length.

    Only a request makes the queue longer, and every request after the report lies between the report's sequence and
    `seq`. Other events lie there too; they make the bound higher, never lower.

    Args:
        state: The last report; None without a scheduler, when only the start's own deadlines decide.
        seq: None: an earlier attempt published the start, and may not have waited for the scheduler's decision.
    """
    return state is not None and (seq is None or state.waiting + (seq - state.seq) > state.max_queue)
