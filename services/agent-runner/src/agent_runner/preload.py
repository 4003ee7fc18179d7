"""The forkserver's work for all workers: imports (2 s) and models (0.1 s). Afterwards it only forks.

Importing this module leaves the process with one thread, so that a fork is safe: a second thread could hold a lock that
no child would see released. It maps LiveKit's library without starting its runtime, which would not work in a forked
child, and makes no event loop, logger sink or tracer; each worker makes its own.
"""

# ruff: noqa: E402 - the environment comes before the imports that read it
# pyright: standard

import os

# Before onnxruntime and numpy are imported: the first starts a telemetry thread unless this is "1", the second a pool.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

from agent_runner.worker.process import memory

memory.give_back_freed()  # forked processes inherit it

import asyncio
import gc
import importlib
import sys
from pathlib import Path

from loguru import logger

logger.remove()  # Pipecat logs its imports and models; each worker configures its own log

from chassis.imports import without

# Modules that are otherwise imported at their first use, in every worker, during a call's start. An import also writes
# to pages all over the process, which are then no longer shared.
for name in ("anyio._backends._asyncio", "livekit.rtc.resources", "numpy.random"):
    importlib.import_module(name)
with without("click"):  # 5 MB less: the command lines of HTTP clients, and their coloured output
    for name in ("httpx", "openai.resources.models"):
        importlib.import_module(name)
if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
    importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")

from agent_runner.agent_config import AgentConfig
from agent_runner.worker.call.job import Job
from agent_runner.worker.process import main
from agent_runner.worker.providers import models
from agent_runner.worker.room import livekit_runtime

ENTRY = main.run
"""A worker's entry point; importing it imports all that a worker needs."""


async def _rehearse() -> None:
    """Build a pipeline and discard it, so that workers share what Pipecat makes only for the first one.

    It opens no connection, so it needs no API keys.
    """
    keys = dict.fromkeys(("assembly_api_key", "groq_api_key", "inworld_api_key"), "none")
    Job(AgentConfig.model_validate(keys), lambda _message: None)


def _settle() -> None:
    models.load()
    livekit_runtime.load_library()  # workers share the pages that loading it writes, 1 MB each
    asyncio.run(_rehearse())
    sys.stdout.flush()
    sys.stderr.flush()
    memory.release_file_pages()
    gc.collect()
    gc.freeze()  # keeps the children's collectors off shared pages: an idle worker has 12 MB of private pages, not 48
    tasks = [Path(f"/proc/self/task/{task}/comm").read_text().strip() for task in os.listdir("/proc/self/task")]
    if len(tasks) != 1:
        raise RuntimeError(f"the preload left {len(tasks)} threads ({', '.join(tasks)}); a fork needs exactly one")
    if livekit_runtime.is_started():
        raise RuntimeError("the preload started the LiveKit runtime; it would not work in a forked worker")


_settle()
