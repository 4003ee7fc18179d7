"""The four services and the sandbox, as processes configured by environment variables only."""

import sys
from collections.abc import Mapping

from greenroom_cli.stack.process import ProcessSpec
from greenroom_cli.stack.readiness import serves

# A node needs 5 s on two idle cores to import Pipecat and load the models, and all services start at once.
SERVICE_READY_S = 60.0
SERVICE_STOP_S = 12.0


def migration(environment: Mapping[str, str]) -> ProcessSpec:
    """Migrate the ledger's schema, which billing requires before it starts."""
    return ProcessSpec(
        name="migrate",
        command=(sys.executable, "-m", "billing.migrate"),
        environment=environment,
        ready=None,
        ready_timeout_s=SERVICE_READY_S,
    )


def service(name: str, module: str, address: str, environment: Mapping[str, str]) -> ProcessSpec:
    """One service; ready when its /ready answers 200.

    Args:
        name: Of the process; two nodes have different names.
        module: For `python -m`.
        address: host:port of /health and /ready (gateway and billing: their PORT).
        environment: The complete environment, addresses of the servers included.
    """
    return ProcessSpec(
        name=name,
        command=(sys.executable, "-m", module),
        environment=environment,
        ready=serves(f"http://{address}/ready"),
        ready_timeout_s=SERVICE_READY_S,
        stop_timeout_s=SERVICE_STOP_S,
        restarts=True,
    )
