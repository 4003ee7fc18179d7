"""The four services and the sandbox, as processes configured by environment variables only."""

import sys
from collections.abc import Mapping

from greenroom_cli.stack.process import ProcessSpec
from greenroom_cli.stack.readiness import serves

# A node needs 5 s on two idle cores to import Pipecat and load the models, and all services start at once.
SERVICE_READY_S = 60.0
SERVICE_STOP_S = 12.0
DEPLOYED_STOP_S = 30.0  # DRAIN_TIMEOUT_S for each step of its stop, as in compose.yaml
AFTER_DRAIN_S = 60.0  # from the end of a node's drain to its exit


def drain_limit_s(environment: Mapping[str, str]) -> float:
    """DRAIN_LIMIT_S of the nodes; 0 for an invalid value, which the node's settings refuse."""
    from agent_runner.settings import Settings  # takes 0.3 s, so it is imported here

    written = environment.get("DRAIN_LIMIT_S")
    try:
        return float(written if written is not None else Settings.model_fields["drain_limit_s"].default)
    except ValueError:
        return 0.0


def migration(environment: Mapping[str, str]) -> ProcessSpec:
    """Migrate the ledger's schema, which billing requires before it starts."""
    return ProcessSpec(
        name="migrate",
        command=(sys.executable, "-m", "billing.migrate"),
        environment=environment,
        ready=None,
        ready_timeout_s=SERVICE_READY_S,
    )


def service(
    name: str,
    module: str,
    address: str,
    environment: Mapping[str, str],
    *,
    probe: str = "/ready",
    stop_timeout_s: float = SERVICE_STOP_S,
) -> ProcessSpec:
    """One service.

    Args:
        name: Of the process; two nodes have different names.
        module: For `python -m`.
        address: host:port of /health and /ready (gateway and billing: their PORT).
        environment: The complete environment, addresses of the servers included.
        probe: The path that answers 200 once it has started.
        stop_timeout_s: From SIGTERM until SIGKILL.
    """
    return ProcessSpec(
        name=name,
        command=(sys.executable, "-m", module),
        environment=environment,
        ready=serves(f"http://{address}{probe}"),
        ready_timeout_s=SERVICE_READY_S,
        stop_timeout_s=stop_timeout_s,
        restarts=True,
    )
