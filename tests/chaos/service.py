"""The processes of a cell: a service of ours, and the servers of NATS."""

import sys
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tests.integration.servers import NatsServer, Server, free_port

ASKED_EVERY_S = 0.1
ROOT = Path(__file__).parents[2]


class Service(Server):
    """A process of the cell that is up when its /ready says so, or at once without a port."""

    def __init__(
        self,
        module: str,
        environment: Mapping[str, str],
        log: Path,
        port: int | None = None,
        *,
        prefix: Sequence[str] = (),
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        variables = [f"{name}={value}" for name, value in {**environment, "PYTHONPATH": str(ROOT)}.items()]
        super().__init__([*prefix, "env", *variables, sys.executable, "-m", module], self._is_there, log)

    def get(self, path: str) -> tuple[int, str]:
        """What it answers; 0 where it does not."""
        connection = HTTPConnection("127.0.0.1", self._port or 0, timeout=2)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, HTTPException):
            return 0, ""
        finally:
            connection.close()

    def _is_there(self) -> bool:
        if self._port is None or self.get("/ready")[0] == 200:
            return True
        time.sleep(ASKED_EVERY_S)  # several start at once, each in a thread
        return False


def nats_servers(folder: Path, count: int) -> list[NatsServer]:
    """One server, or a cluster."""
    if count == 1:
        return [NatsServer(folder / "nats")]
    routes = [free_port() for _ in range(count)]
    peers = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
    # Without no_advertise a client would learn of the servers' own ports and go round its cable.
    return [
        NatsServer(
            folder / f"nats-{n}",
            config=f"server_name: n{n}\n"
            f'cluster {{ name: cell, listen: "127.0.0.1:{port}", routes: [{peers}], no_advertise: true }}',
        )
        for n, port in enumerate(routes, 1)
    ]
