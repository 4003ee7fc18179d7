"""What a supervisor is given by a test: small processes in place of services, and an ear for what it tells."""

import asyncio
import os
import sys
from pathlib import Path

from greenroom_cli.stack.ports import free_ports
from greenroom_cli.stack.process import ProcessFailed, ProcessSpec
from greenroom_cli.stack.progress import Progress
from greenroom_cli.stack.readiness import serves

STAND_IN = Path(__file__).with_name("stand_in.py")
ENVIRONMENT = {"PATH": os.environ["PATH"]}


class Told(Progress):
    """Remembers what the supervisor told."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.back_again = asyncio.Event()

    def starting(self, name: str) -> None:
        self.events.append(f"starting {name}")

    def waiting(self, name: str, seconds: float, missing: str) -> None:
        self.events.append(f"waiting {name}: {missing}")

    def ready(self, name: str, seconds: float) -> None:
        if f"restarting {name}" in self.events:
            self.back_again.set()
        self.events.append(f"ready {name}")

    def died(self, failure: ProcessFailed) -> None:
        self.events.append(f"died {failure.name}")

    def restarting(self, name: str, delay_s: float) -> None:
        self.events.append(f"restarting {name}")

    def unwell(self, name: str, reason: str) -> None:
        self.events.append(f"unwell {name}: {reason}")

    def stopped(self, name: str, seconds: float) -> None:
        self.events.append(f"stopped {name}")


def spec(name: str, behaviour: str = "", *, ready_timeout_s: float = 10.0, stop_timeout_s: float = 5.0) -> ProcessSpec:
    port = next(free_ports())
    return ProcessSpec(
        name=name,
        command=(sys.executable, "-S", str(STAND_IN), str(port), behaviour),
        environment=ENVIRONMENT,
        ready=serves(f"http://127.0.0.1:{port}/"),
        ready_timeout_s=ready_timeout_s,
        stop_timeout_s=stop_timeout_s,
        restarts=True,
    )
