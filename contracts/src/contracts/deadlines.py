"""The ladder of deadlines, in seconds: who waits how long for whom.

A caller must wait longer than the steps that it waits for may take; otherwise it times out while they still run. Each
row of `LADDER` says so for one caller; tests/contract/test_deadlines.py checks the rows. The defaults of the services'
settings come from here: an operator who changes one must keep its row.
"""

from typing import Final, NamedTuple

from contracts import streams

# --- start: the gateway claims a prejoined room, the start may queue
ACCEPT_S: Final = 8.0
"""From a POST's claim of a prejoined room to its `requested` in the log."""
CLAIM_S: Final = 10.0
"""The scheduler waits for the `requested` of a claimed room; then it deletes the room."""
QUEUE_S: Final = 30.0
"""Default of QUEUE_DEADLINE_S: a start waits for a slot and a node."""
CLAIMED_ROOM_S: Final = 60.0
"""The node waits for the job of a claimed room; then the worker leaves it."""

# --- assign: the scheduler places a job, the node takes a worker, the worker joins
NODE_ACCEPT_S: Final = 0.5
"""The node then accepts a job even without a worker's pid."""
ASSIGN_REPLY_S: Final = 2.0
"""Default of ASSIGN_TIMEOUT_S: the scheduler waits for the reply to `assign`."""
TAKE_WORKER_S: Final = 4.5
"""Default of WORKER_TAKE_S: an accepted job waits for a warm worker."""
ATTEMPT_S: Final = 5.0
"""Default of ATTEMPT_TIMEOUT_S: the scheduler then tries another node."""
LIVEKIT_JOIN_S: Final = 10.0
"""The worker stops a join that LiveKit does not answer."""
WORKER_JOIN_S: Final = 15.0
"""Default of WORKER_JOIN_S: the supervisor kills a worker that neither joined nor stopped."""
STARTUP_S: Final = 30.0
"""Default of BOT_STARTUP_TIMEOUT: all attempts of a start together."""

# --- end: the scheduler sends `end`, the node stops the worker and reports to the log
NODE_END_S: Final = 1.5
"""The node waits for the worker's process."""
END_REPORT_S: Final = 0.5
"""The node then waits for its events to be in the log."""
END_REPLY_S: Final = 2.2
"""Default of END_TIMEOUT_S: the scheduler waits for the reply to `end`; then it bills the last tick."""
END_S: Final = 3.0
"""Default of END_WAIT_S: the gateway waits for `ended`."""

# --- end with a last sentence
LAST_WORDS_S: Final = 5.0
"""The longest last sentence of an end that the scheduler waits for."""
OWN_LAST_WORDS_S: Final = 15.0
"""The longest goodbye of an end that the agent decides; no service waits for it."""
KILL_S: Final = 7.5
"""Default of KILL_S: from the decision to end until SIGKILL."""
REAP_S: Final = 2.0
"""From SIGKILL until the node stops waiting for the process."""
LAST_SENTENCE_REPLY_S: Final = 8.5
"""The scheduler adds this to END_REPLY_S when the agent says a last sentence."""
END_OUTCOME_S: Final = 10.0
"""The scheduler adds this to END_REPLY_S before it treats the outcome of `end` as lost."""
FAREWELL_S: Final = 12.0
"""From `assigned` to the end, for an agent that only says goodbye."""

# --- leave: the worker leaves its room; one that is killed before stays there for 20 s
WORKER_LEAVE_S: Final = 2.0
"""For a join in flight, and for the room."""
ROOM_KILL_S: Final = 3.0
"""From the order to leave a prejoined room until SIGKILL."""
ORPHAN_EXIT_S: Final = 2.5
"""From the death of the supervisor until its workers exit."""

# --- prejoin and describe
NODE_PREJOIN_S: Final = 8.0
"""From `prejoin` to the worker in the room."""
PREJOIN_REPLY_S: Final = 10.0
"""The scheduler waits for the reply to `prejoin`."""
DESCRIBE_REPORT_S: Final = 1.0
"""The node waits for its events to be in the log."""
DESCRIBE_REPLY_S: Final = 2.0
"""The scheduler waits for the reply to `describe`."""

# --- LiveKit removed the agent: is there a newer epoch?
FENCE_S: Final = 0.4
"""The supervisor reads the session's epoch from the log."""
REJOIN_ANSWER_S: Final = 0.5
"""The worker waits for the supervisor's `Rejoin` before it exits."""

