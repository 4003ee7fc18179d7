"""How much of a worker's silence is the worker's own, and not a pause of the supervisor's."""

from agent_runner.link.messages import BEAT_S

LOOK_S = 0.25
"""Time between two looks at the workers."""

MAX_STEP_S = 2 * LOOK_S
"""The most silence that one look adds."""

TWO_BEATS_S = 2 * BEAT_S
"""After so much silence another worker is a better choice for a job: this one may hang."""


def silence_step(since_last_look_s: float) -> float:
    """Silence that a look adds to each worker.

    While the supervisor itself was frozen (a busy host, SIGSTOP, a suspended machine) the workers' beats waited in
    their sockets; without this cap its first look afterwards would count all workers as dead.
    """
    return min(max(0.0, since_last_look_s), MAX_STEP_S)
