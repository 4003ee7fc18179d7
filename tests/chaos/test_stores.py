"""Rows 41, 42: NATS loses its store, or the disk under it is full, during calls."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from contracts.api import StartReply
from contracts.events import JobAssigned
from tests.chaos.invariants import Served, check
from tests.chaos.scene import PROMPT, Scene
from tests.chaos.session import Session

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

START_AGAIN_S = 60.0
CLEAN_S = 1.5  # as the caller sees who comes and goes on a busy host
SIZES = {"SESSIONS_MAX_MB": "64", "IDEMPOTENCY_MAX_MB": "1", "SEATS_MAX_MB": "1", "KEYS_MAX_MB": "1"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A state folder whose NATS has a disk of 1 GB for itself."""
    store = tmp_path / "stack" / "nats"
    store.mkdir(parents=True, mode=0o700)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", str(store)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"a disk of its own cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield tmp_path / "stack"
    subprocess.run(["umount", "--lazy", str(store)], check=True)


@pytest_asyncio.fixture(loop_scope="module")
async def on_small_disk(small_disk: Path) -> AsyncIterator[Scene]:
    async with Scene.opened(small_disk, nodes=1, environment=SIZES) as scene:
        yield scene


async def start_until(scene: Scene, good: Callable[[httpx.Response], bool], limit_s: float) -> httpx.Response:
    """Ask for sessions until an answer is as wanted; those that were accepted before it are ended."""
    until = time.monotonic() + limit_s
    while True:
        body = {"userName": "Mary", "systemPrompt": PROMPT, "openingLine": "Hello there!"}
        answer = await scene.http.post("/orchestrator/session/start", json=body)
        if good(answer):
            return answer
        assert time.monotonic() < until, (
            f"after {limit_s:g} s a start is still answered {answer.status_code} {answer.text}"
        )
        await asyncio.sleep(0.5)


async def test_row_41_calls_outlive_the_store_and_are_billed_by_what_their_nodes_know(scene: Scene) -> None:
    nats = scene.stack.processes["nats"]
    async with scene.call("Anna") as (running, anna), scene.call("Peter") as (leaving, peter):
        nats.signal(signal.SIGKILL)
        await nats.wait()
        scene.log.clear()
        shutil.rmtree(scene.stack.folder.path / "nats")
        await nats.start()
        back_at = time.monotonic()

        asked = await anna.say(await scene.speech("What time is it?"))
        await anna.answered(after=asked.at, deadline_s=20)
        left = await peter.leave()
        answer = await start_until(scene, lambda answer: answer.status_code == 200, START_AGAIN_S)
        mary = StartReply.model_validate_json(answer.content)
        third = Session(scene, mary.session_id, mary.token, mary.server_url, back_at)
        await third.ready(1, START_AGAIN_S)
        started_s = time.monotonic() - back_at
        ready = await scene.http.get("/ready")
        anna_left = await anna.leave()
        await running.end(START_AGAIN_S)
        await leaving.end(START_AGAIN_S)
        await third.end()
        bills = await running.bill(), await leaving.bill()

        assert started_s < START_AGAIN_S
        assert ready.status_code == 200, ready.text
        served_s = anna.served_s(anna_left.at), peter.served_s(left.at)
        for session, bill, seen_s in zip((running, leaving), bills, served_s, strict=True):
            assert [event.epoch for event in session.events(JobAssigned)] == [1], session.evidence()
            assert seen_s - CLEAN_S <= bill.seconds <= seen_s + CLEAN_S, f"{bill}\n{seen_s}\n{session.evidence()}"


async def test_row_42_a_full_disk_refuses_starts_and_loses_no_call(on_small_disk: Scene) -> None:
    scene, nats = on_small_disk, on_small_disk.stack.processes["nats"]
    store = scene.stack.folder.path / "nats"
    async with scene.call("Anna") as (session, anna):
        filler = store / "filler"
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(store).free)
        refused = await start_until(scene, lambda answer: answer.json().get("code") == "log_full", 40)
        asked = await anna.say(await scene.speech("What time is it?"))
        await anna.answered(after=asked.at, deadline_s=20)
        filler.unlink()
        nats.signal(signal.SIGTERM)  # what `greenroom up` does once there is room, and the runbook says
        await nats.wait()
        await nats.start()
        accepted = await start_until(scene, lambda answer: answer.status_code == 200, START_AGAIN_S)
        asked = await anna.say(await scene.speech("What time is it?"))
        await anna.answered(after=asked.at, deadline_s=20)
        left = await anna.leave()
        await session.end()
        reply = StartReply.model_validate_json(accepted.content)
        await Session(scene, reply.session_id, "", "", 0.0).end(START_AGAIN_S)

        assert (refused.status_code, refused.json()["retryable"]) == (503, True)
        assert "disk" in refused.json()["detail"]
        assert session.epoch == 1, session.evidence()
        await check(scene, session, anna, served=Served(anna.served_s(left.at)))
