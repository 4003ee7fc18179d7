"""What the recogniser is sent of a noisy caller."""

import asyncio
import json
import time

import numpy as np
import websockets

from tests.integration.agent_runner.worker_stage import Greet

RATE = 16_000
NOISE = 1_600  # at 48 kHz; a third of its power is below 8 kHz


async def test_steady_noise_does_not_reach_the_recogniser_where_it_is_suppressed(greet: Greet) -> None:
    heard = bytearray()

    async def record(socket: websockets.ServerConnection) -> None:
        await socket.send(json.dumps({"type": "Begin", "id": "1", "expires_at": int(time.time()) + 3_600}))
        async for message in socket:
            if isinstance(message, bytes):
                heard.extend(message)

    async with websockets.serve(record, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        _, caller = await greet(assembly_base_url=f"ws://127.0.0.1:{port}/v3/ws", noise_suppression=True)
        caller.play(np.random.default_rng(1).normal(0, NOISE, 5 * 48_000).astype(np.int16))
        await caller.has_spoken()
        await asyncio.sleep(0.2)
    samples = np.frombuffer(bytes(heard[: len(heard) // 2 * 2]), np.int16)[-3 * RATE : -RATE]
    assert 10 < np.sqrt(np.mean(samples.astype(np.float64) ** 2)) < NOISE / np.sqrt(3) / 2