# --- leases
NODE_RENEW_S: Final = 1.0
NODE_LEASE_S: Final = float(streams.NODES.key_ttl_s or 0)
PREJOINED_RENEW_S: Final = 5.0
PREJOINED_LEASE_S: Final = float(streams.PREJOINED.key_ttl_s or 0)

# --- a lost node, a lost log
NODE_PROBE_S: Final = 0.4
"""The scheduler waits for the answer of a node whose key is gone."""
RESTORE_RETRY_S: Final = 50.0
"""After the nodes had two leases to register, the scheduler restores a new log each second for so long."""
RESTORE_WAIT_S: Final = 60.0
"""The gateway waits for the scheduler to say that a new log has every running session."""
UNTOLD_RESTORE_WAIT_S: Final = 10.0
"""The same with a scheduler of a version that does not say it."""


class Rung(NamedTuple):
    """One caller's wait, and the sum of the steps that must fit into it."""

    outer: str
    outer_s: float
    inner: str
    inner_s: float


LADDER: Final = (
    Rung("scheduler waits for `assign`", ASSIGN_REPLY_S, "node accepts", NODE_ACCEPT_S),
    Rung("scheduler waits for `agent_ready`", ATTEMPT_S, "node takes a worker", TAKE_WORKER_S),
    Rung("scheduler waits for `agent_ready`", ATTEMPT_S, "scheduler waits for `assign`", ASSIGN_REPLY_S),
    Rung("worker stops a join", LIVEKIT_JOIN_S, "scheduler waits for `agent_ready`", ATTEMPT_S),
    Rung("supervisor kills a worker that does not join", WORKER_JOIN_S, "worker stops a join", LIVEKIT_JOIN_S),
    Rung("all attempts of a start", STARTUP_S, "two attempts", 2 * ATTEMPT_S),
    Rung("scheduler waits for `end`", END_REPLY_S, "node ends and reports", NODE_END_S + END_REPORT_S),
    Rung("gateway waits for `ended`", END_S, "scheduler waits for `end`", END_REPLY_S),
    Rung("supervisor kills", KILL_S, "worker says a last sentence and leaves", LAST_WORDS_S + WORKER_LEAVE_S),
    Rung("supervisor kills the worker of a prejoined room", ROOM_KILL_S, "worker leaves", WORKER_LEAVE_S),
    Rung("worker without a supervisor exits", ORPHAN_EXIT_S, "it leaves", WORKER_LEAVE_S),
    Rung("a node's lease", NODE_LEASE_S, "its workers exit without a supervisor", ORPHAN_EXIT_S),
    Rung(
        "scheduler waits for `end` with a last sentence",
        END_REPLY_S + LAST_SENTENCE_REPLY_S,
        "node kills, reaps and reports",
        KILL_S + REAP_S + END_REPORT_S,
    ),
    Rung("outcome of `end` is lost", END_OUTCOME_S, "scheduler waits for a last sentence", LAST_SENTENCE_REPLY_S),
    Rung("goodbye by a new agent", FAREWELL_S, "it joins and speaks", ATTEMPT_S + LAST_WORDS_S),
    Rung("scheduler waits for `prejoin`", PREJOIN_REPLY_S, "worker joins the room", NODE_PREJOIN_S),
    Rung("scheduler waits for `describe`", DESCRIBE_REPLY_S, "node reports", DESCRIBE_REPORT_S),
    Rung("worker waits for `Rejoin`", REJOIN_ANSWER_S, "supervisor reads the epoch", FENCE_S),
    Rung("a node's lease", NODE_LEASE_S, "three renewals", 3 * NODE_RENEW_S),
    Rung("a prejoined room's lease", PREJOINED_LEASE_S, "two renewals", 2 * PREJOINED_RENEW_S),
    Rung("scheduler keeps a claimed room", CLAIM_S, "gateway accepts the start", ACCEPT_S),
    Rung(
        "node keeps a claimed room",
        CLAIMED_ROOM_S,
        "gateway accepts the start, it queues, the node gets it",
        ACCEPT_S + QUEUE_S + ATTEMPT_S,
    ),
    Rung("a node is lost (docs/decisions/0021)", 5.0, "its key expires, no answer", NODE_LEASE_S + NODE_PROBE_S),
    Rung(
        "gateway waits for a new log's sessions",
        RESTORE_WAIT_S,
        "nodes register, scheduler retries",
        2 * NODE_LEASE_S + RESTORE_RETRY_S,
    ),
    Rung("the same, untold", UNTOLD_RESTORE_WAIT_S, "nodes register", 2 * NODE_LEASE_S),
)
