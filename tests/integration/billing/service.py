"""The billing service in its own process, and requests to it."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.support.servers import free_port
from tests.support.waiting import until

LIMIT_S = 40.0


class Billing:
    """`python -m billing.app`: `start`, `kill9`, `stop`, `get`."""

    def __init__(self, folder: Path, *, database_url: str, nats_url: str, **more: str) -> None:
        self.port = free_port()
        self._log = folder / "billing.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "NATS_URL": nats_url,
            "PORT": str(self.port),
            "RECONCILE_S": "1",
            **more,
        }

    def migrate(self) -> None:
        subprocess.run([sys.executable, "-m", "billing.migrate"], env=self._environment, check=True, timeout=LIMIT_S)

    async def replay(self, session_id: str) -> tuple[int, str]:
        """`python -m billing.replay`: its exit code and what it said."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "billing.replay", session_id),
            env=self._environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(LIMIT_S):
            _, said = await process.communicate()
        return process.returncode or 0, said.decode().strip()

    def spawn(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "billing.app"], env=self._environment, stdout=log, stderr=log
            )

    async def start(self) -> None:
        """Start, and return once it is ready."""
        self.spawn()
        await until(self.is_ready)

    async def is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log
        return (await self.get("/ready")).status_code == 200

    def kill9(self) -> None:
        self._end("kill")

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        return self._end("terminate")

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(LIMIT_S)

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def events(self) -> list[dict[str, Any]]:
        """The log's lines."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            try:
                return await client.get(f"http://127.0.0.1:{self.port}{path}")
            except httpx.TransportError:
                return httpx.Response(0)

    def _end(self, how: str) -> int:
        if self._process is None:
            return 0
        getattr(self._process, how)()
        try:
            return self._process.wait(LIMIT_S)
        finally:
            self._process = None

    def __enter__(self) -> "Billing":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill9()
