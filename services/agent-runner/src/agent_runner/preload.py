"""What the forkserver does once for all workers: imports (2 s) and models (0.1 s), then nothing but forking.

Importing this module leaves the process with one thread, so that forking it is safe: a second one could hold a lock
that no child would ever see released. It maps LiveKit's library but starts no runtime of it, which refuses to work in a
child whose parent had one, and makes no event loop, logger sink or tracer; each worker makes its own.
"""

# ruff: noqa: E402 - the environment comes before the imports that read it
# pyright: standard

from __future__ import annotations

import os

# Before onnxruntime and numpy: the one starts a telemetry thread on import unless this is exactly 1, the other a pool.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

from agent_runner.worker import memory

memory.give_back_freed()  # forked processes keep it

import asyncio
import gc
import importlib
import sys
from pathlib import Path

from loguru import logger

logger.remove()  # Pipecat tells of its imports and models; the workers' loggers are made in the workers

from chassis.imports import without

# What the first use would import: in each worker anew, and in the middle of a call's start. An import also writes to
# pages all over the process, which are then no longer shared.
for name in ("anyio._backends._asyncio", "livekit.rtc.resources", "numpy.random"):
    importlib.import_module(name)
with without("click"):  # 5 MB for the command lines that HTTP clients have, and what they colour their output with
    for name in ("httpx", "openai.resources.models"):
        importlib.import_module(name)
if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
    importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")

from livekit.rtc._ffi_client import FfiClient, get_ffi_lib

from agent_runner.agent_config import AgentConfig
from agent_runner.worker import main, models
from agent_runner.worker.job import Job

ENTRY = main.run
"""What a worker runs; importing it imports all that a worker needs."""


async def _rehearse() -> None:
    """Build a pipeline and throw it away: what Pipecat makes on the first one would be made anew in every worker.

    It connects to nothing, so it needs no keys.
    """
    keys = dict.fromkeys(("assembly_api_key", "groq_api_key", "inworld_api_key"), "none")
    Job(AgentConfig.model_validate(keys), lambda _message: None)


def _settle() -> None:
    models.load()
    get_ffi_lib()  # the workers share what loading it writes, 1 MB each
    asyncio.run(_rehearse())
    sys.stdout.flush()
    sys.stderr.flush()
    memory.drop_file_pages()
    gc.collect()
    gc.freeze()  # the children's collectors then leave the shared pages alone: 12 MB of their own idle, not 48
    tasks = [Path(f"/proc/self/task/{task}/comm").read_text().strip() for task in os.listdir("/proc/self/task")]
    if len(tasks) != 1:
        raise RuntimeError(f"the preload left {len(tasks)} threads ({', '.join(tasks)}); a fork needs exactly one")
    if FfiClient._instance is not None:
        raise RuntimeError("the preload started the LiveKit runtime; it would refuse to work in a forked worker")


_settle()
