"""Real servers for tests, each on a free port in a directory of its own; they can be killed and started again."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

BIN = Path(sysconfig.get_path("scripts"))
START_LIMIT_S = 40.0
STOP_LIMIT_S = 10.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One process; `url` stays the same through `kill9` and `restart`."""

    url: str

    def __init__(self, command: list[str], is_up: Callable[[], bool], log: Path) -> None:
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
        """Start, and return once it takes connections."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, cwd=self._log.parent)
        until = time.monotonic() + START_LIMIT_S
        while not self._is_up():
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill9()
                raise RuntimeError(f"{self._command[0]} did not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.005)

    def kill9(self) -> None:
        """Gone at once, as in a crash."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """An orderly stop."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP, and wait until every thread of it stands: there, but silent."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """kill -9 and start again with the same data on the same port."""
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

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill9()


class NatsServer(Server):
    """nats-server with JetStream in files; ready in about 20 ms.

    Args:
        config: More of its configuration, such as `authorization { ... }`.
    """

    def __init__(self, folder: Path, *, config: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._config = folder / "nats.conf"
        self._store = folder / "store"
        self.configure(config)
        super().__init__(
            [str(BIN / "nats-server"), "-c", str(self._config), "-P", str(folder / "nats.pid")],
            self._answers,
            folder / "nats.log",
        )

    def configure(self, more: str = "", *, jetstream: str = "") -> None:
        """Write the configuration; read at the next start or `reload`.

        Args:
            jetstream: More of the block `jetstream`, such as `max_file_store: 1GB`.
        """
        store = json.dumps(str(self._store))
        self._config.write_text(
            f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: {store}, {jetstream} }}\n{more}\n'
        )

    def lose_store(self) -> None:
        """The folder with all streams is gone, as after a lost volume; only while it is stopped."""
        shutil.rmtree(self._store)

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


class RedisServer(Server):
    """redis-server without persistence."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        super().__init__(
            [
                *(str(BIN / "redis-server"), "--port", str(self.port), "--bind", "127.0.0.1"),
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
