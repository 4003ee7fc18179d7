"""Real processes with servers that are away, or refuse: nothing that they write holds a secret, at DEBUG either."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.support.servers import NatsServer, RedisServer, free_port

MARK = "hunter2"
SECRET = f"{MARK}-of-at-least-32-bytes-for-tests"
LIMIT_S = 40.0
SECRETS = {
    "LIVEKIT_API_KEY": "greenroom",
    "LIVEKIT_API_SECRET": SECRET,
    "LIVEKIT_WEBHOOK_KEYS": f"old:{SECRET}",
    "GREENROOM_API_KEYS": SECRET,
    "ASSEMBLY_API_KEY": SECRET,
    "GROQ_API_KEY": SECRET,
    "INWORLD_API_KEY": SECRET,
    "LOG_LEVEL": "DEBUG",
    "START_TIMEOUT_S": "2",
    "DRAIN_TIMEOUT_S": "1",
    "HOST": "127.0.0.1",
    "PORT": "0",
}


@pytest.fixture
def away(tmp_path: Path, nats_server: NatsServer, redis_server: RedisServer) -> dict[str, dict[str, str]]:
    """By name: what is wrong with the servers around a service."""
    nats_server.configure('authorization { user: bob, password: "right" }')
    nats_server.restart()
    port = free_port()
    unreachable = {
        "NATS_URL": f"nats://bob:{SECRET}@127.0.0.1:{port}",
        "REDIS_URL": f"redis://bob:{SECRET}@127.0.0.1:{port}/0",
        "DATABASE_URL": f"postgresql://bob:{SECRET}@127.0.0.1:{port}/ledger",
        "LIVEKIT_URL": f"ws://127.0.0.1:{port}",
        "GROQ_BASE_URL": f"http://127.0.0.1:{port}",
        "INWORLD_HTTP_URL": f"http://127.0.0.1:{port}",
        "LOG_DIR": str(tmp_path / "logs"),
    }
    return {
        "unreachable": unreachable,
        "wrong password": unreachable | {"NATS_URL": nats_server.url.replace("//", f"//bob:{SECRET}@")},
        "wrong password behind NATS": unreachable
        | {
            "NATS_URL": nats_server.url.replace("//", "//bob:right@"),
            "REDIS_URL": redis_server.url.replace("//", f"//bob:{SECRET}@"),
        },
        "a bad pair": unreachable | {"TZ": "Nowhere/Never", "WARM_FLOORS": "mon 07:00-10:00=8"},
    }


async def written_by(module: str, folder: Path, environment: dict[str, str], *, until: str = "") -> str:
    """All that the process writes until it ends, or until the given text; then it is stopped."""
    folder.mkdir()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        env={**os.environ, **SECRETS, **environment},
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(LIMIT_S):
            async for line in process.stdout:
                lines.append(line.decode(errors="replace"))
                if until and until in lines[-1]:
                    process.terminate()
                    until = ""
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    files = [file.read_text(errors="replace") for file in folder.rglob("*") if file.is_file()]
    return "".join([*lines, *files])


async def test_nothing_that_a_process_writes_holds_a_secret(tmp_path: Path, away: dict[str, dict[str, str]]) -> None:
    started = [
        ("gateway.app", "unreachable", ""),
        ("scheduler.app", "wrong password", ""),
        ("agent_runner.app", "a bad pair", ""),
        ("billing.app", "wrong password behind NATS", ""),
        ("gateway.app", "wrong password behind NATS", "read_model.waiting"),
    ]

    texts = await asyncio.gather(
        *(
            written_by(module, tmp_path / str(n), away[around], until=until)
            for n, (module, around, until) in enumerate(started)
        )
    )

    for (module, around, _), text in zip(started, texts, strict=True):
        assert MARK not in text, f"{module}, {around}: {next(line for line in text.splitlines() if MARK in line)}"
        assert text, f"{module}, {around}: it says what is wrong"
    assert "NATS at nats://127.0.0.1" in texts[0]
    assert "wrong user or password" in texts[1]
    assert "TZ names no time zone" in texts[2]
    assert "127.0.0.1" in texts[3]
    assert "read_model.waiting" in texts[4]
