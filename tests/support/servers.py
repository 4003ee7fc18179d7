"""Real servers for tests, each on a free port in its own directory, from the programs of the CLI's stack."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Self

from livekit import api

from greenroom_cli.stack import binaries, servers

BIN = Path(sysconfig.get_path("scripts"))
API_KEY = "APItestkey"
API_SECRET = "a-secret-of-at-least-32-bytes-for-tests"
ROOT = Path(__file__).parents[2]
START_LIMIT_S = 40.0
STOP_LIMIT_S = 10.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def free_udp_port() -> int:
    """Below the ports that Linux gives by itself: WebRTC's clients beside a test take those at any moment."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket(type=socket.SOCK_DGRAM) as probe, suppress(OSError):
            probe.bind(("", port))
            return port
    raise RuntimeError("none of 100 UDP ports is free")


def accepts(port: int) -> bool:
    """Whether a process listens on this port of loopback."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


class Server:
    """One process; `url` stays the same through `kill9` and `restart`."""

    url: str

    def __init__(self, command: Sequence[str], is_up: Callable[[], bool], log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._command = command
        self._is_up = is_up
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start, and return once it accepts connections."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, cwd=self._log.parent)
        until = time.monotonic() + START_LIMIT_S
        while not self._is_up():
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill9()
                raise RuntimeError(f"{self._command[0]} did not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.005)

    def kill9(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP, and wait until every thread has stopped."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Kill, and start again with the same data on the same port."""
        self.kill9()
        self.start()

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_LIMIT_S)
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill9()


class NatsServer(Server):
    """nats-server with JetStream in files; ready in about 20 ms.

    Args:
        config: More of its configuration, such as `authorization { ... }`.

    Attributes:
        store: The folder of its streams.
    """

    def __init__(self, folder: Path, *, config: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._config = folder / "nats.conf"
        self.store = folder / "store"
        self.configure(config)
        super().__init__(
            [str(binaries.nats_server()), "-c", str(self._config), "-P", str(folder / "nats.pid")],
            self._answers,
            folder / "nats.log",
        )

    def configure(self, more: str = "", *, jetstream: str = "") -> None:
        """Write the configuration; read at the next start or `reload`.

        Args:
            jetstream: More of the block `jetstream`, such as `max_file_store: 1GB`.
        """
        store = json.dumps(str(self.store))
        self._config.write_text(
            f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: {store}, {jetstream} }}\n{more}\n'
        )

    def use(self, program: Path) -> None:
        """Run another build from the next start on."""
        self._command = [str(program), *self._command[1:]]

    def lose_store(self) -> None:
        """Delete all streams, as a lost volume does; only while the server is stopped."""
        shutil.rmtree(self.store)

    def reload(self) -> None:
        """Read the configuration again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                # INFO comes early; JetStream's part of it is only there once the store has been read.
                return b'"jetstream":true' in connection.recv(4096)
        except OSError:
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


class RedisServer(Server):
    """redis-server without persistence."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        super().__init__(
            [
                *(str(binaries.redis_server()), "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction", "--dir", str(folder)),
            ],
            self._answers,
            folder / "redis.log",
        )

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


class LiveKitServer(Server):
    """livekit-server on loopback: media stays there, and rooms have to be created."""

    def __init__(self, folder: Path, *, webhook_url: str | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        spec = servers.livekit(
            folder,
            port=self.port,
            rtc_tcp_port=free_port(),
            rtc_udp_port=free_udp_port(),
            key=API_KEY,
            secret=API_SECRET,
            webhook_url=webhook_url,
            environment={},
            program=None,
        )
        super().__init__(spec.command, lambda: accepts(self.port), folder / "livekit.log")

    def rooms(self) -> api.LiveKitAPI:
        """Its API; the caller closes it."""
        return api.LiveKitAPI(self.url.replace("ws://", "http://"), API_KEY, API_SECRET)

    def token(self, room: str, identity: str) -> str:
        """Joins one room, speaks and listens."""
        grants = api.VideoGrants(room_join=True, room=room, can_publish=True, can_subscribe=True)
        token = api.AccessToken(API_KEY, API_SECRET).with_identity(identity).with_grants(grants)
        return token.with_ttl(timedelta(minutes=10)).to_jwt()


class Part(Server):
    """`python -m MODULE` with this whole environment; up when `/ready` answers 200, or at once without a port."""

    def __init__(
        self,
        module: str,
        environment: Mapping[str, str],
        log: Path,
        port: int | None = None,
        *,
        prefix: Sequence[str] = (),
    ) -> None:
        self.port = port or 0
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        system = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        variables = [f"{name}={value}" for name, value in {**system, "PYTHONPATH": str(ROOT), **environment}.items()]
        super().__init__([*prefix, "env", "-i", *variables, sys.executable, "-m", module], self._is_ready, log)

    def get(self, path: str) -> tuple[int, str]:
        """(status, body); status 0 where it does not answer within 2 s."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, HTTPException):
            return 0, ""
        finally:
            connection.close()

    def _is_ready(self) -> bool:
        if not self.port or self.get("/ready")[0] == 200:
            return True
        time.sleep(0.05)  # a cell starts several parts at once
        return False


class Gateway(Part):
    """`python -m gateway.app`; up when it accepts connections, since `/ready` needs the servers behind it."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *, port: int | None = None) -> None:
        port = port or free_port()
        ours = {"HOST": "127.0.0.1", "PORT": str(port), "DRAIN_TIMEOUT_S": "2"}
        keys = {"LIVEKIT_API_KEY": API_KEY, "LIVEKIT_API_SECRET": API_SECRET}
        super().__init__("gateway.app", {**ours, **keys, **environment}, folder / "gateway.log", port)

    def _is_ready(self) -> bool:
        return accepts(self.port)


class Scheduler(Part):
    """`python -m scheduler.app`; a test that kills or freezes the leader shortens LEADER_LEASE_S."""

    def __init__(self, folder: Path, nats_url: str, livekit_url: str = "ws://127.0.0.1:9", **environment: str) -> None:
        port = free_port()
        ours = {"HEALTH_PORT": str(port), "MAX_LOAD": "1000", "NATS_URL": nats_url}
        livekit = {"LIVEKIT_URL": livekit_url, "LIVEKIT_API_KEY": API_KEY, "LIVEKIT_API_SECRET": API_SECRET}
        super().__init__("scheduler.app", {**ours, **livekit, **environment}, folder / "scheduler.log", port)

    def metrics(self) -> str:
        return self.get("/metrics")[1]

    def leads(self) -> bool:
        return "scheduler_leading 1.0" in self.metrics()
