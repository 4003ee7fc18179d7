"""A session as the benchmarks drive it, by the gateway's own API."""

import asyncio
import secrets
import time
from collections.abc import Mapping

import httpx

from contracts.api import SessionView, StatsReply
from contracts.ids import session_id

READY_S = 60.0
SETTLE_S = 0.5


def new_session() -> str:
    """An unused id."""
    return session_id(time.time_ns() // 1_000_000, secrets.token_bytes(6))


async def until_warm(client: httpx.AsyncClient, warm: Mapping[str, int]) -> None:
    """Wait until each node holds exactly this many warm workers, nothing is busy, and the last call's work is done."""
    deadline = time.monotonic() + READY_S
    stats = None
    while time.monotonic() < deadline:
        stats = StatsReply.model_validate((await client.get("/stats")).json())
        if {pool.node_id: pool.warm for pool in stats.pool} == warm and not any(pool.busy for pool in stats.pool):
            await asyncio.sleep(SETTLE_S)
            return
        await asyncio.sleep(0.1)
    raise TimeoutError(f"the pools did not reach {dict(warm)} within {READY_S:g} s: {stats and stats.pool}")


async def until_active(client: httpx.AsyncClient, session: str) -> SessionView:
    """Wait until caller and agent are both in the room and the agent's process is known."""
    deadline = time.monotonic() + READY_S
    view = None
    while time.monotonic() < deadline:
        answer = await client.get(f"/sessions/{session}")
        if answer.status_code == 200:
            view = SessionView.model_validate(answer.json())
            if view.status == "active" and view.agent_pid:
                return view
        await asyncio.sleep(0.05)
    raise TimeoutError(f"{session} was not active within {READY_S:g} s: {view and view.status}")
